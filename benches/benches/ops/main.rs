//! Throughput of every operation at the shapes of real children and controllers.
//!
//! `cargo bench -p nasrl-benches -- conv2d` runs one operation.

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

criterion::criterion_group!(
    benches,
    activation::bench,
    add::bench,
    attention::bench,
    augment::bench,
    batch_norm::bench,
    bernoulli::bench,
    bias::bench,
    categorical::bench,
    clip::bench,
    concat::bench,
    conv2d::bench,
    cross_entropy::bench,
    dropout::bench,
    embedding::bench,
    global_average_pool::bench,
    lstm_cell::bench,
    matmul::bench,
    optimizer::bench,
    pad::bench,
    pool::bench,
    softmax::bench
);
criterion::criterion_main!(benches);
