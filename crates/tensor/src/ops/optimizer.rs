use super::check;
use crate::{DType, Error, Memory, Result, Shape, Tensor};

/// How gradients become a change of the parameters.
///
/// The formulas are for one parameter `p` with gradient `g`, which has the weight decay in it, at
/// the learning rate `r`. State starts at zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// Stochastic gradient descent with momentum, as PyTorch has it:
    /// `m = momentum m + g; p -= r m`, or with Nesterov's acceleration (Sutskever et al. 2013,
    /// ICML) `p -= r (g + momentum m)`.
    Sgd {
        /// The share of a step that the next repeats, at least 0 and below 1; 0 is plain descent.
        momentum: f64,
        /// Whether the gradient counts as one taken where the momentum leads to.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) at its step `t`, counted from 1:
    /// `m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    /// p -= r / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)`.
    ///
    /// Epsilon is added outside the root and after the correction, as in PyTorch. Keras adds it
    /// before the correction, which is the same with an epsilon smaller by `sqrt(1 - beta2^t)`.
    Adam {
        /// The decay of the mean of gradients, at least 0 and below 1.
        beta1: f64,
        /// The decay of the mean of squares, at least 0 and below 1.
        beta2: f64,
        /// What keeps the quotient finite, above 0.
        epsilon: f64,
    },
    /// RMSProp as TensorFlow has it, with epsilon inside the root and the learning rate inside the
    /// momentum: `v = decay v + (1 - decay) g^2; m = momentum m + r g / sqrt(v + epsilon); p -= m`.
    /// (TensorFlow 1 starts `v` at 1, later versions start at 0.)
    RmsProp {
        /// The decay of the mean of squares, at least 0 and below 1.
        decay: f64,
        /// The share of a step that the next repeats, at least 0 and below 1.
        momentum: f64,
        /// What keeps the quotient finite, above 0.
        epsilon: f64,
    },
}

/// A step of an optimizer.
pub struct OptimizerStep<'a, B: Memory> {
    /// The rule.
    pub rule: UpdateRule,
    /// The coupled weight decay: `weight_decay * p` is added to the gradient, which is the gradient
    /// of `weight_decay / 2` times the sum of squares.
    pub weight_decay: f64,
    /// What depends on the learning rate and the step's number.
    pub sizes: StepSizes<'a, B>,
}

/// Where a step finds its [`UpdateRule::sizes`].
pub enum StepSizes<'a, B: Memory> {
    /// Here.
    Given([f32; 2]),
    /// In the device's memory, for steps that are made without the host.
    Table {
        /// f32 `[rows, 2]`.
        table: &'a B::Buffer,
        /// u32 `[step, row]`, the row being that of the table.
        clock: &'a B::Buffer,
    },
}

/// A part of a gradient: so many f32 arrays of the parameters' length one after another.
#[derive(Debug)]
pub struct GradientPieces<'a, T> {
    /// The arrays.
    pub buffer: &'a T,
    /// How many there are.
    pub count: usize,
}

/// The buffers of one tensor in a step, f32 each.
#[derive(Debug)]
pub struct OptimizedTensor<'a, T> {
    /// How many parameters there are.
    pub len: usize,
    /// The parameters.
    pub parameters: &'a mut T,
    /// What their gradient is the sum of, added up in this order, piece by piece: the parts of a
    /// batch that was cut.
    pub gradients: &'a [GradientPieces<'a, T>],
    /// [`UpdateRule::state_buffers`] buffers: `m` for SGD; `m` and `v` for Adam and RMSProp.
    pub state: &'a mut [T],
}

/// Optimizers on a device, in place on f32 parameters.
pub trait OptimizerBackend: Memory {
    /// Changes the parameters of all tensors and their state.
    ///
    /// # Errors
    /// [`Error::Parameter`] from a device that takes no gradient of so many parts: each takes 480.
    fn optimizer_steps(
        &self,
        step: &OptimizerStep<'_, Self>,
        tensors: &mut [OptimizedTensor<'_, Self::Buffer>],
    ) -> Result<()>;
}

/// An [`UpdateRule`] applied to a list of tensors, with its state and the number of its steps.
pub struct Optimizer<B: Memory> {
    rule: UpdateRule,
    weight_decay: f64,
    number: u64,
    state: Vec<State<B>>,
}

struct State<B: Memory> {
    shape: Shape,
    buffers: Vec<B::Buffer>,
}

impl UpdateRule {
    /// Adam with the defaults of Keras: 0.9, 0.999 and an epsilon of 1e-7.
    pub const ADAM: UpdateRule = UpdateRule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };

    /// How many numbers are kept for each parameter between steps: 1 for SGD, 2 for the others.
    pub fn state_buffers(&self) -> usize {
        match self {
            UpdateRule::Sgd { .. } => 1,
            UpdateRule::Adam { .. } | UpdateRule::RmsProp { .. } => 2,
        }
    }

    /// What step `number`, counted from 1, multiplies by at a learning rate: the change by the
    /// first, the root of Adam's mean of squares by the second. Adam's corrections are in them.
    pub fn sizes(&self, rate: f64, number: u64) -> [f32; 2] {
        match *self {
            UpdateRule::Sgd { .. } | UpdateRule::RmsProp { .. } => [rate as f32, 1.0],
            UpdateRule::Adam { beta1, beta2, .. } => {
                let [mean, square] = [beta1, beta2].map(|beta| 1.0 - beta.powf(number as f64));
                [(rate / mean) as f32, square.sqrt().recip() as f32]
            }
        }
    }

    /// Checks the hyperparameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        let share = |name, value: f64| {
            let rule = "at least 0 and below 1";
            parameter(name, value, (0.0..1.0).contains(&value), rule)
        };
        let epsilon = |value: f64| {
            parameter("epsilon", value, value > 0.0 && value.is_finite(), "above 0 and finite")
        };
        match *self {
            UpdateRule::Sgd { momentum, .. } => share("momentum", momentum),
            UpdateRule::Adam { beta1, beta2, epsilon: e } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                epsilon(e)
            }
            UpdateRule::RmsProp { decay, momentum, epsilon: e } => {
                share("decay", decay)?;
                share("momentum", momentum)?;
                epsilon(e)
            }
        }
    }
}

impl<B: OptimizerBackend> Optimizer<B> {
    /// An optimizer before its first step; `weight_decay` is that of [`OptimizerStep`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for a hyperparameter out of its range.
    pub fn new(rule: UpdateRule, weight_decay: f64) -> Result<Self> {
        rule.check()?;
        let good = weight_decay >= 0.0 && weight_decay.is_finite();
        parameter("weight_decay", weight_decay, good, "at least 0 and finite")?;
        Ok(Optimizer { rule, weight_decay, number: 0, state: Vec::new() })
    }

    /// Changes the parameters by their gradients at a learning rate. The first step fixes how many
    /// tensors there are and their shapes.
    ///
    /// # Errors
    /// [`Error::DType`] unless all are f32; [`Error::ShapeMismatch`] unless each gradient has its
    /// parameter's shape, which is that of the first step; [`Error::Parameter`] if there are not as
    /// many gradients as parameters, not as many as in the first step, or the rate is negative or
    /// not finite. Nothing was changed then.
    pub fn step(
        &mut self,
        rate: f64,
        parameters: &mut [Tensor<B>],
        gradients: &[Tensor<B>],
    ) -> Result<()> {
        parameter("rate", rate, rate >= 0.0 && rate.is_finite(), "at least 0 and finite")?;
        self.check_operands(parameters, gradients)?;
        for parameter in &parameters[self.state.len()..] {
            let (backend, shape) = (parameter.backend(), parameter.shape());
            let zeros = |_| backend.zeros(DType::F32, shape.count());
            let buffers = (0..self.rule.state_buffers()).map(zeros).collect::<Result<_>>()?;
            self.state.push(State { shape, buffers });
        }
        self.number += 1;
        let sizes = StepSizes::Given(self.rule.sizes(rate, self.number));
        let step = OptimizerStep { rule: self.rule, weight_decay: self.weight_decay, sizes };
        let Some(backend) = parameters.first().map(|first| first.backend().clone()) else {
            return Ok(());
        };
        let whole = |gradient| [GradientPieces { buffer: Tensor::buffer(gradient), count: 1 }];
        let pieces: Vec<_> = gradients.iter().map(whole).collect();
        let operands = parameters.iter_mut().zip(&pieces).zip(&mut self.state);
        let tensors: Result<Vec<_>> = operands
            .map(|((parameter, gradients), State { buffers, .. })| {
                let len = parameter.shape().count();
                let parameters = parameter.buffer_mut()?;
                Ok(OptimizedTensor { len, parameters, gradients, state: buffers })
            })
            .collect();
        backend.optimizer_steps(&step, &mut tensors?)
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.number
    }

    fn check_operands(&self, parameters: &[Tensor<B>], gradients: &[Tensor<B>]) -> Result<()> {
        let (count, found) = (parameters.len(), gradients.len());
        let rule = "as many as there are parameters";
        parameter("the number of gradients", found, found == count, rule)?;
        let known = self.number == 0 || count == self.state.len();
        let rule = "the same in every step";
        parameter("the number of parameters", count, known, rule)?;
        for (parameter, gradient) in parameters.iter().zip(gradients) {
            check::dtype(OP, parameter, DType::F32, "f32 parameters")?;
            check::same(OP, parameter, gradient)?;
        }
        for (parameter, state) in parameters.iter().zip(&self.state) {
            let rule = "a parameter keeps the shape of the first step";
            check::shape(OP, parameter.shape(), state.shape, rule)?;
        }
        Ok(())
    }
}

const OP: &str = "optimizer_steps";

fn parameter(
    name: &'static str,
    value: impl ToString,
    good: bool,
    rule: &'static str,
) -> Result<()> {
    if good {
        return Ok(());
    }
    Err(Error::Parameter { op: OP, name, value: value.to_string(), rule })
}
