//! A convolution with operands of its own, whose passes run with any plan.

use nasrl_tensor::cuda::{Conv2dPlan, Conv2dTiles};
use nasrl_tensor::ops::{Conv2d, Conv2dBackend, Epilogue, Sum};
use nasrl_tensor::{Cuda, DType, Memory, Result};
use nasrl_tests::{Inputs, Tolerance};

use crate::case::elements;

type Buffer = <Cuda as Memory>::Buffer;

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Forward, with a relu.
    Fprop,
    /// The gradient of the input, through the relu that made it.
    Dgrad,
    /// The gradient of the filters, with the sum of its slices.
    Wgrad,
}

/// A full convolution of a batch.
pub(super) struct Layer {
    geometry: Conv2d,
    dtype: DType,
    images: usize,
    weights: Buffer,
    x: Buffer,
    dy: Buffer,
    /// Of each pass, in their order.
    results: [Buffer; 3],
}

impl Pass {
    pub(super) const ALL: [Pass; 3] = [Pass::Fprop, Pass::Dgrad, Pass::Wgrad];

    /// As the cases of `operations::conv2d` call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Pass::Fprop => "fprop",
            Pass::Dgrad => "dgrad",
            Pass::Wgrad => "wgrad",
        }
    }
}

impl Layer {
    /// A convolution of so many images of random values.
    pub(super) fn new(
        on: &Cuda,
        (geometry, dtype): (&Conv2d, DType),
        images: usize,
    ) -> Result<Self> {
        let [pixels, positions] =
            [geometry.input, geometry.output()].map(|[height, width]| images * height * width);
        let [x_len, y_len] = [pixels * geometry.channels, positions * geometry.filters];
        let filters = geometry.filter_shape().count();
        let mut inputs = Inputs::new(23);
        let mut draw = |len| {
            let mut wide = on.zeros(DType::F32, len)?;
            on.write(&inputs.uniform(len), &mut wide)?;
            Ok::<_, nasrl_tensor::Error>(wide)
        };
        let rounded = |wide: &Buffer| {
            let len = Cuda::capacity(wide);
            let mut narrow = on.zeros(dtype, len)?;
            on.cast(len, wide, &mut narrow)?;
            Ok::<_, nasrl_tensor::Error>(narrow)
        };
        let weights = draw(filters)?;
        let (x, dy) = (rounded(&draw(x_len)?)?, rounded(&draw(y_len)?)?);
        let results =
            [on.zeros(dtype, y_len)?, on.zeros(dtype, x_len)?, on.zeros(DType::F32, filters)?];
        Ok(Layer { geometry: *geometry, dtype, images, weights, x, dy, results })
    }

    /// A plan with the layer's filters.
    pub(super) fn plan(&self, on: &Cuda, tiles: &Conv2dTiles) -> Result<Conv2dPlan> {
        let mut plan = on.conv2d_plan_in_tiles(&self.geometry, self.dtype, tiles)?;
        on.conv2d_load(&mut plan, &self.weights)?;
        Ok(plan)
    }

    /// Asks for a pass.
    pub(super) fn run(&mut self, on: &Cuda, plan: &Conv2dPlan, pass: Pass) -> Result<()> {
        let Layer { images, x, dy, results: [y, dx, dw], .. } = self;
        match pass {
            Pass::Fprop => {
                on.conv2d_fprop(plan, *images, x, Epilogue { bias: None, relu: true }, y)
            }
            Pass::Dgrad => on.conv2d_dgrad(plan, *images, dy, Some(x), dx),
            Pass::Wgrad => on.conv2d_wgrad(plan, *images, x, dy, Sum::Store, dw),
        }
    }

    /// What a pass gave last.
    pub(super) fn results(&self, on: &Cuda, pass: Pass) -> Result<Vec<f64>> {
        elements(on, &self.results[pass as usize])
    }

    /// How far apart sums in two orders may be.
    pub(super) fn tolerance(&self, pass: Pass) -> Tolerance {
        let window = self.geometry.kernel[0] * self.geometry.kernel[1];
        let each = match pass {
            Pass::Fprop => Tolerance::sum(self.dtype, window * self.geometry.channels),
            Pass::Dgrad => Tolerance::sum(self.dtype, window * self.geometry.filters),
            Pass::Wgrad => {
                let positions: usize = self.geometry.output().iter().product();
                Tolerance::sum(DType::F32, self.images * positions)
            }
        };
        Tolerance { absolute: 2.0 * each.absolute, relative: 2.0 * each.relative }
    }

    /// Operations of a pass.
    pub(super) fn flops(&self) -> u64 {
        self.images as u64 * self.geometry.flops()
    }
}
