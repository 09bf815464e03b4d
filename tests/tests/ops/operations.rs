//! The operations, whose tests are those of each program that includes this list.

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
mod conv2d_fused;
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
