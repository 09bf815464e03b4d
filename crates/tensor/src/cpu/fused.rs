//! Activations inside of other operations' loops.

/// Evaluates the body with `f` as the activation's function of an `f32`, the identity for `None`;
/// the body is compiled once for each, so that its loops stay free of the choice.
macro_rules! with_activation {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            None => {
                let $f = |x: f32| x;
                $body
            }
            Some($crate::ops::Activation::Relu) => {
                let $f = |x: f32| if x < 0.0 { 0.0 } else { x };
                $body
            }
            Some($crate::ops::Activation::Tanh) => {
                let $f = f32::tanh;
                $body
            }
            Some($crate::ops::Activation::Sigmoid) => {
                let $f = $crate::cpu::activation::sigmoid;
                $body
            }
        }
    };
}
pub(super) use with_activation;

/// Evaluates the body with `f(x, dy)` as the gradient `f'(x) dy` through the activation.
macro_rules! with_gradient {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            None => {
                let $f = |_: f32, dy: f32| dy;
                $body
            }
            Some($crate::ops::Activation::Relu) => {
                let $f = |x: f32, dy: f32| if x > 0.0 { dy } else { 0.0 };
                $body
            }
            Some($crate::ops::Activation::Tanh) => {
                let $f = |x: f32, dy: f32| {
                    let y = x.tanh();
                    (1.0 - y * y) * dy
                };
                $body
            }
            Some($crate::ops::Activation::Sigmoid) => {
                let $f = |x: f32, dy: f32| {
                    let y = $crate::cpu::activation::sigmoid(x);
                    y * (1.0 - y) * dy
                };
                $body
            }
        }
    };
}
pub(super) use with_gradient;
