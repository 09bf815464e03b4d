//! SGD, Adam and RMSProp against their formulas in f64.

use nasrl_tensor::ops::{
    GradientPieces, OptimizedTensor, Optimizer, OptimizerBackend, OptimizerStep, StepSizes,
    UpdateRule,
};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{Inputs, Tolerance, assert_close, assert_equal, elements, tensor, values};

use crate::{Device, backends};

/// 257 is prime; 1025 is one past a block; 20,011 is large enough to be shared among threads.
const LENGTHS: [usize; 4] = [1, 257, 1025, 20_011];

const RULES: [UpdateRule; 7] = [
    UpdateRule::Sgd { momentum: 0.0, nesterov: false },
    UpdateRule::Sgd { momentum: 0.9, nesterov: false },
    UpdateRule::Sgd { momentum: 0.9, nesterov: true },
    UpdateRule::ADAM,
    UpdateRule::Adam { beta1: 0.5, beta2: 0.75, epsilon: 0.01 },
    UpdateRule::RmsProp { decay: 0.9, momentum: 0.0, epsilon: 1e-10 },
    UpdateRule::RmsProp { decay: 0.5, momentum: 0.9, epsilon: 0.01 },
];

/// A step in the terms of its formula.
struct Step {
    rule: UpdateRule,
    rate: f64,
    weight_decay: f64,
    number: u64,
}

/// One parameter's state.
#[derive(Clone, Copy, Default)]
struct Reference {
    p: f64,
    m: f64,
    v: f64,
}

impl Reference {
    fn step(&mut self, step: &Step, gradient: f64) {
        let Step { rule, rate, weight_decay, number } = *step;
        let g = gradient + weight_decay * self.p;
        match rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                self.m = momentum * self.m + g;
                let direction = if nesterov { g + momentum * self.m } else { self.m };
                self.p -= rate * direction;
            }
            UpdateRule::Adam { beta1, beta2, epsilon } => {
                self.m = beta1 * self.m + (1.0 - beta1) * g;
                self.v = beta2 * self.v + (1.0 - beta2) * g * g;
                let mean = self.m / (1.0 - beta1.powi(number as i32));
                let square = self.v / (1.0 - beta2.powi(number as i32));
                self.p -= rate * mean / (square.sqrt() + epsilon);
            }
            UpdateRule::RmsProp { decay, momentum, epsilon } => {
                self.v = decay * self.v + (1.0 - decay) * g * g;
                self.m = momentum * self.m + rate * g / (self.v + epsilon).sqrt();
                self.p -= self.m;
            }
        }
    }
}

/// Momentum and rates that are powers of two keep integers exact, sums of several gradients too.
#[test]
fn sgd_of_integers_is_exact() {
    for device in backends() {
        for len in LENGTHS {
            for nesterov in [false, true] {
                let rule = UpdateRule::Sgd { momentum: 0.5, nesterov };
                let mut inputs = Inputs::new(1);
                let p = inputs.integers(len, 9);
                let mut expected: Vec<_> =
                    p.iter().map(|&p| Reference { p: p.into(), ..Default::default() }).collect();
                // Longer than the parameters, as the buffers of a compiled program are.
                let zeros = || device.zeros(DType::F32, len + 3).unwrap();
                let (mut parameters, mut state) = (zeros(), [zeros()]);
                device.write(&p, &mut parameters).unwrap();
                for number in 1..=3 {
                    let step = Step { rule, rate: 0.25, weight_decay: 0.5, number };
                    let partial: Vec<Vec<f32>> = (0..5).map(|_| inputs.integers(len, 9)).collect();
                    // Three pieces in one buffer, one in each of two.
                    let buffers = [partial[..3].concat(), partial[3].clone(), partial[4].clone()];
                    let buffers = buffers.map(|pieces| {
                        let mut buffer = device.zeros(DType::F32, pieces.len() + 3).unwrap();
                        device.write(&pieces, &mut buffer).unwrap();
                        buffer
                    });
                    let counted = buffers.iter().zip([3, 1, 1]);
                    let gradients: Vec<_> =
                        counted.map(|(buffer, count)| GradientPieces { buffer, count }).collect();
                    let tensor = OptimizedTensor {
                        len,
                        parameters: &mut parameters,
                        gradients: &gradients,
                        state: &mut state,
                    };
                    let sizes = StepSizes::Given(rule.sizes(step.rate, number));
                    let made = OptimizerStep { rule, weight_decay: step.weight_decay, sizes };
                    device.optimizer_steps(&made, &mut [tensor]).unwrap();
                    for (index, reference) in expected.iter_mut().enumerate() {
                        let gradient = partial.iter().map(|g| f64::from(g[index])).sum();
                        reference.step(&step, gradient);
                    }
                }
                let what = format!("{len} nesterov {nesterov} on {}", device.name());
                let expected: Vec<f64> = expected.iter().map(|reference| reference.p).collect();
                assert_equal(&what, &elements::<f32, _>(&device, &parameters)[..len], &expected);
                assert_eq!(elements::<f32, _>(&device, &parameters)[len..], [0.0; 3], "{what}");
            }
        }
    }
}

#[test]
fn steps_of_random_gradients_are_within_rounding() {
    for backend in backends() {
        for rule in RULES {
            for weight_decay in [0.0, 0.1] {
                let what = format!("{rule:?} decay {weight_decay} on {}", backend.name());
                let shapes: [&[usize]; 3] = [&[257], &[1], &[3, 5, 7]];
                let mut inputs = Inputs::new(2);
                let mut draw = || -> Vec<_> {
                    let count = |shape: &&[usize]| shape.iter().product();
                    shapes.iter().map(|shape| inputs.uniform(count(shape))).collect()
                };
                let tensors = |values: &[Vec<f32>]| -> Vec<_> {
                    let shape = |shape: &&[usize]| nasrl_tensor::Shape::new(shape);
                    let pairs = shapes.iter().zip(values);
                    pairs.map(|(s, v)| tensor(&backend, DType::F32, shape(s), v)).collect()
                };
                let start = draw();
                let mut parameters = tensors(&start);
                let mut expected: Vec<_> = start
                    .concat()
                    .iter()
                    .map(|&p| Reference { p: p.into(), ..Default::default() })
                    .collect();
                let mut optimizer = Optimizer::new(rule, weight_decay).unwrap();
                for number in 1..=12 {
                    let rate = 0.01 / number as f64;
                    let gradients = draw();
                    optimizer.step(rate, &mut parameters, &tensors(&gradients)).unwrap();
                    let step = Step { rule, rate, weight_decay, number };
                    for (reference, g) in expected.iter_mut().zip(gradients.concat()) {
                        reference.step(&step, g.into());
                    }
                }
                assert_eq!(optimizer.steps(), 12);
                let found: Vec<f32> = parameters.iter().flat_map(values).collect();
                let expected: Vec<f64> = expected.iter().map(|reference| reference.p).collect();
                // Each of twelve steps rounds a parameter, the state and their change.
                assert_close(&what, &found, &expected, {
                    let Tolerance { absolute, relative } = Tolerance::rounding(DType::F32);
                    Tolerance { absolute: 12.0 * absolute, relative: 12.0 * relative }
                });
            }
        }
    }
}

/// The sizes of a step are those of the row that the clock names, bit for bit.
#[test]
fn sizes_come_from_a_table() {
    for device in backends() {
        for rule in RULES {
            let upload = |values: &[f32]| {
                let mut buffer = device.zeros(DType::F32, values.len()).unwrap();
                device.write(values, &mut buffer).unwrap();
                buffer
            };
            let mut inputs = Inputs::new(5);
            let (start, gradient) = (inputs.uniform(1025), upload(&inputs.uniform(1025)));
            let rows: Vec<[f32; 2]> = (1..=4).map(|number| rule.sizes(0.1, number)).collect();
            let table = upload(rows.as_flattened());
            let [given, looked_up] = [false, true].map(|looks| {
                let mut parameters = upload(&start);
                let mut state: Vec<_> =
                    (0..rule.state_buffers()).map(|_| upload(&[0.0; 1025])).collect();
                for (row, sizes) in rows.iter().enumerate() {
                    let mut clock = device.zeros(DType::U32, 2).unwrap();
                    device.write(&[77, row as u32], &mut clock).unwrap();
                    let sizes = match looks {
                        true => StepSizes::Table { table: &table, clock: &clock },
                        false => StepSizes::Given(*sizes),
                    };
                    let tensor = OptimizedTensor {
                        len: 1025,
                        parameters: &mut parameters,
                        gradients: &[GradientPieces { buffer: &gradient, count: 1 }],
                        state: &mut state,
                    };
                    let step = OptimizerStep { rule, weight_decay: 0.01, sizes };
                    device.optimizer_steps(&step, &mut [tensor]).unwrap();
                }
                elements::<f32, _>(&device, &parameters)
            });
            assert_eq!(given, looked_up, "{rule:?} on {}", device.name());
            assert_ne!(given, start);
        }
    }
}

/// More tensors than one launch takes, empty ones among them.
#[test]
fn many_tensors_are_each_changed_by_their_own_gradient() {
    for backend in backends() {
        let mut inputs = Inputs::new(4);
        let lens: Vec<usize> = (0..600).map(|i| [0, 1, 33, 1024, 1025][i % 5]).collect();
        let (start, gradients): (Vec<_>, Vec<_>) =
            lens.iter().map(|&len| (inputs.integers(len, 9), inputs.integers(len, 9))).unzip();
        let tensors = |values: &[Vec<f32>]| -> Vec<_> {
            values.iter().map(|v| tensor(&backend, DType::F32, [v.len()], v)).collect()
        };
        let mut parameters = tensors(&start);
        let rule = UpdateRule::Sgd { momentum: 0.0, nesterov: false };
        Optimizer::new(rule, 0.0)
            .unwrap()
            .step(0.5, &mut parameters, &tensors(&gradients))
            .unwrap();
        for ((found, p), g) in parameters.iter().zip(&start).zip(&gradients) {
            let expected: Vec<f32> = p.iter().zip(g).map(|(p, g)| p - 0.5 * g).collect();
            assert_eq!(values(found), expected, "{} on {}", p.len(), backend.name());
        }
    }
}

/// How many tensors a launch takes does not show.
#[test]
fn together_tensors_change_as_they_do_alone() {
    for backend in backends() {
        let mut inputs = Inputs::new(5);
        let lens: Vec<usize> = (0..70).map(|i| 1 + i % 9).collect();
        let mut draw = || -> Vec<_> {
            let values = lens.iter().map(|&len| inputs.uniform(len));
            values.map(|values| tensor(&backend, DType::F32, [values.len()], &values)).collect()
        };
        let (start, gradients) = (draw(), draw());
        for rule in RULES {
            let step = |parameters: &mut [Tensor<Device>], gradients: &[Tensor<Device>]| {
                Optimizer::new(rule, 0.1).unwrap().step(0.5, parameters, gradients).unwrap();
            };
            let mut together = start.clone();
            step(&mut together, &gradients);
            for ((start, gradient), found) in start.iter().zip(&gradients).zip(&together) {
                let mut alone = [start.clone()];
                step(&mut alone, std::slice::from_ref(gradient));
                assert_eq!(values(found), values(&alone[0]), "{rule:?} on {}", backend.name());
            }
        }
    }
}

/// With any gradient, Adam's first step is the rate in size, up to epsilon.
#[test]
fn the_first_step_of_adam_is_the_rate() {
    for backend in backends() {
        let gradients = [1e-3, -1e-3, 1.0, -1.0, 1e6, -1e6];
        let mut parameters = [Tensor::zeros(&backend, DType::F32, [6]).unwrap()];
        let gradients = [tensor(&backend, DType::F32, [6], &gradients)];
        let mut adam = Optimizer::new(UpdateRule::ADAM, 0.0).unwrap();
        adam.step(0.5, &mut parameters, &gradients).unwrap();
        let expected = [-0.5, 0.5, -0.5, 0.5, -0.5, 0.5];
        let tolerance = Tolerance { absolute: 0.0, relative: 1.1e-4 };
        assert_close(&backend.name(), &values(&parameters[0]), &expected, tolerance);
    }
}

#[test]
fn parameters_that_are_shared_are_copied() {
    let Some(device) = backends().pop() else { return };
    let before = tensor(&device, DType::F32, [2], &[1.0, 2.0]);
    let mut parameters = [before.clone()];
    let rule = UpdateRule::Sgd { momentum: 0.0, nesterov: false };
    let mut sgd = Optimizer::new(rule, 0.0).unwrap();
    sgd.step(1.0, &mut parameters, std::slice::from_ref(&before)).unwrap();
    assert_eq!(values(&before), [1.0, 2.0]);
    assert_eq!(values(&parameters[0]), [0.0, 0.0]);
}

/// Element-wise arithmetic has one result on every instruction set and number of threads.
#[test]
fn neither_threads_nor_instructions_change_a_bit() {
    fn run(backend: &Device, rule: UpdateRule) -> Vec<f32> {
        let mut inputs = Inputs::new(3);
        let mut draw = || [tensor(backend, DType::F32, [40_009], &inputs.uniform(40_009))];
        let mut optimizer = Optimizer::new(rule, 1e-4).unwrap();
        let mut parameters = draw();
        for _ in 0..3 {
            optimizer.step(0.1, &mut parameters, &draw()).unwrap();
        }
        values(&parameters[0])
    }
    for rule in RULES {
        let found: Vec<_> = backends().iter().map(|backend| run(backend, rule)).collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{rule:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let share = [1.0, -0.1, f64::NAN];
    let rules = share.into_iter().flat_map(|share| {
        [
            UpdateRule::Sgd { momentum: share, nesterov: false },
            UpdateRule::Adam { beta1: share, beta2: 0.5, epsilon: 1.0 },
            UpdateRule::Adam { beta1: 0.5, beta2: share, epsilon: 1.0 },
            UpdateRule::Adam { beta1: 0.5, beta2: 0.5, epsilon: -share.abs() },
            UpdateRule::RmsProp { decay: share, momentum: 0.0, epsilon: 1.0 },
            UpdateRule::RmsProp { decay: 0.5, momentum: share, epsilon: 1.0 },
            UpdateRule::RmsProp { decay: 0.5, momentum: 0.0, epsilon: -share.abs() },
        ]
    });
    for rule in rules {
        let refused = Optimizer::<Device>::new(rule, 0.0).err().unwrap();
        assert!(matches!(refused, Error::Parameter { .. }), "{rule:?}");
    }
    let refused = Optimizer::<Device>::new(UpdateRule::ADAM, -1.0).err().unwrap();
    assert!(matches!(refused, Error::Parameter { name: "weight_decay", .. }));

    let mut adam = Optimizer::new(UpdateRule::ADAM, 0.0).unwrap();
    let mut refused = |rate, parameters: &[Tensor<Device>], gradients: &[Tensor<Device>]| {
        adam.step(rate, &mut parameters.to_vec(), gradients).unwrap_err()
    };
    let (p, g) = (zeros(DType::F32, [2, 3]), zeros(DType::F32, [2, 3]));
    let [p, g] = [[p], [g]];
    assert!(matches!(refused(f64::NAN, &p, &g), Error::Parameter { name: "rate", .. }));
    assert!(matches!(refused(0.1, &p, &[]), Error::Parameter { .. }));
    let half = [zeros(DType::BF16, [2, 3])];
    assert!(matches!(refused(0.1, &half, &half), Error::DType { .. }));
    assert!(matches!(refused(0.1, &p, &half), Error::DType { .. }));
    let other = [zeros(DType::F32, [3, 2])];
    assert!(matches!(refused(0.1, &p, &other), Error::ShapeMismatch { .. }));
    adam.step(0.1, &mut p.to_vec(), &g).unwrap();
    let mut refused = |parameters: &[Tensor<Device>]| {
        adam.step(0.1, &mut parameters.to_vec(), parameters).unwrap_err()
    };
    assert!(matches!(refused(&other), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(&[]), Error::Parameter { .. }));
    assert_eq!(adam.steps(), 1);
}
