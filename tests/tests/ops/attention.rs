//! Additive attention: scores, weighted sums and their gradients.

use nasrl_tensor::ops::{
    Attention, AttentionBackend, AttentionGradients, AttentionInputs, attention_context,
    attention_context_backward, attention_scores, attention_scores_backward,
};
use nasrl_tensor::{DType, Error, Memory, Shape, Tensor};
use nasrl_tests::{
    Inputs, Tolerance, assert_close, assert_equal, elements, finite_difference, rounded,
};

use crate::{Device, alike, backends};

/// One source, none, some of them and all; widths below, at and past those of vectors.
const GEOMETRIES: [Attention; 6] = [
    Attention { batch: 1, sources: 1, capacity: 1, units: 1 },
    Attention { batch: 3, sources: 0, capacity: 2, units: 5 },
    Attention { batch: 3, sources: 2, capacity: 4, units: 5 },
    Attention { batch: 2, sources: 7, capacity: 7, units: 16 },
    Attention { batch: 9, sources: 5, capacity: 6, units: 35 },
    Attention { batch: 1, sources: 3, capacity: 9, units: 130 },
];

/// Operands, and gradients of the results.
struct Problem {
    geometry: Attention,
    keys: Vec<f32>,
    query: Vec<f32>,
    v: Vec<f32>,
    /// `[batch, sources]`: the gradient of the scores, and the weights of a context.
    weights: Vec<f32>,
    dcontext: Vec<f32>,
}

impl Problem {
    fn new(geometry: Attention, draw: impl Fn(&mut Inputs, usize) -> Vec<f32>) -> Self {
        let Attention { batch, sources, capacity, units } = geometry;
        let mut inputs = Inputs::new(81);
        let mut values = |len| draw(&mut inputs, len);
        Problem {
            geometry,
            keys: values(batch * capacity * units),
            query: values(batch * units),
            v: values(units),
            weights: values(batch * sources),
            dcontext: values(batch * units),
        }
    }

    fn uniform(geometry: Attention) -> Self {
        Problem::new(geometry, |inputs, len| inputs.uniform(len))
    }

    /// The scores of keys, query and v.
    fn scores(&self, keys: &[f64], query: &[f64], v: &[f64]) -> Vec<f64> {
        let Attention { batch, sources, capacity, units } = self.geometry;
        let mut scores = vec![0.0; batch * sources];
        for b in 0..batch {
            for j in 0..sources {
                for u in 0..units {
                    let key = keys[(b * capacity + j) * units + u];
                    scores[b * sources + j] += v[u] * (key + query[b * units + u]).tanh();
                }
            }
        }
        scores
    }

    fn context(&self, values: &[f64]) -> Vec<f64> {
        let Attention { batch, sources, capacity, units } = self.geometry;
        let mut context = vec![0.0; batch * units];
        for b in 0..batch {
            for u in 0..units {
                for j in 0..sources {
                    let weight = f64::from(self.weights[b * sources + j]);
                    context[b * units + u] += weight * values[(b * capacity + j) * units + u];
                }
            }
        }
        context
    }

    /// Scores, dkeys, dquery, dv, context, dvalues.
    fn run(&self, backend: &Device) -> [Vec<f32>; 6] {
        let Attention { batch, sources, capacity, units } = self.geometry;
        let tensor = |shape: &[usize], values: &[f32]| {
            Tensor::from_slice(backend, Shape::new(shape), values).unwrap()
        };
        let keys = tensor(&[batch, capacity, units], &self.keys);
        let (query, v) = (tensor(&[batch, units], &self.query), tensor(&[units], &self.v));
        let weights = tensor(&[batch, sources], &self.weights);
        let inputs = || AttentionInputs { keys: &keys, query: &query, v: &v };
        let scores = attention_scores(inputs(), sources).unwrap();
        let (dkeys, dquery, dv) = attention_scores_backward(inputs(), &weights).unwrap();
        let context = attention_context(&weights, &keys).unwrap();
        let dcontext = tensor(&[batch, units], &self.dcontext);
        let dvalues = attention_context_backward(&weights, &dcontext, capacity).unwrap();
        [scores, dkeys, dquery, dv, context, dvalues].map(|tensor| tensor.to_vec().unwrap())
    }

    /// As [`Problem::run`], on buffers of which the operands are the start and the rest is `rest`;
    /// gradients that are added to start at `start`.
    fn run_in_longer_buffers(&self, backend: &Device, rest: f32, start: f32) -> [Vec<f32>; 6] {
        const MORE: usize = 5;
        let Attention { batch, sources, .. } = self.geometry;
        let buffer = |values: &[f32]| {
            let mut buffer = backend.zeros(DType::F32, values.len() + MORE).unwrap();
            backend.write(&[values, &[rest; MORE]].concat(), &mut buffer).unwrap();
            buffer
        };
        let filled = |len: usize, value: f32| buffer(&vec![value; len]);
        let [keys, query, v, weights, dcontext] =
            [&self.keys, &self.query, &self.v, &self.weights, &self.dcontext]
                .map(|values| buffer(values));
        let inputs = || AttentionInputs { keys: &keys, query: &query, v: &v };
        let (geometry, len) = (&self.geometry, self.keys.len());
        let [mut dkeys, mut dvalues] = [filled(len, start), filled(len, start)];
        let [mut dquery, mut context] = [(); 2].map(|()| filled(self.query.len(), rest));
        let (mut dv, mut scores) = (filled(self.v.len(), start), filled(batch * sources, rest));
        backend.attention_scores(geometry, inputs(), &mut scores).unwrap();
        let gradients = AttentionGradients { dkeys: &mut dkeys, dquery: &mut dquery, dv: &mut dv };
        backend.attention_scores_backward(geometry, inputs(), &weights, gradients).unwrap();
        backend.attention_context(geometry, &weights, &keys, &mut context).unwrap();
        let into = &mut dvalues;
        backend.attention_context_backward(geometry, &weights, &dcontext, into).unwrap();
        [scores, dkeys, dquery, dv, context, dvalues].map(|buffer| {
            let mut values = elements::<f32, _>(backend, &buffer).to_vec();
            assert_eq!(values.split_off(values.len() - MORE), [rest; MORE]);
            values
        })
    }
}

/// The sum of the values times their weights, for a scalar to differentiate.
fn weighted(values: &[f64], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum()
}

/// Sums of products of small integers, and scores whose tangents are -1, 0 or 1.
#[test]
fn integers_are_exact() {
    for geometry in GEOMETRIES {
        let problem = Problem::new(geometry, |inputs, len| inputs.integers(len, 3));
        let values = rounded(DType::F32, &problem.keys);
        let context = problem.context(&values);
        let dvalues = finite_difference(&values, 1.0, |values| {
            weighted(&problem.context(values), &problem.dcontext)
        });
        let saturated = Problem {
            keys: problem.keys.iter().map(|key| 100.0 * key).collect(),
            query: vec![0.0; problem.query.len()],
            ..Problem::new(geometry, |inputs, len| inputs.integers(len, 3))
        };
        let [keys, query, v] =
            [&saturated.keys, &saturated.query, &saturated.v].map(|x| rounded(DType::F32, x));
        let scores = saturated.scores(&keys, &query, &v);
        for backend in backends() {
            let what = |part| format!("{part} of {geometry:?} on {}", backend.name());
            let found = problem.run(&backend);
            assert_equal(&what("context"), &found[4], &context);
            assert_equal(&what("dvalues"), &found[5], &dvalues);
            assert_equal(&what("scores"), &saturated.run(&backend)[0], &scores);
        }
    }
}

#[test]
fn scores_and_gradients_agree_with_the_formulas() {
    for geometry in GEOMETRIES {
        let problem = Problem::uniform(geometry);
        let operands = [&problem.keys, &problem.query, &problem.v].map(|x| rounded(DType::F32, x));
        let [keys, query, v] = &operands;
        let scores = problem.scores(keys, query, v);
        let gradient = |operand: usize| {
            finite_difference(&operands[operand], 1e-5, |values| {
                let mut moved = operands.clone();
                moved[operand] = values.to_vec();
                weighted(&problem.scores(&moved[0], &moved[1], &moved[2]), &problem.weights)
            })
        };
        let gradients = [0, 1, 2].map(gradient);
        let context = problem.context(keys);
        let dvalues = finite_difference(keys, 1e-5, |values| {
            weighted(&problem.context(values), &problem.dcontext)
        });
        let sum = Tolerance::sum(DType::F32, 4 * geometry.units);
        for backend in backends() {
            let what = |part| format!("{part} of {geometry:?} on {}", backend.name());
            let found = problem.run(&backend);
            assert_close(&what("scores"), &found[0], &scores, sum);
            for (index, part) in ["dkeys", "dquery", "dv"].into_iter().enumerate() {
                let tolerance = Tolerance::FINITE_DIFFERENCE;
                assert_close(&what(part), &found[1 + index], &gradients[index], tolerance);
            }
            assert_close(&what("context"), &found[4], &context, sum);
            let tolerance = Tolerance::FINITE_DIFFERENCE;
            assert_close(&what("dvalues"), &found[5], &dvalues, tolerance);
        }
    }
}

/// Scores and contexts of a row do not depend on the rows beside it, nor on the room for more keys.
#[test]
fn a_row_depends_on_nothing_else() {
    let all = Attention { batch: 4, sources: 3, capacity: 5, units: 19 };
    let problem = Problem::uniform(all);
    let Some(device) = backends().pop() else { return };
    let together = problem.run(&device);
    for row in 0..all.batch {
        let part = |values: &[f32], len: usize| values[row * len..][..len].to_vec();
        let (capacity, sources, units) = (all.capacity, all.sources, all.units);
        let alone = Problem {
            geometry: Attention { batch: 1, capacity: sources, ..all },
            keys: part(&problem.keys, capacity * units)[..sources * units].to_vec(),
            query: part(&problem.query, units),
            v: problem.v.clone(),
            weights: part(&problem.weights, sources),
            dcontext: part(&problem.dcontext, units),
        };
        let alone = alone.run(&device);
        assert_eq!(alone[0], part(&together[0], sources));
        assert_eq!(alone[2], part(&together[2], units));
        assert_eq!(alone[4], part(&together[4], units));
        for gradient in [1, 5] {
            let (own, rest) = (part(&together[gradient], capacity * units), sources * units);
            assert_eq!(alone[gradient], own[..rest]);
            assert!(own[rest..].iter().all(|d| *d == 0.0));
        }
    }
}

#[test]
fn neither_alike_backends_nor_longer_buffers_change_a_bit_and_gradients_add_up() {
    for geometry in GEOMETRIES {
        let problem = Problem::uniform(geometry);
        let Some(device) = alike().pop() else { return };
        let alone = problem.run(&device);
        let twice = problem.run_in_longer_buffers(&device, 7.0, 2.0);
        for device in alike() {
            assert_eq!(problem.run(&device), alone, "{geometry:?}");
            let longer = problem.run_in_longer_buffers(&device, 7.0, 0.0);
            assert_eq!(longer, alone, "{geometry:?}");
        }
        for stored in [0, 2, 4] {
            assert_eq!(twice[stored], alone[stored]);
        }
        for added in [1, 3, 5] {
            let expected: Vec<f64> = alone[added].iter().map(|d| 2.0 + f64::from(*d)).collect();
            let tolerance = Tolerance::sum(DType::F32, geometry.batch * geometry.sources);
            assert_close("added", &twice[added], &expected, tolerance);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |shape: &[usize]| Tensor::zeros(&device, DType::F32, Shape::new(shape)).unwrap();
    let refused =
        |keys: &Tensor<Device>, [query, v]: [&Tensor<Device>; 2], scores: &Tensor<Device>| {
            attention_scores_backward(AttentionInputs { keys, query, v }, scores).unwrap_err()
        };
    let (keys, query, v, weights) =
        (zeros(&[2, 4, 3]), zeros(&[2, 3]), zeros(&[3]), zeros(&[2, 4]));
    for error in [
        refused(&keys, [&zeros(&[2, 4]), &v], &weights),
        refused(&keys, [&zeros(&[3, 3]), &v], &weights),
        refused(&keys, [&query, &zeros(&[4])], &weights),
        refused(&keys, [&query, &v], &zeros(&[3, 4])),
        attention_context(&zeros(&[3, 4]), &keys).unwrap_err(),
        attention_context_backward(&zeros(&[3, 4]), &query, 4).unwrap_err(),
    ] {
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    }
    let inputs = AttentionInputs { keys: &keys, query: &query, v: &v };
    for error in [
        attention_scores(inputs, 5).unwrap_err(),
        refused(&keys, [&query, &v], &zeros(&[2, 5])),
        attention_context(&zeros(&[2, 5]), &keys).unwrap_err(),
        attention_context_backward(&weights, &query, 3).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Parameter { name: "sources", .. }), "{error}");
    }
    for error in [
        refused(&zeros(&[8, 3]), [&query, &v], &weights),
        refused(&zeros(&[2, 4, 0]), [&query, &v], &weights),
        refused(&keys, [&query, &v], &zeros(&[8])),
        attention_context(&weights, &query).unwrap_err(),
        attention_context(&zeros(&[8]), &keys).unwrap_err(),
        attention_context_backward(&weights, &keys, 4).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    let half = |tensor: &Tensor<Device>| tensor.cast(DType::BF16).unwrap();
    for error in [
        refused(&half(&keys), [&query, &v], &weights),
        refused(&keys, [&half(&query), &v], &weights),
        refused(&keys, [&query, &half(&v)], &weights),
        refused(&keys, [&query, &v], &half(&weights)),
        attention_context(&half(&weights), &keys).unwrap_err(),
        attention_context(&weights, &half(&keys)).unwrap_err(),
        attention_context_backward(&weights, &half(&query), 4).unwrap_err(),
    ] {
        assert!(matches!(error, Error::DType { .. }), "{error}");
    }
}
