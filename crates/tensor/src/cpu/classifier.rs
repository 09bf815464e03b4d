use super::batch_norm::Affine;
use super::columns::{NO_OUTPUT, Pass};
use super::curve::with_curve;
use super::scratch::with_buffers;
use super::{Buffer, Cpu, with_float};
use crate::ops::{
    Activation, BatchNormBackend, BiasBackend, Classifier, ClassifierBackend, ClassifierGradients,
    ClassifierInputs, CrossEntropy, CrossEntropyBackend, CrossEntropyInputs, GlobalAveragePool,
    GlobalAveragePoolBackend, Matmul, MatmulBackend, Operand, Pooled, Rows, Sum, Upstream,
};
use crate::{DType, Memory, Result};

/// The operations that it consists of, one after another.
impl ClassifierBackend for Cpu {
    fn fuses_classifier(&self) -> bool {
        false
    }

    fn classifier_pieces(&self, _: &Classifier) -> usize {
        1
    }

    fn classifier(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Buffer>,
        clock: Option<&Buffer>,
        sums: &mut Buffer,
    ) -> Result<()> {
        let wanted = intermediate(geometry);
        let zeros = |dtype, len| self.zeros(dtype, len);
        with_buffers(wanted, zeros, |[features, products, logits]| {
            self.logits(geometry, inputs, [features, products, logits])?;
            let inputs = CrossEntropyInputs { logits, labels: inputs.labels, clock };
            self.cross_entropy(&geometry.cross_entropy(), inputs, sums)
        })
    }

    fn classifier_with_gradients(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Buffer>,
        clock: Option<&Buffer>,
        sums: &mut Buffer,
        gradients: ClassifierGradients<&mut Buffer>,
    ) -> Result<()> {
        let ClassifierGradients { dx, dweight, dbias, norm_sums } = gradients;
        let Classifier { images: m, channels, classes, sum, .. } = *geometry;
        let wanted = intermediate(geometry);
        let zeros = |dtype, len| self.zeros(dtype, len);
        with_buffers(wanted, zeros, |[features, products, logits]| {
            self.logits(geometry, inputs, [features, products, logits])?;
            let dlogits = products;
            let judged = CrossEntropyInputs { logits, labels: inputs.labels, clock };
            let of_loss = geometry.cross_entropy();
            self.cross_entropy_with_gradient(&of_loss, judged, sums, dlogits)?;
            self.bias_backward(Rows { count: m, channels: classes }, dlogits, sum, dbias)?;
            let (a, b) = (Operand::Transposed, Operand::Plain);
            let product = Matmul { m: channels, n: classes, k: m, a, b };
            self.matmul(&product, features, dlogits, sum, dweight)?;
            let (a, b) = (Operand::Plain, Operand::Transposed);
            let product = Matmul { m, n: channels, k: classes, a, b };
            self.matmul(&product, dlogits, inputs.weight, Sum::Store, features)?;
            let mask = match inputs.pooled {
                Pooled::Relu => Some(inputs.x),
                Pooled::Plain | Pooled::Normalized { .. } => None,
            };
            self.global_average_pool_backward(&geometry.pool(), features, mask, dx)?;
            let (&Pooled::Normalized { normalizer, activation }, Some(total)) =
                (&inputs.pooled, norm_sums)
            else {
                return Ok(());
            };
            let upstream = Upstream { activation, x: inputs.x, dy: dx };
            let part = match sum {
                Sum::Store => &mut *total,
                // The features are spent.
                Sum::Add => features,
            };
            self.batch_norm_backward_sums(geometry.rows(), &upstream, normalizer, part)?;
            if sum == Sum::Add {
                let part = &features.slice::<f32>()[..2 * channels];
                for (total, part) in total.slice_mut::<f32>().iter_mut().zip(part) {
                    *total += part;
                }
            }
            Ok(())
        })
    }
}

impl Cpu {
    /// The features, and the logits by way of their products with the weight.
    fn logits(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Buffer>,
        [features, products, logits]: [&mut Buffer; 3],
    ) -> Result<()> {
        let Classifier { images: m, channels: k, classes: n, .. } = *geometry;
        match inputs.pooled {
            Pooled::Plain | Pooled::Relu => {
                self.global_average_pool(&geometry.pool(), inputs.x, features)?;
            }
            Pooled::Normalized { normalizer, activation } => {
                self.pool_normalized(geometry, inputs.x, normalizer, activation, features)?;
            }
        }
        let product = Matmul { m, n, k, a: Operand::Plain, b: Operand::Plain };
        self.matmul(&product, features, inputs.weight, Sum::Store, products)?;
        self.bias(Rows { count: m, channels: n }, products, inputs.bias, None, logits)
    }

    /// `features[n, c] = sum_p f(scale x[n, p, c] + shift) / pixels`, without rounding between.
    fn pool_normalized(
        &self,
        geometry: &Classifier,
        x: &Buffer,
        normalizer: &Buffer,
        activation: Option<Activation>,
        features: &mut Buffer,
    ) -> Result<()> {
        let Classifier { images, pixels, channels, .. } = *geometry;
        let image = pixels * channels;
        let normalizer = normalizer.slice::<f32>();
        let lines = [&normalizer[..channels], &normalizer[channels..][..channels]];
        let features = &mut features.slice_mut::<f32>()[..images * channels];
        with_float!("classifier", x, T => with_curve!(activation, F => {
            let x = x.slice::<T>();
            self.weighted_chunks(features, channels, image, |first, features| {
                let images = x[first * image..].chunks_exact(image);
                for (features, x) in features.chunks_exact_mut(channels).zip(images) {
                    features.fill(0.0);
                    let sums = [&mut *features];
                    let pass = Pass { channels, inputs: [x], lines, sums, output: NO_OUTPUT };
                    pass.run(self, Affine::<F>::NEW);
                    for feature in features {
                        *feature /= pixels as f32;
                    }
                }
            });
        }));
        Ok(())
    }
}

/// Features, which also hold the sums of a batch normalisation, products and logits.
fn intermediate(geometry: &Classifier) -> [(DType, usize); 3] {
    let Classifier { images, channels, classes, .. } = *geometry;
    [
        (DType::F32, images.max(2) * channels),
        (DType::F32, images * classes),
        (DType::F32, images * classes),
    ]
}

impl Classifier {
    fn pool(&self) -> GlobalAveragePool {
        let Classifier { images, pixels, channels, .. } = *self;
        GlobalAveragePool { images, pixels, channels }
    }

    fn rows(&self) -> Rows {
        Rows { count: self.images * self.pixels, channels: self.channels }
    }

    fn cross_entropy(&self) -> CrossEntropy {
        let rows = Rows { count: self.images, channels: self.classes };
        CrossEntropy { rows, divisor: self.divisor, sum: self.sum }
    }
}
