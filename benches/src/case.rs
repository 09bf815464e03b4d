//! An operation at a shape, with operands of its own: what is compared between backends, timed by
//! `gpu-check` and measured by criterion.

use half::{bf16, f16};
use nasrl_tensor::{DType, Element, Float, Memory, Result};
use nasrl_tests::{Inputs, Tolerance};

/// One pass of an operation at one shape on one backend.
pub struct Case<B: Memory> {
    /// Such as `fprop` or `relu backward`.
    pub pass: String,
    /// The shape in words, such as `128x16x16x64`.
    pub shape: String,
    /// What it has to do at least.
    pub work: Work,
    /// How alike two backends' results are.
    pub agreement: Agreement,
    /// Read only.
    pub(crate) inputs: Vec<B::Buffer>,
    /// Written, or read and written.
    pub(crate) outputs: Vec<B::Buffer>,
    /// The call.
    pub(crate) call: Call<B>,
}

/// The call of an operation with a case's inputs and outputs.
pub(crate) type Call<B> =
    Box<dyn FnMut(&B, &[<B as Memory>::Buffer], &mut [<B as Memory>::Buffer]) -> Result<()> + Send>;

/// A closure as a [`Call`].
pub(crate) fn calling<B: Memory>(
    call: impl FnMut(&B, &[B::Buffer], &mut [B::Buffer]) -> Result<()> + Send + 'static,
) -> Call<B> {
    Box::new(call)
}

/// What an operation has to do at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiplications and additions of products; those of a pass over memory are not counted.
    pub flops: u64,
    /// Bytes of every operand, once for each time that it must be read or written.
    pub bytes: u64,
}

/// How alike the results of two backends are for the same operands.
#[derive(Clone, Copy, Debug)]
pub enum Agreement {
    /// To the bit: elements are moved, chosen or drawn.
    Exact,
    /// To the bit for small integers, whose sums do not depend on their order; otherwise each
    /// backend within this of the exact result.
    ExactOnIntegers(Tolerance),
    /// Each backend within this of the exact result.
    Close(Tolerance),
}

/// What cases are made of.
pub struct Setting<'a, B> {
    /// Where they run.
    pub on: &'a B,
    /// The type of activations and of their gradients; an operation that does not come in it has
    /// no cases.
    pub dtype: DType,
    /// Which shapes.
    pub shapes: Shapes,
    /// Which operands.
    pub values: Values,
}

/// Which shapes an operation runs at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// Small and odd: for comparing.
    Small,
    /// Those of real children and controllers: for measuring.
    Real {
        /// In a batch of maps.
        images: usize,
    },
}

/// What operands are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Integers in -3 to 3.
    Integers,
    /// Uniform in [-1, 1): zeros would run faster than real data.
    Uniform,
}

impl<B: Memory> Case<B> {
    /// Asks for the operation once more.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn run(&mut self, on: &B) -> Result<()> {
        (self.call)(on, &self.inputs, &mut self.outputs)
    }

    /// Everything that was written so far, output by output.
    ///
    /// # Errors
    /// Those of the backend, for this or earlier work.
    pub fn results(&self, on: &B) -> Result<Vec<Vec<f64>>> {
        self.outputs.iter().map(|output| elements(on, output)).collect()
    }
}

impl<B: Memory> Setting<'_, B> {
    /// The shapes to run at.
    pub(crate) fn pick<T: Clone>(&self, small: &[T], real: &[T]) -> Vec<T> {
        match self.shapes {
            Shapes::Small => small.to_vec(),
            Shapes::Real { .. } => real.to_vec(),
        }
    }

    /// Images of a batch, of which there are so many in small shapes.
    pub(crate) fn images(&self, small: usize) -> usize {
        match self.shapes {
            Shapes::Small => small,
            Shapes::Real { images } => images,
        }
    }

    /// Operands, the same in the same order for every backend.
    pub(crate) fn draw(&self, seed: u64) -> Draw<'_, B> {
        Draw { on: self.on, values: self.values, inputs: Inputs::new(seed) }
    }
}

/// A sequence of operands.
pub(crate) struct Draw<'a, B> {
    on: &'a B,
    values: Values,
    inputs: Inputs,
}

impl<B: Memory> Draw<'_, B> {
    /// Values of the setting.
    pub(crate) fn values(&mut self, dtype: DType, len: usize) -> Result<B::Buffer> {
        let values = match self.values {
            Values::Integers => self.inputs.integers(len, 3),
            Values::Uniform => self.inputs.uniform(len),
        };
        self.floats(dtype, &values)
    }

    /// Values uniform in `[least, most)`, in every setting.
    pub(crate) fn between(&mut self, [least, most]: [f32; 2], len: usize) -> Result<B::Buffer> {
        let (middle, half) = ((least + most) / 2.0, (most - least) / 2.0);
        let values: Vec<f32> = self.inputs.uniform(len).iter().map(|x| middle + half * x).collect();
        self.floats(DType::F32, &values)
    }

    /// Indices below `bound`.
    pub(crate) fn indices(&mut self, len: usize, bound: usize) -> Result<B::Buffer> {
        let indices = self.inputs.indices(len, bound);
        self.write(&indices)
    }

    /// The bytes of images.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<B::Buffer> {
        let bytes: Vec<u8> = (0..len).map(|_| self.inputs.below(256) as u8).collect();
        self.write(&bytes)
    }

    /// Zeros.
    pub(crate) fn zeros(&self, dtype: DType, len: usize) -> Result<B::Buffer> {
        self.on.zeros(dtype, len)
    }

    fn floats(&self, dtype: DType, values: &[f32]) -> Result<B::Buffer> {
        let exact = self.write(values)?;
        if dtype == DType::F32 {
            return Ok(exact);
        }
        let mut rounded = self.on.zeros(dtype, values.len())?;
        self.on.cast(values.len(), &exact, &mut rounded)?;
        Ok(rounded)
    }

    fn write<T: Element>(&self, values: &[T]) -> Result<B::Buffer> {
        let mut buffer = self.on.zeros(T::DTYPE, values.len())?;
        self.on.write(values, &mut buffer)?;
        Ok(buffer)
    }
}

impl Work {
    /// Work that moves memory and computes nothing worth counting.
    pub(crate) fn bytes(bytes: usize) -> Self {
        Work { flops: 0, bytes: bytes as u64 }
    }
}

impl Agreement {
    /// How far apart two backends may be; nothing if not at all.
    pub fn tolerance(self, values: Values) -> Option<Tolerance> {
        match self {
            Agreement::Exact => None,
            Agreement::ExactOnIntegers(_) if values == Values::Integers => None,
            // Both may err, in opposite directions.
            Agreement::ExactOnIntegers(each) | Agreement::Close(each) => {
                Some(Tolerance { absolute: 2.0 * each.absolute, relative: 2.0 * each.relative })
            }
        }
    }
}

/// The elements of a buffer, all of them.
///
/// # Errors
/// Those of the backend, for this or earlier work.
pub(crate) fn elements<B: Memory>(on: &B, buffer: &B::Buffer) -> Result<Vec<f64>> {
    fn read<T: Element, B: Memory>(
        on: &B,
        buffer: &B::Buffer,
        widen: impl Fn(T) -> f64,
    ) -> Result<Vec<f64>> {
        let mut data = vec![T::zeroed(); B::capacity(buffer)];
        on.read(buffer, &mut data)?;
        Ok(data.into_iter().map(widen).collect())
    }
    match B::dtype(buffer) {
        DType::F32 => read(on, buffer, |x: f32| f64::from(x)),
        DType::BF16 => read(on, buffer, |x: bf16| f64::from(Float::to_f32(x))),
        DType::F16 => read(on, buffer, |x: f16| f64::from(Float::to_f32(x))),
        DType::U8 => read(on, buffer, |x: u8| f64::from(x)),
        DType::U32 => read(on, buffer, |x: u32| f64::from(x)),
    }
}
