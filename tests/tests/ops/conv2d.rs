//! The three passes of convolution against loops over every index.

use half::{bf16, f16};
use nasrl_tensor::ops::{
    Connection, Conv2d, Conv2dBackend, Epilogue, Padding, Sum, conv2d, conv2d_dgrad, conv2d_wgrad,
};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{Inputs, Tolerance, assert_close, assert_equal, rounded};

use crate::{Device, alike, backends};

const FLOATS: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

#[derive(Clone)]
pub(crate) struct Problem {
    pub(crate) images: usize,
    geometry: Conv2d,
    pub(crate) x: Vec<f32>,
    pub(crate) w: Vec<f32>,
    pub(crate) dy: Vec<f32>,
}

/// Results of the three passes.
pub(crate) struct Passes<T> {
    pub(crate) y: Vec<T>,
    pub(crate) dx: Vec<T>,
    pub(crate) dw: Vec<T>,
}

impl Problem {
    pub(crate) fn new(
        images: usize,
        geometry: Conv2d,
        mut draw: impl FnMut(usize) -> Vec<f32>,
    ) -> Self {
        let [p, q] = geometry.output();
        let x = draw(images * geometry.input[0] * geometry.input[1] * geometry.channels);
        let w = draw(geometry.filter_shape().count());
        let dy = draw(images * p * q * geometry.filters);
        Problem { images, geometry, x, w, dy }
    }

    fn integers(images: usize, geometry: Conv2d) -> Self {
        let mut inputs = Inputs::new(11);
        Self::new(images, geometry, |len| inputs.integers(len, 3))
    }

    /// Uniform values that every dtype holds as they are, so that only sums are rounded.
    fn uniform(images: usize, geometry: Conv2d) -> Self {
        let mut inputs = Inputs::new(12);
        Self::new(images, geometry, |len| {
            inputs.uniform(len).into_iter().map(|x| bf16::from_f32(x).to_f32()).collect()
        })
    }

    pub(crate) fn reference(&self) -> Passes<f64> {
        let g = &self.geometry;
        let ([h, w], c, k) = (g.input, g.channels, g.filters);
        let ([p, q], [r, s]) = (g.output(), g.kernel);
        let mut passes = Passes {
            y: vec![0.0; self.dy.len()],
            dx: vec![0.0; self.x.len()],
            dw: vec![0.0; self.w.len()],
        };
        let mut term = |x: usize, y: usize, weight: usize| {
            passes.y[y] += f64::from(self.x[x]) * f64::from(self.w[weight]);
            passes.dx[x] += f64::from(self.dy[y]) * f64::from(self.w[weight]);
            passes.dw[weight] += f64::from(self.dy[y]) * f64::from(self.x[x]);
        };
        for n in 0..self.images {
            for (i, j) in product(p, q) {
                for (u, v) in product(r, s) {
                    let row = (i * g.stride[0] + u * g.dilation[0]).checked_sub(g.padding.top);
                    let column = (j * g.stride[1] + v * g.dilation[1]).checked_sub(g.padding.left);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    if row >= h || column >= w {
                        continue;
                    }
                    let x = ((n * h + row) * w + column) * c;
                    let y = ((n * p + i) * q + j) * k;
                    for filter in 0..k {
                        match g.connection {
                            Connection::Depthwise => {
                                term(x + filter, y + filter, (filter * r + u) * s + v);
                            }
                            Connection::Full => (0..c).for_each(|channel| {
                                let weight = ((filter * r + u) * s + v) * c + channel;
                                term(x + channel, y + filter, weight);
                            }),
                        }
                    }
                }
            }
        }
        passes
    }

    fn run(&self, backend: &Device, dtype: DType) -> Passes<f32> {
        let g = &self.geometry;
        let ([h, w], [p, q]) = (g.input, g.output());
        let tensor = |shape: [usize; 4], data: &[f32]| {
            Tensor::from_slice(backend, shape, data).unwrap().cast(dtype).unwrap()
        };
        let x = tensor([self.images, h, w, g.channels], &self.x);
        let dy = tensor([self.images, p, q, g.filters], &self.dy);
        let w = Tensor::from_slice(backend, g.filter_shape(), &self.w).unwrap();
        let values = |t: Tensor<Device>| t.cast(DType::F32).unwrap().to_vec().unwrap();
        Passes {
            y: values(conv2d(&x, &w, g).unwrap()),
            dx: values(conv2d_dgrad(&dy, &w, g).unwrap()),
            dw: values(conv2d_wgrad(&x, &dy, g).unwrap()),
        }
    }
}

fn product(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..a).flat_map(move |i| (0..b).map(move |j| (i, j)))
}

pub(crate) fn full(
    input: [usize; 2],
    channels: usize,
    filters: usize,
    kernel: [usize; 2],
) -> Conv2d {
    Conv2d::new(input, channels, filters, kernel)
}

fn padded(g: Conv2d, [top, bottom, left, right]: [usize; 4]) -> Conv2d {
    Conv2d { padding: Padding { top, bottom, left, right }, ..g }
}

/// One size past a tile, primes, even and rectangular filters, strides above the filter, dilation,
/// padding on one side only, dilation that no tile can hold, and the layers of real children.
pub(crate) fn catalogue() -> Vec<Conv2d> {
    let strided = |g, stride| Conv2d { stride, ..g };
    let dilated = |g, dilation| Conv2d { dilation, ..g };
    let mut all = vec![
        full([1, 1], 1, 1, [1, 1]),
        full([5, 7], 3, 5, [1, 1]),
        full([9, 11], 16, 17, [1, 1]),
        full([4, 4], 64, 64, [1, 1]),
        strided(full([9, 8], 6, 16, [1, 1]), [2, 3]),
        full([8, 8], 3, 16, [3, 3]).same(),
        full([13, 11], 5, 33, [3, 3]).same(),
        strided(full([32, 32], 3, 64, [3, 3]), [2, 2]).same(),
        strided(full([28, 28], 1, 16, [3, 3]), [2, 2]).same(),
        strided(full([7, 7], 24, 36, [3, 3]), [2, 2]).same(),
        full([8, 8], 64, 65, [3, 3]).same(),
        full([6, 6], 7, 49, [2, 2]).same(),
        full([10, 6], 4, 6, [4, 2]),
        full([12, 9], 2, 31, [1, 7]).same(),
        full([9, 12], 8, 32, [7, 1]).same(),
        full([11, 13], 3, 8, [5, 3]).same(),
        strided(full([11, 10], 4, 12, [2, 2]), [3, 4]),
        strided(full([7, 5], 3, 4, [1, 1]), [9, 2]),
        dilated(full([12, 13], 5, 7, [3, 3]), [2, 3]).same(),
        dilated(strided(full([17, 16], 3, 20, [3, 2]), [2, 3]), [3, 2]).same(),
        padded(full([5, 6], 2, 3, [3, 3]), [2, 0, 0, 1]),
        padded(strided(full([6, 5], 3, 48, [3, 5]), [3, 2]), [0, 3, 4, 0]),
        padded(full([3, 3], 1, 2, [2, 2]), [3, 3, 3, 3]),
        strided(full([18, 17], 16, 24, [3, 3]), [2, 2]).same(),
        strided(full([9, 10], 72, 8, [3, 2]), [3, 2]).same(),
        dilated(full([20, 35], 24, 40, [5, 3]), [3, 2]).same(),
        full([5, 6], 64, 56, [3, 3]).same(),
        full([11, 12], 80, 72, [3, 3]).same(),
        strided(full([19, 9], 36, 20, [3, 3]), [2, 1]).same(),
        dilated(full([125, 124], 2, 3, [3, 3]), [60, 59]),
    ];
    let depthwise = |g: Conv2d| Conv2d { connection: Connection::Depthwise, ..g };
    all.extend([
        depthwise(full([6, 7], 5, 5, [3, 3])).same(),
        depthwise(full([9, 8], 17, 17, [5, 2])),
        depthwise(strided(full([11, 12], 33, 33, [3, 3]), [2, 3])).same(),
        depthwise(dilated(full([12, 12], 16, 16, [3, 3]), [2, 2])).same(),
        depthwise(strided(full([10, 9], 40, 40, [5, 5]), [2, 1])).same(),
    ]);
    all
}

#[test]
fn integers_are_exact() {
    for geometry in catalogue() {
        for images in [1, 3] {
            let problem = Problem::integers(images, geometry);
            let expected = problem.reference();
            for backend in backends() {
                for dtype in FLOATS {
                    let found = problem.run(&backend, dtype);
                    let round = |values: &[f64]| rounded_to(dtype, values);
                    let what = |pass| {
                        format!("{pass} {dtype} on {}, {images} of {geometry:?}", backend.name())
                    };
                    assert_equal(&what("fprop"), &found.y, &round(&expected.y));
                    assert_equal(&what("dgrad"), &found.dx, &round(&expected.dx));
                    assert_equal(&what("wgrad"), &found.dw, &expected.dw);
                }
            }
        }
    }
}

#[test]
fn random_values_are_within_the_error_of_their_sums() {
    for geometry in catalogue() {
        let problem = Problem::uniform(2, geometry);
        let expected = problem.reference();
        let window = geometry.kernel[0] * geometry.kernel[1];
        let pixels = 2 * geometry.output()[0] * geometry.output()[1];
        for backend in backends() {
            for dtype in FLOATS {
                let found = problem.run(&backend, dtype);
                let what = |pass| format!("{pass} {dtype} on {} of {geometry:?}", backend.name());
                let y = Tolerance::sum(dtype, window * geometry.channels);
                assert_close(&what("fprop"), &found.y, &expected.y, y);
                let dx = Tolerance::sum(dtype, window * geometry.filters);
                assert_close(&what("dgrad"), &found.dx, &expected.dx, dx);
                let dw = Tolerance::sum(DType::F32, pixels);
                assert_close(&what("wgrad"), &found.dw, &expected.dw, dw);
            }
        }
    }
}

/// Filters are multiplied as values of the activations' type, whatever a processor computes in.
#[test]
fn filters_are_rounded_to_the_type_of_activations() {
    // How they are packed depends on the algorithm alone: some of each.
    for geometry in catalogue().into_iter().step_by(3) {
        let exact = Problem::uniform(2, geometry);
        let drawn = Inputs::new(14).uniform(exact.w.len());
        for dtype in FLOATS {
            let values = rounded(dtype, &drawn).into_iter().map(|value| value as f32).collect();
            let [as_drawn, as_rounded] = [&drawn, &values].map(|w: &Vec<f32>| {
                let Problem { images, geometry, ref x, ref dy, .. } = exact;
                Problem { images, geometry, x: x.clone(), w: w.clone(), dy: dy.clone() }
            });
            for backend in backends() {
                let [found, expected] = [&as_drawn, &as_rounded].map(|it| it.run(&backend, dtype));
                let what = format!("{dtype} on {} of {geometry:?}", backend.name());
                assert!(found.y == expected.y, "fprop {what}");
                assert!(found.dx == expected.dx, "dgrad {what}");
            }
        }
    }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let geometry = Conv2d { stride: [2, 2], ..full([33, 31], 6, 24, [3, 3]) }.same();
    let problem = Problem::uniform(37, geometry);
    for dtype in FLOATS {
        let results: Vec<_> = alike().iter().map(|on| problem.run(on, dtype)).collect();
        for pair in results.windows(2) {
            assert!(pair[0].y == pair[1].y);
            assert!(pair[0].dx == pair[1].dx);
            assert!(pair[0].dw == pair[1].dw);
        }
    }
}

/// What no function on tensors fuses: bias and relu forward, a mask backward, sums that are added
/// to what is there. Buffers are longer than what they hold, as those of a compiled program are.
#[test]
fn what_a_program_fuses_is_exact() {
    for geometry in catalogue() {
        let images = 2;
        let problem = Problem::integers(images, geometry);
        let expected = problem.reference();
        let mut inputs = Inputs::new(13);
        let bias = inputs.integers(geometry.filters, 3);
        let mask = inputs.integers(problem.x.len(), 1);
        let before = inputs.integers(problem.w.len(), 9);
        let biased =
            |(index, &y): (usize, &f64)| (y + f64::from(bias[index % geometry.filters])).max(0.0);
        let y: Vec<f64> = expected.y.iter().enumerate().map(biased).collect();
        let passed = |(&dx, &mask): (&f64, &f32)| if mask > 0.0 { dx } else { 0.0 };
        let dx: Vec<f64> = expected.dx.iter().zip(&mask).map(passed).collect();
        let dw: Vec<f64> =
            expected.dw.iter().zip(&before).map(|(&dw, &before)| dw + f64::from(before)).collect();
        for on in backends() {
            for dtype in FLOATS {
                let buffer = |values: &[f32], dtype: DType| {
                    let longer = [values, &[7.0; 5]].concat();
                    let mut wide = on.zeros(DType::F32, longer.len()).unwrap();
                    on.write(&longer, &mut wide).unwrap();
                    let mut buffer = on.zeros(dtype, longer.len()).unwrap();
                    on.cast(longer.len(), &wide, &mut buffer).unwrap();
                    buffer
                };
                let read = |buffer: &<Device as Memory>::Buffer, len: usize| {
                    let mut wide = on.zeros(DType::F32, len + 1).unwrap();
                    on.cast(len + 1, buffer, &mut wide).unwrap();
                    let mut values = vec![0.0f32; len + 1];
                    on.read(&wide, &mut values).unwrap();
                    assert_eq!(values.pop(), Some(7.0), "written past the end");
                    values
                };
                let round = |values: &[f64]| rounded_to(dtype, values);
                let what = |of| format!("{of} {dtype} on {} of {geometry:?}", on.name());
                let mut plan = on.conv2d_plan(&geometry, dtype).unwrap();
                on.conv2d_load(&mut plan, &buffer(&problem.w, DType::F32)).unwrap();
                let x = buffer(&problem.x, dtype);
                let dy = buffer(&problem.dy, dtype);

                let mut found = buffer(&vec![1.0; y.len()], dtype);
                let of_filters = buffer(&bias, DType::F32);
                let epilogue = Epilogue { bias: Some(&of_filters), relu: true };
                on.conv2d_fprop(&plan, images, &x, epilogue, &mut found).unwrap();
                assert_equal(&what("y"), &read(&found, y.len()), &round(&y));

                let mut found = buffer(&vec![1.0; dx.len()], dtype);
                let of_input = buffer(&mask, dtype);
                on.conv2d_dgrad(&plan, images, &dy, Some(&of_input), &mut found).unwrap();
                assert_equal(&what("dx"), &read(&found, dx.len()), &round(&dx));

                let mut found = buffer(&before, DType::F32);
                on.conv2d_wgrad(&plan, images, &x, &dy, Sum::Add, &mut found).unwrap();
                assert_equal(&what("dw"), &read(&found, dw.len()), &dw);

                // What is before is added last, and is exact like every other sum.
                let count = on.conv2d_gradient_pieces(&plan, images);
                let most = on.conv2d_memory(&geometry, dtype, images).pieces;
                assert!((1..=most).contains(&count), "{count} pieces of {most}");
                let mut pieces = buffer(&vec![7.0; count * dw.len()], DType::F32);
                on.conv2d_wgrad_pieces(&plan, images, &x, &dy, &mut pieces).unwrap();
                let mut total = before.clone();
                for piece in read(&pieces, count * dw.len()).chunks(dw.len()) {
                    total.iter_mut().zip(piece).for_each(|(total, piece)| *total += piece);
                }
                assert_equal(&what("pieces of dw"), &total, &dw);
            }
        }
    }
}

/// bf16 and f16 hold integers up to 256 and 2,048: those that a sum may pass are rounded, once,
/// from the exact sum.
pub(crate) fn rounded_to(dtype: DType, values: &[f64]) -> Vec<f64> {
    let round = |&value: &f64| match dtype {
        DType::BF16 => bf16::from_f32(value as f32).to_f64(),
        DType::F16 => f16::from_f32(value as f32).to_f64(),
        _ => value,
    };
    values.iter().map(round).collect()
}

#[test]
fn relu_keeps_nan() {
    for backend in backends() {
        let g = Conv2d::new([1, 3], 1, 1, [1, 1]);
        let x = Tensor::from_slice(&backend, [1, 1, 3, 1], &[f32::NAN, -1.0, 1.0]).unwrap();
        let w = Tensor::from_slice(&backend, g.filter_shape(), &[1.0f32]).unwrap();
        let mut plan = backend.conv2d_plan(&g, DType::F32).unwrap();
        backend.conv2d_load(&mut plan, w.buffer()).unwrap();
        let mut y = backend.zeros(DType::F32, 3).unwrap();
        let epilogue = Epilogue { bias: None, relu: true };
        backend.conv2d_fprop(&plan, 1, x.buffer(), epilogue, &mut y).unwrap();
        let mut values = [0.0f32; 3];
        backend.read(&y, &mut values).unwrap();
        let on = backend.name();
        assert!(values[0].is_nan() && values[1..] == [0.0, 1.0], "{values:?} on {on}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |shape: [usize; 4]| Tensor::zeros(&device, DType::F32, shape).unwrap();
    let g = full([4, 4], 3, 8, [3, 3]);
    let (x, w) = (zeros([2, 4, 4, 3]), zeros([8, 3, 3, 3]));
    let refused = |x: &Tensor<_>, w: &Tensor<_>, g: &Conv2d| conv2d(x, w, g).unwrap_err();
    assert!(matches!(refused(&zeros([2, 4, 5, 3]), &w, &g), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(&x, &zeros([8, 3, 3, 2]), &g), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(&x, &w.cast(DType::BF16).unwrap(), &g), Error::DType { .. }));
    let too_large = Conv2d { kernel: [5, 3], ..g };
    assert!(matches!(refused(&x, &w, &too_large), Error::Parameter { name: "kernel", .. }));
    let standing = Conv2d { stride: [0, 1], ..g };
    assert!(matches!(refused(&x, &w, &standing), Error::Parameter { name: "stride", .. }));
    let depthwise = Conv2d { connection: Connection::Depthwise, ..g };
    assert!(matches!(refused(&x, &w, &depthwise), Error::Parameter { name: "filters", .. }));
}

#[test]
fn same_is_tensorflows() {
    let g = |size, kernel, stride| {
        Conv2d { stride: [stride, 1], ..full([size, 9], 1, 1, [kernel, 1]) }.same()
    };
    for (size, kernel, stride, output, top, bottom) in
        [(32, 3, 2, 16, 0, 1), (32, 3, 1, 32, 1, 1), (7, 2, 1, 7, 0, 1), (5, 1, 2, 3, 0, 0)]
    {
        let g = g(size, kernel, stride);
        assert_eq!((g.output()[0], g.padding.top, g.padding.bottom), (output, top, bottom));
    }
}
