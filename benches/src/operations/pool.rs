use nasrl_tensor::Result;
use nasrl_tensor::ops::{Pool2d, Pool2dBackend, Pooling};
use nasrl_tests::Tolerance;

use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory for windows side by side: one read of the input and one write of the output
/// forward, one read of both and one write of the input backward. A window of 3x3 with stride 1
/// takes nine loads from the cache for an element.
pub(super) fn cases<B: Pool2dBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let (dtype, images) = (setting.dtype, setting.images(2));
    let max = |input, channels, window| Pool2d::new(Pooling::Max, input, channels, window);
    let smoothing = |max: Pool2d| Pool2d { stride: [1, 1], ..max }.same();
    let halving = max([16, 16], 64, [2, 2]);
    let uneven = Pool2d { stride: [3, 2], ..max([7, 9], 5, [3, 4]) }.same();
    let mut cases = Vec::new();
    for one in setting.pick(
        &[max([1, 1], 1, [1, 1]), uneven, smoothing(max([5, 4], 24, [3, 3]))],
        &[halving, smoothing(max([16, 16], 64, [3, 3]))],
    ) {
        for pooling in [Pooling::Max, Pooling::Average] {
            let geometry = Pool2d { pooling, ..one };
            let [x_len, y_len] = [geometry.input, geometry.output()]
                .map(|[height, width]| images * height * width * geometry.channels);
            let ([r, s], [h, w]) = (geometry.window, geometry.input);
            let shape = format!("{images}x{h}x{w}x{}", geometry.channels);
            let name = format!("{pooling:?} {r}x{s}").to_lowercase();
            // Gradients of windows that overlap are added up.
            let sum = Agreement::Close(Tolerance::rounding(dtype));
            let fprop = match pooling {
                Pooling::Max => Agreement::Exact,
                Pooling::Average => sum,
            };
            let mut draw = setting.draw(21);
            cases.push(Case {
                pass: format!("{name} fprop"),
                shape: shape.clone(),
                work: Work::bytes((x_len + y_len) * dtype.size()),
                agreement: fprop,
                inputs: vec![draw.values(dtype, x_len)?],
                outputs: vec![draw.zeros(dtype, y_len)?],
                call: calling::<B>(move |on, x, y| on.pool2d(&geometry, images, &x[0], &mut y[0])),
            });
            cases.push(Case {
                pass: format!("{name} backward"),
                shape,
                work: Work::bytes((2 * x_len + y_len) * dtype.size()),
                agreement: sum,
                inputs: vec![draw.values(dtype, x_len)?, draw.values(dtype, y_len)?],
                outputs: vec![draw.zeros(dtype, x_len)?],
                call: calling::<B>(move |on, x, dx| {
                    on.pool2d_backward(&geometry, images, &x[0], &x[1], &mut dx[0])
                }),
            });
        }
    }
    Ok(cases)
}
