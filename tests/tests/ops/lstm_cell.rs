//! One step of an LSTM and its gradients.

use nasrl_tensor::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs,
};
use nasrl_tensor::{Cpu, DType, Memory};
use nasrl_tests::{Inputs, Tolerance, assert_close, backends, finite_difference};

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
    fn run(&self, backend: &Cpu) -> [Vec<f32>; 5] {
        let Problem { batch, units, .. } = *self;
        let geometry = LstmCell { batch, units };
        let buffer = |values: &[f32]| {
            let mut buffer = backend.zeros(DType::F32, values.len()).unwrap();
            backend.write(values, &mut buffer).unwrap();
            buffer
        };
        let [projection, h, c, recurrent] = self.operands.each_ref().map(|values| buffer(values));
        let zeros = |len| backend.zeros(DType::F32, len).unwrap();
        let state = batch * units;
        let (mut gates, mut new_h, mut new_c) = (zeros(4 * state), zeros(state), zeros(state));
        let inputs = LstmInputs { projection: &projection, h: &h, c: &c, recurrent: &recurrent };
        let outputs = LstmOutputs { gates: &mut gates, h: &mut new_h, c: &mut new_c };
        backend.lstm_cell(&geometry, inputs, outputs).unwrap();
        let (dh, mut dc) = (buffer(&self.dh), buffer(&self.dc));
        let (mut dgates, mut dh_before) = (zeros(4 * state), zeros(state));
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
        [new_h, new_c, dgates, dh_before, dc].map(|buffer| buffer.slice::<f32>().to_vec())
    }
}

#[test]
fn steps_and_gradients_agree_with_the_formulas() {
    for (batch, units) in [(1, 1), (3, 5), (1, 32), (9, 35), (20, 17)] {
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
