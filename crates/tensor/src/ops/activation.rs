use std::fmt;
use std::str::FromStr;

use super::check;
use crate::{Error, Memory, Result, Tensor};

/// An element-wise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`, NaN for NaN; its derivative at 0 is 0.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Activations on a device.
pub trait ActivationBackend: Memory {
    /// `y[i] = f(x[i])` for `i < len`.
    fn activation(
        &self,
        f: Activation,
        len: usize,
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dx[i] = f'(x[i]) dy[i]` for `i < len`, with `f'` computed from `y = f(x)`.
    fn activation_backward(
        &self,
        f: Activation,
        len: usize,
        y: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;
}

/// `f(x)`, element by element.
pub fn activation<B: ActivationBackend>(x: &Tensor<B>, f: Activation) -> Result<Tensor<B>> {
    check::float("activation", x)?;
    let mut y = Tensor::zeros(x.backend(), x.dtype(), x.shape())?;
    x.backend().activation(f, x.shape().count(), x.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

/// `f'(x) dy`, element by element, from the output `y = f(x)`: `dy` where `y > 0` for relu,
/// `(1 - y^2) dy` for tanh, `y (1 - y) dy` for sigmoid.
pub fn activation_backward<B: ActivationBackend>(
    y: &Tensor<B>,
    dy: &Tensor<B>,
    f: Activation,
) -> Result<Tensor<B>> {
    const OP: &str = "activation_backward";
    check::float(OP, y)?;
    check::same(OP, y, dy)?;
    let mut dx = Tensor::zeros(y.backend(), y.dtype(), y.shape())?;
    let len = y.shape().count();
    y.backend().activation_backward(f, len, y.buffer(), dy.buffer(), dx.buffer_mut()?)?;
    Ok(dx)
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
        })
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "relu" => Ok(Activation::Relu),
            "tanh" => Ok(Activation::Tanh),
            "sigmoid" => Ok(Activation::Sigmoid),
            _ => Err(Error::Parameter {
                op: "activation",
                name: "the function",
                value: word.to_string(),
                rule: "relu, tanh or sigmoid",
            }),
        }
    }
}
