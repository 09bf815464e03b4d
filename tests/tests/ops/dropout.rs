//! `y = x / (1 - rate)` or 0, by a mask that depends on an element's place alone.

use nasrl_tensor::ops::{Dropout, DropoutBackend, dropout};
use nasrl_tensor::random::{Key, philox4x32};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close, assert_equal, rounded, tensor, values};

use crate::backends;

const DROPOUT: Dropout = Dropout { rate: 0.5, key: Key::new(3, 4, "dropout"), step: 5, offset: 0 };

/// Steps and offsets that need their upper words, and offsets in the middle of a counter's words.
const PLACES: [(u64, u64); 4] = [(0, 0), (5, 3), (1 << 40, (1 << 36) + 1), (7, u64::MAX / 2)];

fn dropped(at: &Dropout, i: usize) -> bool {
    let place = at.offset + i as u64;
    let [group, step] = [place / 4, at.step].map(|v| [v as u32, (v >> 32) as u32]);
    let words = philox4x32(at.key, [group[0], group[1], step[0], step[1]]);
    f64::from(words[(place % 4) as usize]) < f64::from(at.rate) * 4_294_967_296.0
}

fn reference(at: &Dropout, x: &[f64]) -> Vec<f64> {
    let keep = |(i, x): (usize, &f64)| {
        if dropped(at, i) { 0.0 } else { x / (1.0 - f64::from(at.rate)) }
    };
    x.iter().enumerate().map(keep).collect()
}

#[test]
fn integers_are_exact() {
    for length in [1, 257, 20_011] {
        let x = Inputs::new(1).integers(length, 9);
        for ((step, offset), rate) in PLACES.into_iter().zip([0.0, 0.5, 0.75, 0.875]) {
            let at = Dropout { rate, step, offset, ..DROPOUT };
            let expected = reference(&at, &rounded(DType::F32, &x));
            for backend in backends() {
                for dtype in FLOATS {
                    let what = format!("{dtype} of {length}, {at:?} on {}", backend.name());
                    let y = dropout(&tensor(&backend, dtype, [length], &x), &at).unwrap();
                    assert_equal(&what, &values(&y), &expected);
                }
            }
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    let x = Inputs::new(2).uniform(257);
    for backend in backends() {
        for dtype in FLOATS {
            for rate in [0.1, 0.3, 0.9] {
                let at = Dropout { rate, ..DROPOUT };
                let what = format!("{dtype} {at:?} on {}", backend.name());
                let expected = reference(&at, &rounded(dtype, &x));
                let y = dropout(&tensor(&backend, dtype, [257], &x), &at).unwrap();
                assert_close(&what, &values(&y), &expected, Tolerance::rounding(dtype));
            }
        }
    }
}

#[test]
fn a_block_has_the_mask_of_its_place() {
    let Some(device) = backends().pop() else { return };
    let x = Inputs::new(3).uniform(1000);
    let run = |range: std::ops::Range<usize>| {
        let at = Dropout { offset: DROPOUT.offset + range.start as u64, ..DROPOUT };
        let x = tensor(&device, DType::F32, [range.len()], &x[range]);
        values(&dropout(&x, &at).unwrap())
    };
    assert_eq!(run(0..1000), [run(0..1), run(1..514), run(514..1000)].concat());
}

#[test]
fn the_rate_is_met_and_masks_are_unlike() {
    let length = 100_000;
    let ones = vec![1.0; length];
    let Some(device) = backends().pop() else { return };
    let mask =
        |at: Dropout| values(&dropout(&tensor(&device, DType::F32, [length], &ones), &at).unwrap());
    let zeros = |mask: &[f32]| mask.iter().filter(|y| **y == 0.0).count() as f64;
    for rate in [0.1f32, 0.5, 0.9] {
        let (n, p) = (length as f64, f64::from(rate));
        let deviation = (n * p * (1.0 - p)).sqrt();
        let found = zeros(&mask(Dropout { rate, ..DROPOUT }));
        assert!((found - n * p).abs() < 5.0 * deviation, "{found} of {n} at rate {rate}");
    }
    let first = mask(DROPOUT);
    for other in [
        Dropout { step: 6, ..DROPOUT },
        Dropout { key: Key::new(3, 5, "dropout"), ..DROPOUT },
        Dropout { offset: 4, ..DROPOUT },
    ] {
        // Two independent masks of rate 1/2 agree in half of the elements.
        let agree = first.iter().zip(mask(other)).filter(|(a, b)| **a == *b).count() as f64;
        let (mean, deviation) = (length as f64 / 2.0, (length as f64).sqrt() / 2.0);
        assert!((agree - mean).abs() < 5.0 * deviation, "{agree} of {length} agree: {other:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let x = Tensor::zeros(&device, DType::F32, [4]).unwrap();
    for rate in [-0.1, 1.0, f32::NAN] {
        let error = dropout(&x, &Dropout { rate, ..DROPOUT }).unwrap_err();
        assert!(matches!(error, Error::Parameter { name: "rate", .. }), "{rate}");
    }
    let labels = Tensor::zeros(&device, DType::U32, [4]).unwrap();
    assert!(matches!(dropout(&labels, &DROPOUT).unwrap_err(), Error::DType { .. }));
}

/// The step of a clock is added to that of the call, across the border of 32 bits too.
#[test]
fn a_clock_counts_on_from_the_step() {
    for on in backends() {
        let x = tensor(&on, DType::F32, [1000], &[1.0; 1000]);
        let mut clock = on.zeros(DType::U32, 2).unwrap();
        on.write(&[7u32, 9], &mut clock).unwrap();
        for step in [0, 3, u64::from(u32::MAX) - 2] {
            let at = |step| Dropout { step, ..DROPOUT };
            let mut found = Tensor::zeros(&on, DType::F32, [1000]).unwrap();
            let y = found.buffer_mut().unwrap();
            on.dropout(&at(step), Some(&clock), 1000, x.buffer(), y).unwrap();
            assert_eq!(values(&found), values(&dropout(&x, &at(step + 7)).unwrap()));
            assert_ne!(values(&found), values(&dropout(&x, &at(step)).unwrap()));
        }
    }
}
