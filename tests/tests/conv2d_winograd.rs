//! Winograd's convolution on the CPU against plain sums, which the operations' tests check.

use nasrl_tensor::cpu::{Buffer, Conv2dAlgorithm};
use nasrl_tensor::ops::{Conv2d, Conv2dBackend, Epilogue, Padding, Sum};
use nasrl_tensor::{Cpu, DType, Memory};
use nasrl_tests::{Inputs, backends};

/// Maps that tiles fill and that they reach past, channels of whole vectors and others, padding of
/// every kind that a gradient can be gathered with, several bands and several images a band.
fn geometries() -> Vec<(usize, Conv2d)> {
    let g = |input: [usize; 2], channels, filters| Conv2d::new(input, channels, filters, [3, 3]);
    let padding = |[top, bottom, left, right]: [usize; 4]| Padding { top, bottom, left, right };
    vec![
        (1, g([4, 4], 16, 16).same()),
        (3, g([8, 8], 16, 17).same()),
        (17, g([7, 8], 17, 33).same()),
        (2, g([16, 16], 64, 64).same()),
        (1, g([11, 13], 41, 24).same()),
        (1, g([31, 29], 20, 52).same()),
        (3, g([9, 8], 33, 47).same()),
        (2, g([10, 9], 16, 24)),
        (2, Conv2d { padding: padding([2, 0, 1, 2]), ..g([7, 6], 24, 16) }),
        (2, Conv2d { padding: padding([2, 2, 2, 2]), ..g([6, 10], 24, 40) }),
    ]
}

fn winograd(cpu: Cpu) -> Cpu {
    cpu.with_conv2d(Conv2dAlgorithm::Winograd)
}

/// Bias, relu and mask are applied; the gradient of the filters is added to what is there.
struct Passes {
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

struct Problem {
    images: usize,
    geometry: Conv2d,
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    mask: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    fn new(images: usize, geometry: Conv2d) -> Self {
        let mut inputs = Inputs::new(21);
        let [p, q] = geometry.output();
        let image = geometry.input[0] * geometry.input[1] * geometry.channels;
        Problem {
            images,
            geometry,
            x: inputs.uniform(images * image),
            w: inputs.uniform(geometry.filter_shape().count()),
            bias: inputs.uniform(geometry.filters),
            mask: inputs.uniform(images * image),
            dy: inputs.uniform(images * p * q * geometry.filters),
        }
    }

    fn run(&self, on: &Cpu, dtype: DType) -> Passes {
        let buffer = |values: &[f32], dtype| {
            let longer = [values, &[7.0; 5]].concat();
            let mut wide = on.zeros(DType::F32, longer.len()).unwrap();
            on.write(&longer, &mut wide).unwrap();
            let mut buffer = on.zeros(dtype, longer.len()).unwrap();
            on.cast(longer.len(), &wide, &mut buffer).unwrap();
            buffer
        };
        let read = |buffer: &Buffer, len: usize| {
            let mut wide = on.zeros(DType::F32, len + 1).unwrap();
            on.cast(len + 1, buffer, &mut wide).unwrap();
            let mut values = vec![0.0f32; len + 1];
            on.read(&wide, &mut values).unwrap();
            assert_eq!(values.pop(), Some(7.0), "written past the end");
            values
        };
        let (w, bias) = (buffer(&self.w, DType::F32), buffer(&self.bias, DType::F32));
        let (x, dy, mask) =
            (buffer(&self.x, dtype), buffer(&self.dy, dtype), buffer(&self.mask, dtype));
        let mut plan = on.conv2d_plan(&self.geometry, dtype).unwrap();
        on.conv2d_load(&mut plan, &w).unwrap();
        let mut y = buffer(&vec![1.0; self.dy.len()], dtype);
        let mut dx = buffer(&vec![1.0; self.x.len()], dtype);
        let mut dw = buffer(&self.w, DType::F32);
        let epilogue = Epilogue { bias: Some(&bias), relu: true };
        on.conv2d_fprop(&plan, self.images, &x, epilogue, &mut y).unwrap();
        on.conv2d_dgrad(&plan, self.images, &dy, Some(&mask), &mut dx).unwrap();
        on.conv2d_wgrad(&plan, self.images, &x, &dy, Sum::Add, &mut dw).unwrap();
        Passes {
            y: read(&y, self.dy.len()),
            dx: read(&dx, self.x.len()),
            dw: read(&dw, self.w.len()),
        }
    }
}

/// The root of the mean squared difference, as a part of that of the reference.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let pairs = found.iter().zip(expected);
    let error = squares(&mut pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    (error / squares(&mut expected.iter().map(|&x| f64::from(x)))).sqrt()
}

/// f32: what the spread of the transforms' constants makes of 24 bits. 16 bits: the results' own
/// rounding, and for gradients of bf16, whose transformed operands are rounded to it too where the
/// processor multiplies its pairs, the figure for one layer.
#[test]
fn results_are_those_of_plain_sums() {
    let direct = Cpu::serial();
    for (images, geometry) in geometries() {
        let problem = Problem::new(images, geometry);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let expected = problem.run(&direct, dtype);
            let [forward, backward] = match dtype {
                DType::F32 => [5e-6; 2],
                DType::F16 => [5e-4; 2],
                _ => [5e-3, 5e-2],
            };
            for on in backends().into_iter().map(winograd) {
                let found = problem.run(&on, dtype);
                for (pass, found, expected, most) in [
                    ("fprop", &found.y, &expected.y, forward),
                    ("dgrad", &found.dx, &expected.dx, backward),
                    ("wgrad", &found.dw, &expected.dw, backward),
                ] {
                    let error = relative_error(found, expected);
                    let on = on.name();
                    assert!(error <= most, "{pass} {dtype} on {on}: {error:.1e} of {geometry:?}");
                }
            }
        }
    }
}

/// Otherwise the test above would compare plain sums with themselves.
#[test]
fn these_geometries_are_not_computed_by_plain_sums() {
    for (images, geometry) in geometries() {
        let problem = Problem::new(images, geometry);
        let found = problem.run(&winograd(Cpu::serial()), DType::F32);
        let plain = problem.run(&Cpu::serial(), DType::F32);
        assert!(found.y != plain.y && found.dx != plain.dx && found.dw != plain.dw, "{geometry:?}");
    }
}

#[test]
fn threads_and_the_cut_of_a_batch_do_not_show() {
    let problem = Problem::new(37, Conv2d::new([12, 9], 24, 40, [3, 3]).same());
    for dtype in [DType::F32, DType::BF16] {
        let on = |threads| winograd(Cpu::with_threads(threads).unwrap());
        let expected = problem.run(&on(1), dtype);
        for threads in [2, 5] {
            let found = problem.run(&on(threads), dtype);
            assert!(found.y == expected.y && found.dx == expected.dx && found.dw == expected.dw);
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let mut problem = Problem::new(1, Conv2d::new([8, 8], 16, 16, [3, 3]).same());
    problem.x[100] = f32::NAN;
    let found = problem.run(&winograd(Cpu::serial()), DType::F32);
    assert!(found.y.iter().any(|y| y.is_nan()) && found.dw.iter().any(|dw| dw.is_nan()));
}
