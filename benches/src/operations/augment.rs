use nasrl_tensor::ops::{
    Augment, AugmentBackend, AugmentInputs, Crop, Draw, Flip, ImageBatch, ImageSource,
    Normalisation,
};
use nasrl_tensor::random::Key;
use nasrl_tensor::{DType, Result};
use nasrl_tests::Tolerance;

use super::extents;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Plain normalisation is bound by what it writes; enlarging by the gather of two neighbours in a
/// row.
pub(super) fn cases<B: AugmentBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let flip = Flip::Horizontal;
    let drawn = Some(Draw { key: Key::new(1, 0, "augment"), step: 1 });
    let pad = Augment {
        normalisation: Normalisation::PerChannel { mean: [120.0; 4], deviation: [63.0; 4] },
        crop: Crop::Pad { by: 4 },
        flip,
        cutout: 16,
        draw: drawn,
    };
    let (normalisation, crop) = (Normalisation::Whitening, Crop::Upsample { by: 8 });
    let enlarge = Augment { normalisation, crop, flip, cutout: 0, draw: drawn };
    let images = setting.images(3);
    let mut cases = Vec::new();
    for (dataset, [height, width, channels]) in
        setting.pick(&[(5, [7, 9, 3]), (4, [5, 3, 1])], &[(1024, [32, 32, 3])])
    {
        let batch =
            ImageBatch { count: images, height, width, channels, source: ImageSource::Dataset };
        let len = images * height * width * channels;
        for (pass, how) in [
            ("scale", Augment::normalise(Normalisation::Scale)),
            ("pad, crop, flip, cutout", pad),
            ("whiten, enlarge, crop", enlarge),
        ] {
            // Whitening divides by a deviation, whose error every value then has.
            let whole = Tolerance::sum(DType::F32, height * width * channels);
            let each = Tolerance::rounding(dtype);
            let agreement = Agreement::Close(Tolerance {
                absolute: whole.absolute + each.absolute,
                relative: whole.relative + each.relative,
            });
            let mut draw = setting.draw(4);
            cases.push(Case {
                pass: pass.to_owned(),
                shape: extents(&[images, height, width, channels]),
                work: Work::bytes(len * (1 + dtype.size())),
                agreement,
                inputs: vec![
                    draw.bytes(dataset * height * width * channels)?,
                    draw.indices(images, dataset)?,
                ],
                outputs: vec![draw.zeros(dtype, len)?],
                call: calling::<B>(move |on, x, y| {
                    let inputs = AugmentInputs { images: &x[0], indices: &x[1], clock: None };
                    on.augment(batch, &how, inputs, &mut y[0])
                }),
            });
        }
    }
    Ok(cases)
}
