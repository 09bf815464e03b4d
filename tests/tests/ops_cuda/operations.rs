//! The operations that the CUDA backend has, which are tested on a GPU and on the emulator.

#[path = "../ops/activation.rs"]
mod activation;
#[path = "../ops/add.rs"]
mod add;
#[path = "../ops/attention.rs"]
mod attention;
#[path = "../ops/augment.rs"]
mod augment;
#[path = "../ops/batch_norm.rs"]
mod batch_norm;
#[path = "../ops/bernoulli.rs"]
mod bernoulli;
#[path = "../ops/bias.rs"]
mod bias;
#[path = "../ops/categorical.rs"]
mod categorical;
#[path = "../ops/clip.rs"]
mod clip;
#[path = "../ops/concat.rs"]
mod concat;
#[path = "../ops/conv2d.rs"]
mod conv2d;
#[path = "conv2d_algorithms.rs"]
mod conv2d_algorithms;
#[path = "../ops/cross_entropy.rs"]
mod cross_entropy;
#[path = "../ops/dropout.rs"]
mod dropout;
#[path = "../ops/embedding.rs"]
mod embedding;
#[path = "../ops/global_average_pool.rs"]
mod global_average_pool;
#[path = "../ops/lstm_cell.rs"]
mod lstm_cell;
#[path = "../ops/matmul.rs"]
mod matmul;
#[path = "../ops/memory.rs"]
mod memory;
#[path = "../ops/optimizer.rs"]
mod optimizer;
#[path = "../ops/pad.rs"]
mod pad;
#[path = "../ops/pool.rs"]
mod pool;
#[path = "../ops/softmax.rs"]
mod softmax;
