//! Statistics in parts.

use nasrl_tensor::Memory;
use nasrl_tensor::ops::{Activation, BatchNorm, BatchNormBackend, Parts, Rows};
use nasrl_tests::{Inputs, Tolerance, assert_close};

use super::passes::{Bench, Buffer};
use super::{F32, RELU};
use crate::backends;

/// The normalizer and the coefficients that statistics in parts make are those of statistics of a
/// whole block, but for the order of their sums.
#[test]
fn parts_make_the_statistics_of_the_whole() {
    let (rows, channels) = (700, 40);
    let mut inputs = Inputs::new(33);
    let x = inputs.uniform(rows * channels);
    let parameters = inputs.uniform(2 * channels);
    let norm = BatchNorm::new(channels);
    for on in backends() {
        let bench = Bench { on: &on, dtype: F32 };
        let parameters = bench.buffer(F32, &parameters);
        let normalizer = |moments: &[Buffer], counts: &[usize]| {
            let part = |(buffer, &count)| Parts { count, buffer };
            let blocks: Vec<_> = moments.iter().zip(counts).map(part).collect();
            let mut running = bench.buffer(F32, &vec![0.0; 2 * channels]);
            let mut normalizer = bench.buffer(F32, &vec![0.0; 4 * channels]);
            on.batch_norm_normalizer(&norm, &blocks, &parameters, &mut running, &mut normalizer)
                .unwrap();
            bench.read(&normalizer)
        };
        let moments = |x: &[f32]| {
            let mut moments = bench.buffer(F32, &vec![0.0; 3 * channels]);
            let rows = Rows { count: x.len() / channels, channels };
            on.batch_norm_moments(rows, &bench.buffer(F32, x), &mut moments).unwrap();
            bench.read(&moments)
        };
        let whole = normalizer(&[bench.buffer(F32, &moments(&x))], &[1]);
        // 28 parts of 25 rows, an empty one among them, in one block and in two.
        let mut parts: Vec<Vec<f32>> = x.chunks(25 * channels).map(moments).collect();
        parts.insert(9, vec![0.0; 3 * channels]);
        let expected: Vec<f64> = whole.iter().copied().map(f64::from).collect();
        for cut in [0, 11] {
            let [first, second] = [&parts[..cut], &parts[cut..]];
            let blocks: Vec<_> = [first, second].into_iter().filter(|b| !b.is_empty()).collect();
            let buffers: Vec<_> = blocks.iter().map(|b| bench.buffer(F32, &b.concat())).collect();
            let counts: Vec<_> = blocks.iter().map(|b| b.len()).collect();
            let what = format!("{} blocks on {}", blocks.len(), on.name());
            assert_close(
                &what,
                &normalizer(&buffers, &counts),
                &expected,
                Tolerance::sum(F32, rows),
            );
        }
    }
}

/// Moments combine to the rows, the mean and the deviations of what was stored.
pub(super) fn check_moments(what: &str, moments: &[f32], y: &[f64], filters: usize) {
    let rows = y.len() / filters;
    for c in 0..filters {
        let parts = || {
            moments
                .chunks_exact(3 * filters)
                .map(|part| [part[c], part[filters + c], part[2 * filters + c]].map(f64::from))
        };
        let counted: f64 = parts().map(|[count, ..]| count).sum();
        assert_eq!(counted, rows as f64, "{what}: rows of {c}");
        let found = parts().map(|[count, mean, _]| count * mean).sum::<f64>() / counted;
        let of_channel = || y.iter().skip(c).step_by(filters);
        let mean = of_channel().sum::<f64>() / counted;
        let deviations: f64 = of_channel().map(|y| (y - mean).powi(2)).sum();
        let around =
            |[count, of_part, squares]: [f64; 3]| squares + count * (of_part - found).powi(2);
        let squares: f64 = parts().map(around).sum();
        // Means of up to 256 values, each of a few roundings in f32.
        let scale = of_channel().fold(1.0, |most: f64, y| most.max(y.abs()));
        assert!((found - mean).abs() <= 1e-6 * scale, "{what}: mean of {c}: {found} for {mean}");
        let close = (squares - deviations).abs() <= 1e-5 * deviations + 1e-6 * scale * scale;
        assert!(close, "{what}: deviations of {c}: {squares} for {deviations}");
    }
}

/// The sums of a segment whose gradient is dx, before the activation that follows its normalisation.
pub(super) fn sums_of(
    channels: usize,
    [x, lines]: &[Vec<f32>; 2],
    f: Option<Activation>,
    dx: &[f64],
) -> Vec<f64> {
    let mut sums = vec![0.0; 2 * channels];
    for (at, dx) in dx.iter().enumerate() {
        let c = at % channels;
        let line = |line: usize| f64::from(lines[line * channels + c]);
        let x = f64::from(x[at]);
        let dead = f == RELU && x * line(0) + line(1) <= 0.0;
        let g = if dead { 0.0 } else { *dx };
        sums[c] += g;
        sums[channels + c] += g * (x - line(2));
    }
    sums
}
