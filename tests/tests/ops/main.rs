//! Every operation of `nasrl-tensor` against naive loops in f64, on every backend.

mod activation;
mod add;
mod batch_norm;
mod bias;
mod concat;
mod conv2d;
mod global_average_pool;
mod matmul;
mod pad;
mod pool;
