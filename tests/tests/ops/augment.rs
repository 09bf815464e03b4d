//! The input pipeline: normalisation, crop, flip and cutout.

use nasrl_tensor::ops::{
    Augment, AugmentBackend, AugmentInputs, Crop, Draw, Flip, ImageBatch, ImageSource,
    Normalisation, augment,
};
use nasrl_tensor::random::{Key, philox4x32, scaled};
use nasrl_tensor::{DType, Error, Memory, Shape, Tensor};
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close, assert_equal, values};

use crate::{Device, alike, backends};

const IMAGES: usize = 11;
const DRAW: Option<Draw> = Some(Draw { key: Key([7, 8]), step: (5 << 32) + 3 });
const BYTES: Normalisation = Normalisation::PerChannel { mean: [0.0; 4], deviation: [1.0; 4] };

/// CIFAR-10's, in bytes, and one more.
const CHANNELS: Normalisation = Normalisation::PerChannel {
    mean: [125.3, 123.0, 113.9, 100.0],
    deviation: [63.0, 62.1, 66.7, 50.0],
};

/// Height, width, channels: one of each, grey, primes, two and four channels, CIFAR.
const SIZES: [[usize; 3]; 5] = [[1, 1, 1], [28, 28, 1], [7, 13, 2], [5, 4, 4], [32, 32, 3]];

/// A dataset in bytes, and its images.
struct Dataset {
    size: [usize; 3],
    bytes: Vec<u8>,
}

impl Dataset {
    fn new(size: [usize; 3]) -> Self {
        let count = IMAGES * size.iter().product::<usize>();
        let bytes = Inputs::new(1).indices(count, 256).iter().map(|&x| x as u8).collect();
        Dataset { size, bytes }
    }

    fn run(&self, backend: &Device, indices: &[u32], how: &Augment, dtype: DType) -> Vec<f32> {
        let [h, w, c] = self.size;
        let count = self.bytes.len() / (h * w * c);
        let images = Tensor::from_slice(backend, [count, h, w, c], &self.bytes).unwrap();
        let indices = Tensor::from_slice(backend, [indices.len()], indices).unwrap();
        let y = augment(&images, &indices, how, dtype).unwrap();
        assert_eq!(
            (y.dtype(), y.shape()),
            (dtype, Shape::new(&[indices.shape().count(), h, w, c]))
        );
        values(&y)
    }

    fn reference(&self, indices: &[u32], how: &Augment) -> Vec<f64> {
        indices.iter().flat_map(|&index| self.image(index, how)).collect()
    }

    fn image(&self, index: u32, how: &Augment) -> Vec<f64> {
        let [h, w, c] = self.size;
        let bytes = &self.bytes[index as usize * h * w * c..][..h * w * c];
        let x = normalised(bytes, c, how.normalisation);
        let pixel = |i: usize, j: usize, channel: usize| x[(i * w + j) * c + channel];
        let shifts = match how.crop {
            Crop::None => 0,
            Crop::Pad { by } => 2 * by,
            Crop::Upsample { by } => by,
        };
        let (mut row, mut column) = (shifts / 2, shifts / 2);
        let (mut mirrored, mut centre) = (false, None);
        if let Some(Draw { key, step }) = how.draw {
            let words = |block| philox4x32(key, [step as u32, (step >> 32) as u32, index, block]);
            row = scaled(words(0)[0], shifts as u32 + 1) as usize;
            column = scaled(words(0)[1], shifts as u32 + 1) as usize;
            mirrored = how.flip == Flip::Horizontal && words(0)[2] >= 1 << 31;
            let centres = [(0, h), (1, w)].map(|(word, n)| scaled(words(1)[word], n as u32));
            centre = (how.cutout > 0).then_some(centres.map(i64::from));
        }
        let mut y = Vec::new();
        for i in 0..h {
            for output_column in 0..w {
                let j = if mirrored { w - 1 - output_column } else { output_column };
                let hidden = centre.is_some_and(|centre: [i64; 2]| {
                    let side = how.cutout as i64;
                    [i, output_column].iter().zip(centre).all(|(&place, centre)| {
                        (centre - side / 2..centre - side / 2 + side).contains(&(place as i64))
                    })
                });
                for channel in 0..c {
                    let value = match how.crop {
                        Crop::None => pixel(i, j, channel),
                        Crop::Pad { by } => {
                            let (i, j) = (i + row, j + column);
                            let inside = (by..h + by).contains(&i) && (by..w + by).contains(&j);
                            if inside { pixel(i - by, j - by, channel) } else { 0.0 }
                        }
                        Crop::Upsample { by } => {
                            let ([i0, i1], u) = between(i + row, h, h + by);
                            let ([j0, j1], v) = between(j + column, w, w + by);
                            (1.0 - u) * (1.0 - v) * pixel(i0, j0, channel)
                                + (1.0 - u) * v * pixel(i0, j1, channel)
                                + u * (1.0 - v) * pixel(i1, j0, channel)
                                + u * v * pixel(i1, j1, channel)
                        }
                    };
                    y.push(if hidden { 0.0 } else { value });
                }
            }
        }
        y
    }
}

fn between(i: usize, side: usize, enlarged: usize) -> ([usize; 2], f64) {
    let place = (i as f64 + 0.5) * side as f64 / enlarged as f64 - 0.5;
    let place = place.clamp(0.0, side as f64 - 1.0);
    let first = place.floor();
    ([first as usize, place.ceil() as usize], place - first)
}

fn normalised(bytes: &[u8], channels: usize, how: Normalisation) -> Vec<f64> {
    let n = bytes.len() as f64;
    let mean = bytes.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = bytes.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let each = |(index, &x): (usize, &u8)| match how {
        Normalisation::Scale => f64::from(x) / 255.0,
        Normalisation::PerChannel { mean, deviation } => {
            let channel = index % channels;
            (f64::from(x) - f64::from(mean[channel])) / f64::from(deviation[channel])
        }
        Normalisation::Whitening => (f64::from(x) - mean) / variance.sqrt().max(1.0 / n.sqrt()),
    };
    bytes.iter().enumerate().map(each).collect()
}

/// Of every image once or more, out of order.
fn indices() -> Vec<u32> {
    (0..IMAGES as u32).chain([3, 3, 0]).rev().collect()
}

fn crops() -> [Crop; 7] {
    let pad = [0, 1, 4, 40].map(|by| Crop::Pad { by });
    let [up, more] = [1, 8].map(|by| Crop::Upsample { by });
    [Crop::None, pad[0], pad[1], pad[2], pad[3], up, more]
}

#[test]
fn bytes_are_moved_exactly() {
    for backend in backends() {
        for size in SIZES {
            let dataset = Dataset::new(size);
            for crop in crops().into_iter().filter(|crop| !matches!(crop, Crop::Upsample { .. })) {
                for flip in [Flip::None, Flip::Horizontal] {
                    for (cutout, draw) in [(0, None), (0, DRAW), (3, DRAW), (16, DRAW), (3, None)] {
                        let how = Augment { normalisation: BYTES, crop, flip, cutout, draw };
                        // Where a byte goes does not depend on what it becomes.
                        let dtypes = if cutout == 3 { &FLOATS[..] } else { &[DType::F32] };
                        for &dtype in dtypes {
                            let what = format!("{how:?} {dtype} {size:?} on {}", backend.name());
                            let found = dataset.run(&backend, &indices(), &how, dtype);
                            assert_equal(&what, &found, &dataset.reference(&indices(), &how));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn normalised_and_enlarged_images_are_within_rounding() {
    for backend in backends() {
        for size in SIZES {
            let dataset = Dataset::new(size);
            for normalisation in [Normalisation::Scale, CHANNELS, Normalisation::Whitening] {
                for crop in crops() {
                    for draw in [None, DRAW] {
                        let flip = Flip::Horizontal;
                        let how = Augment { normalisation, crop, flip, cutout: 5, draw };
                        for dtype in FLOATS {
                            let what = format!("{how:?} {dtype} {size:?} on {}", backend.name());
                            let found = dataset.run(&backend, &indices(), &how, dtype);
                            // Differences of bytes are rounded before they are scaled: to 255 /
                            // deviation, which random images and the constants keep below 6.
                            let Tolerance { relative, .. } = Tolerance::rounding(dtype);
                            let absolute = 6.0 * Tolerance::rounding(DType::F32).absolute;
                            let expected = dataset.reference(&indices(), &how);
                            assert_close(&what, &found, &expected, {
                                Tolerance { absolute, relative }
                            });
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_constant_image_is_whitened_to_zero() {
    for backend in backends() {
        let dataset = Dataset { size: [32, 32, 3], bytes: vec![201; IMAGES * 32 * 32 * 3] };
        let how = Augment::normalise(Normalisation::Whitening);
        let found = dataset.run(&backend, &[4], &how, DType::F32);
        assert!(found.iter().all(|&y| y == 0.0));
    }
}

/// An image is the same alone and in any batch, in any thread; not so in another step.
#[test]
fn the_cut_of_a_batch_does_not_show() {
    let dataset = Dataset::new([32, 32, 3]);
    let how = |step| Augment {
        normalisation: CHANNELS,
        crop: Crop::Pad { by: 4 },
        flip: Flip::Horizontal,
        cutout: 8,
        draw: Some(Draw { key: Key::new(1, 2, "augment"), step }),
    };
    let Some(device) = backends().pop() else { return };
    let indices = indices();
    let alone: Vec<f32> = indices
        .iter()
        .flat_map(|&index| dataset.run(&device, &[index], &how(9), DType::F32))
        .collect();
    for on in alike() {
        assert!(dataset.run(&on, &indices, &how(9), DType::F32) == alone);
    }
    assert!(dataset.run(&device, &indices, &how(10), DType::F32) != alone);
}

/// Of 9,000 draws, each of the 9 places occurs 1,000 times and a flip 4,500 times, within 5
/// standard deviations.
#[test]
fn places_and_flips_are_uniform() {
    const DRAWS: usize = 9000;
    let dataset = Dataset { size: [1, 2, 1], bytes: [10, 20].repeat(DRAWS) };
    let Some(device) = backends().pop() else { return };
    let crop = Crop::Pad { by: 1 };
    let how = Augment { crop, flip: Flip::Horizontal, draw: DRAW, ..Augment::normalise(BYTES) };
    let indices: Vec<u32> = (0..DRAWS as u32).collect();
    let (mut inside, mut mirrored) = (0, 0);
    for image in dataset.run(&device, &indices, &how, DType::F32).chunks_exact(2) {
        match image {
            [10.0, 20.0] => inside += 1,
            [20.0, 10.0] => (inside, mirrored) = (inside + 1, mirrored + 1),
            [_, 0.0] | [0.0, _] => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1000i32 - inside).abs() < 149, "{inside}");
    assert!((inside - 2 * mirrored).abs() < 2 * 80, "{mirrored} of {inside}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: &[usize]| Tensor::zeros(&device, dtype, Shape::new(shape)).unwrap();
    let images = zeros(DType::U8, &[3, 4, 5, 2]);
    let first = zeros(DType::U32, &[1]);
    let scale = Augment::normalise(Normalisation::Scale);
    let refused = |images: &Tensor<Device>, indices: &Tensor<Device>, how: Augment| {
        augment(images, indices, &how, DType::F32).unwrap_err()
    };
    let error = refused(&zeros(DType::F32, &[3, 4, 5, 2]), &first, scale);
    assert!(matches!(error, Error::DType { .. }));
    assert!(matches!(refused(&images, &zeros(DType::F32, &[1]), scale), Error::DType { .. }));
    let error = augment(&images, &first, &scale, DType::U8).unwrap_err();
    assert!(matches!(error, Error::DType { .. }));
    assert!(matches!(refused(&zeros(DType::U8, &[3, 4, 5]), &first, scale), Error::Shape { .. }));
    assert!(matches!(refused(&images, &zeros(DType::U32, &[1, 1]), scale), Error::Shape { .. }));
    let indices = Tensor::from_slice(&device, [2], &[2u32, 3]).unwrap();
    let error = refused(&images, &indices, scale);
    assert!(matches!(error, Error::Index { position: 1, found: 3, bound: 3, .. }));
    for shape in [[3, 4, 5, 5], [3, 4, 5, 0], [3, 0, 5, 1], [3, 1, 65_536, 1]] {
        let error = refused(&zeros(DType::U8, &shape), &first, scale);
        assert!(matches!(error, Error::Parameter { .. }), "{shape:?}");
    }
    for crop in [Crop::Pad { by: usize::MAX }, Crop::Upsample { by: 32_766 }] {
        let error = refused(&images, &first, Augment { crop, ..scale });
        assert!(matches!(error, Error::Parameter { name: "crop.by", .. }));
    }
    for (mean, deviation, name) in [
        (f32::NAN, 1.0, "mean"),
        (0.0, 0.0, "deviation"),
        (0.0, -1.0, "deviation"),
        (0.0, f32::INFINITY, "deviation"),
    ] {
        let (mean, deviation) = ([0.0, mean, 0.0, 0.0], [1.0, deviation, 1.0, 1.0]);
        let how = Augment::normalise(Normalisation::PerChannel { mean, deviation });
        let error = refused(&images, &first, how);
        assert!(matches!(error, Error::Parameter { name: found, .. } if found == name));
    }
}

/// The step of a clock is added to that of the draw, across the border of 32 bits too.
#[test]
fn a_clock_counts_on_from_the_step() {
    let dataset = Dataset::new([7, 13, 2]);
    let [height, width, channels] = dataset.size;
    let indices: Vec<u32> = (0..IMAGES as u32).collect();
    for on in backends() {
        let upload = |dtype, count| on.zeros(dtype, count).unwrap();
        let mut images = upload(DType::U8, dataset.bytes.len());
        on.write(&dataset.bytes, &mut images).unwrap();
        let mut places = upload(DType::U32, IMAGES);
        on.write(&indices, &mut places).unwrap();
        let mut clock = upload(DType::U32, 2);
        on.write(&[7u32, 9], &mut clock).unwrap();
        for step in [0, 3, u64::from(u32::MAX) - 2] {
            let how = |step| Augment {
                crop: Crop::Pad { by: 3 },
                flip: Flip::Horizontal,
                cutout: 4,
                draw: Some(Draw { key: Key([7, 8]), step }),
                ..Augment::normalise(BYTES)
            };
            let source = ImageSource::Dataset;
            let batch = ImageBatch { count: IMAGES, height, width, channels, source };
            let mut y = Tensor::zeros(&on, DType::F32, [IMAGES, height, width, channels]).unwrap();
            let inputs = AugmentInputs { images: &images, indices: &places, clock: Some(&clock) };
            on.augment(batch, &how(step), inputs, y.buffer_mut().unwrap()).unwrap();
            let run = |step| dataset.run(&on, &indices, &how(step), DType::F32);
            assert_eq!(values(&y), run(step + 7), "{step} on {}", on.name());
            assert_ne!(values(&y), run(step));
        }
    }
}
