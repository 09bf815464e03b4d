//! Every operation of `nasrl-tensor` against naive loops in f64, on every backend.

mod activation;
mod add;
mod attention;
mod augment;
mod batch_norm;
mod bernoulli;
mod bias;
mod categorical;
mod clip;
mod concat;
mod conv2d;
mod cross_entropy;
mod dropout;
mod embedding;
mod global_average_pool;
mod lstm_cell;
mod matmul;
mod optimizer;
mod pad;
mod pool;
mod softmax;
