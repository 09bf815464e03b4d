use nasrl_tensor::ops::{
    Classifier, ClassifierBackend, ClassifierGradients, ClassifierInputs, Pooled, Sum,
};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Classes of CIFAR-10.
const CLASSES: usize = 10;

/// Bound by memory: one read of the map, and one write for its gradient.
pub(super) fn cases<B: ClassifierBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    for [images, height, width, channels] in maps(setting) {
        let geometry = Classifier {
            images,
            pixels: height * width,
            channels,
            classes: CLASSES,
            divisor: images as f32,
            sum: Sum::Store,
        };
        let (len, weights) = (geometry.elements(), channels * CLASSES);
        let pieces = setting.on.classifier_pieces(&geometry);
        let terms = Tolerance::sum(F32, geometry.pixels + channels + CLASSES + images);
        let each = Tolerance::rounding(dtype);
        let mut draw = setting.draw(23);
        let mut inputs = || {
            Ok::<_, nasrl_tensor::Error>(vec![
                draw.values(dtype, len)?,
                draw.between([-1.0, 1.0], weights)?,
                draw.between([-1.0, 1.0], CLASSES)?,
                draw.indices(images, CLASSES)?,
            ])
        };
        let shape = format!("{} to {CLASSES}", extents(&[images, height, width, channels]));
        let zeros = |dtype, len| setting.on.zeros(dtype, len);
        cases.push(Case {
            pass: "loss".to_owned(),
            shape: shape.clone(),
            work: Work::bytes(len * dtype.size()),
            // A logit may be as large as there are channels, times three for integers.
            agreement: Agreement::Close(Tolerance {
                absolute: 3.0 * terms.absolute * (channels as f64).sqrt(),
                ..terms
            }),
            inputs: inputs()?,
            outputs: vec![zeros(F32, 2)?],
            call: calling::<B>(move |on, x, y| {
                let [x, weight, bias, labels] = x else { unreachable!("four inputs above") };
                let inputs = ClassifierInputs { x, pooled: Pooled::Relu, weight, bias, labels };
                on.classifier(&geometry, &inputs, None, &mut y[0])
            }),
        });
        // As many pieces as the backend makes, which are not compared.
        let (mut dweight, mut dbias) =
            (zeros(F32, pieces * weights)?, zeros(F32, pieces * CLASSES)?);
        cases.push(Case {
            pass: "loss and gradients".to_owned(),
            shape,
            work: Work::bytes(2 * len * dtype.size()),
            agreement: Agreement::Close(Tolerance {
                absolute: 9.0 * terms.absolute * (channels as f64).sqrt() + each.absolute,
                relative: each.relative,
            }),
            inputs: inputs()?,
            outputs: vec![zeros(F32, 2)?, zeros(dtype, len)?],
            call: calling::<B>(move |on, x, y| {
                let [x, weight, bias, labels] = x else { unreachable!("four inputs above") };
                let inputs = ClassifierInputs { x, pooled: Pooled::Relu, weight, bias, labels };
                let [sums, dx] = y else { unreachable!("two outputs above") };
                let (dweight, dbias) = (&mut dweight, &mut dbias);
                let gradients = ClassifierGradients { dx, dweight, dbias, norm_sums: None };
                on.classifier_with_gradients(&geometry, &inputs, None, sums, gradients)
            }),
        });
    }
    Ok(cases)
}
