//! One step of an LSTM and its gradients.

use nasrl_tensor::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs,
    lstm_cell, lstm_cell_backward,
};
use nasrl_tensor::{DType, Error, Memory, Shape, Tensor};
use nasrl_tests::{Inputs, Tolerance, assert_close, assert_equal, elements, finite_difference};

use crate::{Device, alike, backends};

/// Vectorised exponentials are good to about 2e-7 of a gate, and a gate enters a few products.
const GATES: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

/// Sums over `4 units` gates of errors of [`Tolerance::FINITE_DIFFERENCE`]'s kind.
const GRADIENT: Tolerance = Tolerance { absolute: 4e-5, relative: 4e-5 };

/// Geometry and the operands one after the other: projection, h, c, recurrent.
struct Problem {
    batch: usize,
    units: usize,
    operands: [Vec<f32>; 4],
    dh: Vec<f32>,
    dc: Vec<f32>,
}

impl Problem {
    fn new(batch: usize, units: usize) -> Self {
        let mut inputs = Inputs::new(51);
        let state = batch * units;
        let operands = [4 * state, state, state, 4 * units * units].map(|len| inputs.uniform(len));
        let (dh, dc) = (inputs.uniform(state), inputs.uniform(state));
        Problem { batch, units, operands, dh, dc }
    }

    fn operands(&self) -> [Vec<f64>; 4] {
        self.operands.clone().map(|values| values.into_iter().map(f64::from).collect())
    }

    /// The new h and c.
    fn reference(&self, [projection, h, c, recurrent]: &[Vec<f64>; 4]) -> [Vec<f64>; 2] {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let units = self.units;
        let mut new = [vec![0.0; self.batch * units], vec![0.0; self.batch * units]];
        for row in 0..self.batch {
            for unit in 0..units {
                let gate = |index: usize| {
                    let column = index * units + unit;
                    let products =
                        (0..units).map(|k| h[row * units + k] * recurrent[k * 4 * units + column]);
                    projection[row * 4 * units + column] + products.sum::<f64>()
                };
                let at = row * units + unit;
                new[1][at] = sigmoid(gate(1)) * c[at] + sigmoid(gate(0)) * gate(2).tanh();
                new[0][at] = sigmoid(gate(3)) * new[1][at].tanh();
            }
        }
        new
    }

    /// h, c, dgates, dh before, dc before.
    fn run(&self, backend: &Device) -> [Vec<f32>; 5] {
        let Problem { batch, units, .. } = *self;
        let tensor =
            |shape: [usize; 2], values: &[f32]| Tensor::from_slice(backend, shape, values).unwrap();
        let (state, gates) = ([batch, units], [batch, 4 * units]);
        let [projection, h, c, recurrent] = &self.operands;
        let (projection, recurrent) =
            (tensor(gates, projection), tensor([units, 4 * units], recurrent));
        let [h, c, dh, dc] = [h, c, &self.dh, &self.dc].map(|values| tensor(state, values));
        let inputs = LstmInputs { projection: &projection, h: &h, c: &c, recurrent: &recurrent };
        let (new_h, new_c, gates) = lstm_cell(inputs).unwrap();
        let inputs = LstmGradientInputs {
            dh: &dh,
            gates: &gates,
            c_before: &c,
            c: &new_c,
            recurrent: &recurrent,
        };
        let (dgates, dh_before, dc_before) = lstm_cell_backward(inputs, &dc).unwrap();
        assert_eq!(dc.to_vec::<f32>().unwrap(), self.dc);
        [new_h, new_c, dgates, dh_before, dc_before].map(|tensor| tensor.to_vec().unwrap())
    }

    /// As [`Problem::run`], on buffers of which the step is the start and the rest is `rest`.
    fn run_in_longer_buffers(&self, backend: &Device, rest: f32) -> [Vec<f32>; 5] {
        const MORE: usize = 5;
        let Problem { batch, units, .. } = *self;
        let geometry = LstmCell { batch, units };
        let buffer = |values: &[f32]| {
            let mut buffer = backend.zeros(DType::F32, values.len() + MORE).unwrap();
            backend.write(&[values, &[rest; MORE]].concat(), &mut buffer).unwrap();
            buffer
        };
        let [projection, h, c, recurrent] = self.operands.each_ref().map(|values| buffer(values));
        let state = batch * units;
        let [mut gates, mut dgates] = [4 * state; 2].map(|len| buffer(&vec![rest; len]));
        let [mut new_h, mut new_c, mut dh_before] = [state; 3].map(|len| buffer(&vec![rest; len]));
        let inputs = LstmInputs { projection: &projection, h: &h, c: &c, recurrent: &recurrent };
        let outputs = LstmOutputs { gates: &mut gates, h: &mut new_h, c: &mut new_c };
        backend.lstm_cell(&geometry, inputs, outputs).unwrap();
        let (dh, mut dc) = (buffer(&self.dh), buffer(&self.dc));
        let inputs = LstmGradientInputs {
            dh: &dh,
            gates: &gates,
            c_before: &c,
            c: &new_c,
            recurrent: &recurrent,
        };
        let gradients =
            LstmGradients { dc: &mut dc, dgates: &mut dgates, dh_before: &mut dh_before };
        backend.lstm_cell_backward(&geometry, inputs, gradients).unwrap();
        [new_h, new_c, dgates, dh_before, dc].map(|buffer| {
            let mut values = elements::<f32, _>(backend, &buffer).to_vec();
            let tail = values.split_off(values.len() - MORE);
            assert_eq!(tail, [rest; MORE]);
            values
        })
    }
}

/// Gates so far open that they are 1, candidates that a sum of integers makes -1, 0 or 1.
#[test]
fn open_gates_are_exact() {
    for (batch, units) in [(1, 1), (3, 5), (9, 32), (2, 300)] {
        let mut inputs = Inputs::new(52);
        let mut problem = Problem::new(batch, units);
        let [projection, h, c, recurrent] = &mut problem.operands;
        projection.fill(100.0);
        projection.chunks_mut(units).skip(2).step_by(4).for_each(|g| g.fill(0.0));
        *h = inputs.integers(h.len(), 3);
        *c = inputs.integers(c.len(), 9);
        *recurrent = inputs.integers(recurrent.len(), 3).iter().map(|w| 20.0 * w).collect();
        for (gate, weights) in recurrent.chunks_mut(units).enumerate() {
            if gate % 4 != 2 {
                weights.fill(0.0);
            }
        }
        let [_, expected] = problem.reference(&problem.operands());
        let expected: Vec<f64> = expected.iter().map(|c| c.round()).collect();
        for backend in backends() {
            let what = format!("c of {batch}x{units} on {}", backend.name());
            assert_equal(&what, &problem.run(&backend)[1], &expected);
        }
    }
}

#[test]
fn steps_and_gradients_agree_with_the_formulas() {
    for (batch, units) in [(1, 1), (3, 5), (1, 32), (9, 35), (20, 17), (2, 70)] {
        let problem = Problem::new(batch, units);
        let operands = problem.operands();
        let expected = problem.reference(&operands);
        let gradient = |operand: usize| {
            finite_difference(&operands[operand], 1e-5, |values| {
                let mut moved = operands.clone();
                moved[operand] = values.to_vec();
                let [h, c] = problem.reference(&moved);
                let weighted = |values: &[f64], weights: &[f32]| -> f64 {
                    values.iter().zip(weights).map(|(v, w)| v * f64::from(*w)).sum()
                };
                weighted(&h, &problem.dh) + weighted(&c, &problem.dc)
            })
        };
        let gradients = [0, 1, 2].map(gradient);
        for backend in backends() {
            let what = |part| format!("{part} of {batch}x{units} on {}", backend.name());
            let [h, c, dgates, dh, dc] = problem.run(&backend);
            assert_close(&what("h"), &h, &expected[0], GATES);
            assert_close(&what("c"), &c, &expected[1], GATES);
            assert_close(&what("dgates"), &dgates, &gradients[0], GRADIENT);
            assert_close(&what("dh"), &dh, &gradients[1], GRADIENT);
            assert_close(&what("dc"), &dc, &gradients[2], GRADIENT);
        }
    }
}

#[test]
fn saturated_gates_stay_finite() {
    let mut problem = Problem::new(2, 4);
    problem.operands[0] = vec![300.0; 32];
    problem.operands[0][..16].fill(-300.0);
    let [h, c] = problem.reference(&problem.operands());
    for backend in backends() {
        let found = problem.run(&backend);
        assert_close("h", &found[0], &h, GATES);
        assert_close("c", &found[1], &c, GATES);
        assert!(found.iter().flatten().all(|value| value.is_finite()));
    }
}

#[test]
fn neither_alike_backends_nor_longer_buffers_change_a_bit() {
    for (batch, units) in [(1, 32), (20, 100), (64, 33)] {
        let problem = Problem::new(batch, units);
        let Some(first) = alike().first().map(|device| problem.run(device)) else { return };
        for device in alike() {
            assert_eq!(problem.run(&device), first, "{batch}x{units}");
            assert_eq!(problem.run_in_longer_buffers(&device, 7.0), first, "{batch}x{units}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |shape: &[usize]| Tensor::zeros(&device, DType::F32, Shape::new(shape)).unwrap();
    // Gates, two states and weights; the first state gives the geometry.
    let refused =
        |gates: &Tensor<Device>, states: [&Tensor<Device>; 2], recurrent: &Tensor<Device>| {
            let [h, c] = states;
            let one = lstm_cell(LstmInputs { projection: gates, h, c, recurrent }).unwrap_err();
            let inputs = LstmGradientInputs { dh: h, gates, c_before: c, c: h, recurrent };
            let other = lstm_cell_backward(inputs, h).unwrap_err();
            assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
            one
        };
    let (gates, state, recurrent) = (zeros(&[2, 12]), zeros(&[2, 3]), zeros(&[3, 12]));
    for other in [zeros(&[2, 4]), zeros(&[3, 3]), zeros(&[2, 3, 1])] {
        let mismatch = |error| matches!(error, Error::ShapeMismatch { .. });
        assert!(mismatch(refused(&gates, [&state, &other], &recurrent)));
        assert!(mismatch(refused(&other, [&state, &state], &recurrent)));
        assert!(mismatch(refused(&gates, [&state, &state], &other)));
    }
    for other in [zeros(&[6]), zeros(&[2, 3, 1]), zeros(&[2, 0])] {
        assert!(matches!(refused(&gates, [&other, &state], &recurrent), Error::Shape { .. }));
    }
    let half = |tensor: &Tensor<Device>| tensor.cast(DType::BF16).unwrap();
    for error in [
        refused(&half(&gates), [&state, &state], &recurrent),
        refused(&gates, [&half(&state), &state], &recurrent),
        refused(&gates, [&state, &half(&state)], &recurrent),
        refused(&gates, [&state, &state], &half(&recurrent)),
    ] {
        assert!(matches!(error, Error::DType { .. }), "{error}");
    }
}
