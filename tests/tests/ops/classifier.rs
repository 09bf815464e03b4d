//! Global average pooling, a dense layer and the cross-entropy, with their gradients, as one.

use nasrl_tensor::ops::{
    Activation, Classifier, ClassifierBackend, ClassifierGradients, ClassifierInputs, Pooled, Sum,
    classifier, classifier_with_gradients,
};
use nasrl_tensor::{DType, Error, Memory, Shape, Tensor};
use nasrl_tests::{
    FLOATS, Inputs, Tolerance, assert_close, assert_equal, elements, finite_difference, rounded,
    tensor, values,
};

use crate::{Device, alike, backends};

/// Images, height, width, channels, classes: one of each; primes; columns of eight; more channels
/// than threads; more classes than threads, in several rounds; images that fill pieces unevenly; the
/// reference child's last map; more than the shared memory holds.
const SHAPES: [[usize; 5]; 10] = [
    [1, 1, 1, 1, 1],
    [5, 3, 5, 7, 3],
    [9, 4, 4, 16, 10],
    [37, 2, 3, 24, 11],
    [2, 1, 3, 259, 5],
    [3, 1, 2, 512, 1000],
    [50, 1, 1, 8, 3000],
    [101, 4, 2, 48, 2],
    [128, 8, 8, 64, 10],
    [18, 3, 1, 1, 21_001],
];

/// What a problem pools.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain,
    Relu,
    Normalized(Option<Activation>),
}

const FORMS: [Form; 5] = [
    Form::Plain,
    Form::Relu,
    Form::Normalized(None),
    Form::Normalized(Some(Activation::Relu)),
    Form::Normalized(Some(Activation::Tanh)),
];

/// Operands in f32; the images are rounded to a dtype when they are used.
#[derive(Debug)]
struct Problem {
    shape: [usize; 5],
    form: Form,
    x: Vec<f32>,
    normalizer: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    labels: Vec<u32>,
}

/// What a backend computed; the pieces of the gradients are added up.
struct Found {
    sums: Vec<f32>,
    dx: Vec<f32>,
    dweight: Vec<f32>,
    dbias: Vec<f32>,
    norm_sums: Vec<f32>,
}

impl Problem {
    fn random(seed: u64, shape: [usize; 5], form: Form) -> Self {
        let [images, height, width, channels, classes] = shape;
        let mut inputs = Inputs::new(seed);
        let mut x = inputs.uniform(images * height * width * channels);
        if form == Form::Relu {
            x.iter_mut().for_each(|x| *x = x.max(0.0));
        }
        Problem {
            shape,
            form,
            x,
            normalizer: inputs.uniform(4 * channels),
            weight: inputs.uniform(channels * classes),
            bias: inputs.uniform(classes),
            labels: inputs.indices(images, classes),
        }
    }

    fn divisor(&self) -> f32 {
        self.shape[0] as f32
    }

    /// Runs `body` with the operands on a device.
    fn with<R>(
        &self,
        on: &Device,
        dtype: DType,
        body: impl FnOnce(&ClassifierInputs<'_, Tensor<Device>>) -> R,
    ) -> R {
        let [images, height, width, channels, classes] = self.shape;
        let x = tensor(on, dtype, [images, height, width, channels], &self.x);
        let normalizer = tensor(on, DType::F32, [4, channels], &self.normalizer);
        let weight = tensor(on, DType::F32, [channels, classes], &self.weight);
        let bias = tensor(on, DType::F32, [classes], &self.bias);
        let labels = Tensor::from_slice(on, [images], &self.labels).unwrap();
        let pooled = match self.form {
            Form::Plain => Pooled::Plain,
            Form::Relu => Pooled::Relu,
            Form::Normalized(activation) => {
                Pooled::Normalized { normalizer: &normalizer, activation }
            }
        };
        let (weight, bias, labels) = (&weight, &bias, &labels);
        body(&ClassifierInputs { x: &x, pooled, weight, bias, labels })
    }

    fn run(&self, on: &Device, dtype: DType) -> Found {
        let divisor = self.divisor();
        let (alone, (sums, gradients)) = self.with(on, dtype, |inputs| {
            let alone = classifier(inputs, divisor).unwrap();
            (alone, classifier_with_gradients(inputs, divisor).unwrap())
        });
        assert_eq!(values(&alone), values(&sums), "{:?} {dtype}", self.shape);
        assert_eq!(gradients.norm_sums.is_some(), matches!(self.form, Form::Normalized(_)));
        Found {
            sums: values(&sums),
            dx: values(&gradients.dx),
            dweight: added_up(&gradients.dweight),
            dbias: added_up(&gradients.dbias),
            norm_sums: gradients.norm_sums.as_ref().map(added_up).unwrap_or_default(),
        }
    }

    /// What is averaged of element `i`, and its derivative.
    fn activated(&self, x: &[f64], i: usize) -> [f64; 2] {
        let channels = self.shape[3];
        let Form::Normalized(f) = self.form else { return [x[i], 1.0] };
        let [scale, shift] = [0, 1].map(|row| self.normalizer[row * channels + i % channels]);
        let z = x[i] * f64::from(scale) + f64::from(shift);
        match f {
            None => [z, 1.0],
            Some(Activation::Relu) => [z.max(0.0), f64::from(u8::from(z > 0.0))],
            Some(Activation::Tanh) => [z.tanh(), 1.0 - z.tanh().powi(2)],
            Some(Activation::Sigmoid) => unreachable!("no problem has it"),
        }
    }
}

fn added_up(pieces: &Tensor<Device>) -> Vec<f32> {
    let len = pieces.shape().dims()[1..].iter().product();
    let mut total = vec![0.0; len];
    for piece in values(pieces).chunks(len) {
        total.iter_mut().zip(piece).for_each(|(total, piece)| *total += piece);
    }
    total
}

/// The reference's features, logits, and logits' gradients.
struct Heads {
    features: Vec<f64>,
    logits: Vec<f64>,
    dlogits: Vec<f64>,
    loss: f64,
}

fn heads(problem: &Problem, x: &[f64], weight: &[f64], bias: &[f64]) -> Heads {
    let [images, height, width, channels, classes] = problem.shape;
    let (pixels, divisor) = (height * width, f64::from(problem.divisor()));
    let mut features = vec![0.0; images * channels];
    for i in 0..x.len() {
        let [y, _] = problem.activated(x, i);
        features[i / (pixels * channels) * channels + i % channels] += y / pixels as f64;
    }
    let (mut logits, mut dlogits, mut loss) = (Vec::new(), Vec::new(), 0.0);
    for (features, &label) in features.chunks(channels).zip(&problem.labels) {
        let mut of_image = bias.to_vec();
        for (c, feature) in features.iter().enumerate() {
            for (k, logit) in of_image.iter_mut().enumerate() {
                *logit += feature * weight[c * classes + k];
            }
        }
        let max = of_image.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = of_image.iter().map(|logit| (logit - max).exp()).sum();
        loss += (max + sum.ln() - of_image[label as usize]) / divisor;
        dlogits.extend(of_image.iter().enumerate().map(|(k, logit)| {
            ((logit - max).exp() / sum - f64::from(u8::from(k == label as usize))) / divisor
        }));
        logits.extend(of_image);
    }
    Heads { features, logits, dlogits, loss }
}

/// The reference's `dx`, `dweight` and `dbias`.
fn gradients(problem: &Problem, x: &[f64], heads: &Heads) -> [Vec<f64>; 3] {
    let [images, height, width, channels, classes] = problem.shape;
    let pixels = height * width;
    let mut dx = vec![0.0; x.len()];
    let mut dweight = vec![0.0; channels * classes];
    let mut dbias = vec![0.0; classes];
    for n in 0..images {
        let dlogits = &heads.dlogits[n * classes..][..classes];
        for c in 0..channels {
            let mut share = 0.0;
            for (k, dlogit) in dlogits.iter().enumerate() {
                dweight[c * classes + k] += heads.features[n * channels + c] * dlogit;
                share += dlogit * f64::from(problem.weight[c * classes + k]) / pixels as f64;
            }
            for p in 0..pixels {
                let i = (n * pixels + p) * channels + c;
                let masked = problem.form == Form::Relu && x[i] <= 0.0;
                dx[i] = if masked { 0.0 } else { share };
            }
        }
        dbias.iter_mut().zip(dlogits).for_each(|(sum, dlogit)| *sum += dlogit);
    }
    [dx, dweight, dbias]
}

/// The sums of a batch normalisation, from the gradient that was found.
fn norm_sums(problem: &Problem, x: &[f64], dx: &[f32]) -> Vec<f64> {
    let channels = problem.shape[3];
    let mut sums = vec![0.0; 2 * channels];
    for (i, (&dx, &value)) in dx.iter().zip(x).enumerate() {
        let [_, slope] = problem.activated(x, i);
        let mean = f64::from(problem.normalizer[2 * channels + i % channels]);
        sums[i % channels] += slope * f64::from(dx);
        sums[channels + i % channels] += slope * f64::from(dx) * (value - mean);
    }
    sums
}

/// How many predictions are right, and how many could be or not be by rounding.
fn right(logits: &[f64], labels: &[u32], classes: usize) -> [usize; 2] {
    let (mut right, mut doubtful) = (0, 0);
    for (logits, &label) in logits.chunks(classes).zip(labels) {
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = logits.iter().position(|&logit| logit == max).unwrap();
        let near = logits.iter().filter(|&&logit| logit > max - 1e-5).count();
        right += usize::from(first == label as usize);
        doubtful += usize::from(near > 1);
    }
    [right, doubtful]
}

/// Logits so far apart that the softmax is 0 or 1; pixels and images that are powers of two.
#[test]
fn certain_predictions_are_exact() {
    for backend in backends() {
        for shape in [[4, 2, 2, 5, 3], [32, 1, 4, 8, 7], [64, 4, 4, 40, 5], [2, 1, 1, 3, 1]] {
            let [images, height, width, channels, classes] = shape;
            for form in [Form::Plain, Form::Relu] {
                let mut problem = Problem::random(1, shape, form);
                let mut inputs = Inputs::new(2);
                problem.x = inputs.integers(images * height * width * channels, 9);
                if form == Form::Relu {
                    problem.x.iter_mut().for_each(|x| *x = x.max(0.0));
                }
                problem.weight = inputs.integers(channels * classes, 9);
                problem.bias = (0..classes).map(|k| ((classes - k) * 1024) as f32).collect();
                let wide = |values: &[f32]| rounded(DType::F32, values);
                let x = wide(&problem.x);
                let heads = heads(&problem, &x, &wide(&problem.weight), &wide(&problem.bias));
                let expected = gradients(&problem, &x, &heads);
                let [right, _] = right(&heads.logits, &problem.labels, classes);
                for dtype in FLOATS {
                    let what = format!("{dtype} {form:?} {shape:?} on {}", backend.name());
                    let found = problem.run(&backend, dtype);
                    assert_equal(&what, &found.sums, &[heads.loss, right as f64]);
                    let found = [&found.dx, &found.dweight, &found.dbias];
                    for (found, expected) in found.into_iter().zip(&expected) {
                        assert_equal(&what, found, expected);
                    }
                }
            }
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        for (shape, form) in SHAPES.into_iter().flat_map(|shape| FORMS.map(|form| (shape, form))) {
            let [images, height, width, channels, classes] = shape;
            let problem = Problem::random(3, shape, form);
            let pixels = height * width;
            let sum = Tolerance::sum(DType::F32, pixels + channels + classes + images);
            let [weight, bias] = [&problem.weight, &problem.bias].map(|v| rounded(DType::F32, v));
            // The largest shapes are slow to emulate, and one dtype of each column covers them.
            let dtypes = if problem.x.len() + images * classes > 100_000 { 2..3 } else { 0..3 };
            for dtype in FLOATS[..dtypes.end].iter().copied().skip(dtypes.start) {
                let what = format!("{dtype} {form:?} {shape:?} on {}", backend.name());
                let x = rounded(dtype, &problem.x);
                let heads = heads(&problem, &x, &weight, &bias);
                let found = problem.run(&backend, dtype);
                // Logits and losses are up to 20.
                let wider = |by: f64| Tolerance { absolute: by * sum.absolute, ..sum };
                assert_close(&what, &found.sums[..1], &[heads.loss], wider(20.0));
                let [right, doubtful] = right(&heads.logits, &problem.labels, classes);
                assert!((found.sums[1] - right as f32).abs() <= doubtful as f32, "{what}");
                let [dx, dweight, dbias] = gradients(&problem, &x, &heads);
                assert_close(&what, &found.dweight, &dweight, wider(4.0));
                assert_close(&what, &found.dbias, &dbias, wider(4.0));
                let each = Tolerance::rounding(dtype).relative;
                let absolute = 20.0 * sum.absolute / (images * pixels) as f64;
                // Below the least normal number of f16 the steps do not shrink any more.
                let least = if dtype == DType::F16 { f64::powi(2.0, -24) } else { 0.0 };
                let tolerance = Tolerance { absolute: absolute + least, relative: each };
                assert_close(&what, &found.dx, &dx, tolerance);
                if matches!(form, Form::Normalized(_)) {
                    let expected = norm_sums(&problem, &x, &found.dx);
                    assert_close(&what, &found.norm_sums, &expected, wider(4.0));
                }
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let tolerance = Tolerance::FINITE_DIFFERENCE;
    for form in [Form::Plain, Form::Relu] {
        let problem = Problem::random(4, [3, 2, 2, 3, 4], form);
        let [x, weight, bias] =
            [&problem.x, &problem.weight, &problem.bias].map(|v| rounded(DType::F32, v));
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
            // Through the relu from its input, which is below zero where its output is zero.
            let y = |&x: &f64| if form == Form::Relu && x < 1e-4 { 0.0 } else { x };
            heads(&problem, &x.iter().map(y).collect::<Vec<_>>(), weight, bias).loss
        };
        let dx = finite_difference(&x, 1e-5, |x| loss(x, &weight, &bias));
        let dweight = finite_difference(&weight, 1e-5, |weight| loss(&x, weight, &bias));
        let dbias = finite_difference(&bias, 1e-5, |bias| loss(&x, &weight, bias));
        for backend in backends() {
            let found = problem.run(&backend, DType::F32);
            assert_close(&backend.name(), &found.dx, &dx, tolerance);
            assert_close(&backend.name(), &found.dweight, &dweight, tolerance);
            assert_close(&backend.name(), &found.dbias, &dbias, tolerance);
        }
    }
}

#[test]
fn equal_logits_are_the_first_and_what_is_no_number_is_wrong() {
    for backend in backends() {
        let mut problem = Problem::random(5, [3, 1, 1, 1, 4], Form::Plain);
        problem.weight = vec![1.0; 4];
        problem.bias = vec![0.0, 1.0, 1.0, 0.0];
        problem.labels = vec![1, 2, 1];
        assert_eq!(problem.run(&backend, DType::F32).sums[1], 2.0, "{}", backend.name());
        problem.x[0] = f32::NAN;
        let sums = problem.with(&backend, DType::F32, |inputs| classifier(inputs, 3.0).unwrap());
        let sums = values(&sums);
        assert!(sums[0].is_nan() && sums[1] == 1.0, "{sums:?} on {}", backend.name());
    }
}

/// Two blocks of a batch, whose sums go to the row that a clock names and whose gradients add up.
#[test]
fn blocks_add_up_in_the_row_of_the_clock() {
    for on in backends() {
        let whole = Problem::random(6, [6, 2, 2, 8, 3], Form::Normalized(Some(Activation::Relu)));
        let [blocks, image] = [2, 4 * 8];
        // Longer than the counts, as the buffers of a compiled program are.
        let zeros = |len| on.zeros(DType::F32, len).unwrap();
        let [mut sums, mut dx] = [zeros(8), zeros(3 * image + 1)];
        let [mut dweight, mut dbias, mut norm_sums] =
            [zeros(64 * 24), zeros(64 * 3), zeros(64 * 16)];
        let clock = Tensor::from_slice(&on, [2], &[7u32, 2]).unwrap();
        let mut pieces = 0;
        for block in 0..blocks {
            let part = Problem {
                shape: [3, 2, 2, 8, 3],
                form: whole.form,
                x: whole.x[block * 3 * image..][..3 * image].to_vec(),
                normalizer: whole.normalizer.clone(),
                weight: whole.weight.clone(),
                bias: whole.bias.clone(),
                labels: whole.labels[block * 3..][..3].to_vec(),
            };
            let sum = if block == 0 { Sum::Store } else { Sum::Add };
            let geometry =
                Classifier { images: 3, pixels: 4, channels: 8, classes: 3, divisor: 6.0, sum };
            pieces = on.classifier_pieces(&geometry);
            part.with(&on, DType::F32, |tensors| {
                let Pooled::Normalized { normalizer, activation } = tensors.pooled else {
                    panic!("a problem with a normalizer")
                };
                let inputs = ClassifierInputs {
                    x: tensors.x.buffer(),
                    pooled: Pooled::Normalized { normalizer: normalizer.buffer(), activation },
                    weight: tensors.weight.buffer(),
                    bias: tensors.bias.buffer(),
                    labels: tensors.labels.buffer(),
                };
                let gradients = ClassifierGradients {
                    dx: &mut dx,
                    dweight: &mut dweight,
                    dbias: &mut dbias,
                    norm_sums: Some(&mut norm_sums),
                };
                let clock = Some(clock.buffer());
                on.classifier_with_gradients(&geometry, &inputs, clock, &mut sums, gradients)
                    .unwrap();
            });
        }
        let expected = whole.run(&on, DType::F32);
        let found: Vec<f32> = elements(&on, &sums);
        let close = |what: &str, found: &[f32], expected: &[f32]| {
            let tolerance = Tolerance::sum(DType::F32, 64);
            let what = format!("{what} on {}", on.name());
            assert_close(&what, found, &rounded(DType::F32, expected), tolerance);
        };
        close("sums", &found, &[0.0, 0.0, 0.0, 0.0, expected.sums[0], expected.sums[1], 0.0, 0.0]);
        for (what, buffer, expected) in [
            ("dweight", &dweight, &expected.dweight),
            ("dbias", &dbias, &expected.dbias),
            ("norm_sums", &norm_sums, &expected.norm_sums),
        ] {
            let len = expected.len();
            let all: Vec<f32> = elements(&on, buffer);
            let all = Tensor::from_slice(&on, [pieces, len], &all[..pieces * len]).unwrap();
            close(what, &added_up(&all), expected);
        }
    }
}

#[test]
fn pieces_do_not_become_fewer_with_more_images() {
    let Some(on) = backends().pop() else { return };
    let (pixels, channels, classes, divisor, sum) = (64, 64, 10, 1.0, Sum::Store);
    let pieces = |images| {
        let geometry = Classifier { images, pixels, channels, classes, divisor, sum };
        on.classifier_pieces(&geometry)
    };
    let pieces: Vec<usize> = (1..600).map(pieces).collect();
    assert!(pieces[0] == 1 && pieces.is_sorted(), "{pieces:?}");
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    for form in [Form::Relu, Form::Normalized(Some(Activation::Relu))] {
        let problem = Problem::random(7, [200, 3, 3, 40, 10], form);
        let each = alike().into_iter().map(|on| {
            let Found { sums, dx, dweight, dbias, norm_sums } = problem.run(&on, DType::BF16);
            [sums, dx, dweight, dbias, norm_sums]
        });
        let each: Vec<_> = each.collect();
        assert!(each.windows(2).all(|pair| pair[0] == pair[1]), "{form:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(on) = backends().pop() else { return };
    let zeros = |dtype, shape| Tensor::<Device>::zeros(&on, dtype, shape).unwrap();
    let f32s = |shape: Shape| zeros(DType::F32, shape);
    let (x, weight, bias) = (f32s([2, 1, 3, 4].into()), f32s([4, 5].into()), f32s([5].into()));
    let (labels, normalizer) = (zeros(DType::U32, [2].into()), f32s([4, 4].into()));
    let good = || ClassifierInputs {
        x: &x,
        pooled: Pooled::Normalized { normalizer: &normalizer, activation: None },
        weight: &weight,
        bias: &bias,
        labels: &labels,
    };
    let refused = |inputs: &ClassifierInputs<'_, Tensor<Device>>, divisor| {
        let one = classifier(inputs, divisor).unwrap_err();
        let other = classifier_with_gradients(inputs, divisor).unwrap_err();
        assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
        one
    };
    classifier(&good(), 2.0).unwrap();
    for divisor in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(refused(&good(), divisor), Error::Parameter { .. }));
    }
    for shape in [Shape::from([2, 3, 4]), [0, 1, 3, 4].into(), [2, 0, 3, 4].into()] {
        let x = f32s(shape);
        let inputs = ClassifierInputs { x: &x, ..good() };
        assert!(matches!(refused(&inputs, 2.0), Error::Shape { .. }));
    }
    let bytes = zeros(DType::U8, [2, 1, 3, 4].into());
    let inputs = ClassifierInputs { x: &bytes, ..good() };
    assert!(matches!(refused(&inputs, 2.0), Error::DType { .. }));
    let half = zeros(DType::BF16, [5].into());
    let inputs = ClassifierInputs { bias: &half, ..good() };
    assert!(matches!(refused(&inputs, 2.0), Error::DType { .. }));
    let three = f32s([3, 5].into());
    let inputs = ClassifierInputs { weight: &three, ..good() };
    assert!(matches!(refused(&inputs, 2.0), Error::ShapeMismatch { .. }));
    let pooled = Pooled::Normalized { normalizer: &weight, activation: None };
    let inputs = ClassifierInputs { pooled, ..good() };
    assert!(matches!(refused(&inputs, 2.0), Error::ShapeMismatch { .. }));
    let labels = Tensor::from_slice(&on, [2], &[4u32, 5]).unwrap();
    let error = refused(&ClassifierInputs { labels: &labels, ..good() }, 2.0);
    assert!(matches!(error, Error::Index { position: 1, found: 5, bound: 5, .. }), "{error}");
}
