//! Every operation as cases, at small odd shapes and at those of real children and controllers.

mod activation;
mod add;
mod attention;
mod augment;
mod batch_norm;
mod bernoulli;
mod bias;
mod categorical;
mod classifier;
mod clip;
mod concat;
pub(crate) mod conv2d;
mod cross_entropy;
mod dropout;
mod embedding;
mod global_average_pool;
mod lstm_cell;
mod matmul;
mod memory;
mod optimizer;
mod pad;
mod pool;
mod select;
mod softmax;

use nasrl_tensor::{Backend, DType, Memory, Result};

pub(crate) use matmul::product;

use crate::case::{Case, Setting, Shapes};

/// An operation of `nasrl_tensor::ops`, or a transfer.
pub struct Operation<B: Memory> {
    /// The name of its file in `nasrl-tensor`.
    pub name: &'static str,
    /// Its cases in a setting.
    pub cases: fn(&Setting<'_, B>) -> Result<Vec<Case<B>>>,
}

/// Every operation.
pub fn operations<B: Backend>() -> Vec<Operation<B>> {
    macro_rules! all {
        ($($name:ident),+ $(,)?) => {
            vec![$(Operation { name: stringify!($name), cases: $name::cases::<B> }),+]
        };
    }
    all![
        activation,
        add,
        attention,
        augment,
        batch_norm,
        bernoulli,
        bias,
        categorical,
        classifier,
        clip,
        concat,
        conv2d,
        cross_entropy,
        dropout,
        embedding,
        global_average_pool,
        lstm_cell,
        matmul,
        memory,
        optimizer,
        pad,
        pool,
        select,
        softmax,
    ]
}

/// A case in words, such as `conv2d fprop 128 of 3x3 64-64 on 16x16 bf16`.
pub(crate) fn case_name<B: Memory>(operation: &str, case: &Case<B>, dtype: DType) -> String {
    format!("{operation} {} {} {dtype}", case.pass, case.shape)
}

/// A shape as `128x16x16x64`.
fn extents(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

/// The maps of the reference space's children, a map of `nas-rl-cnn`, or small ones.
fn maps<B: Memory>(setting: &Setting<'_, B>) -> Vec<[usize; 4]> {
    match setting.shapes {
        Shapes::Small => vec![[1, 1, 1, 1], [2, 3, 5, 7], [3, 7, 9, 24]],
        Shapes::Real { images } => {
            vec![[images, 16, 16, 64], [images, 8, 8, 32], [images, 32, 32, 48]]
        }
    }
}

/// Whether the setting is that of an operation of f32 alone.
fn is_f32<B>(setting: &Setting<'_, B>) -> bool {
    setting.dtype == DType::F32
}
