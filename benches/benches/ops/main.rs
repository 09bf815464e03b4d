//! Throughput of every operation at the shapes of real children and controllers.
//!
//! `cargo bench -p nasrl-benches -- conv2d` runs one operation.

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

criterion::criterion_group!(
    benches,
    activation::bench,
    add::bench,
    batch_norm::bench,
    bias::bench,
    concat::bench,
    conv2d::bench,
    global_average_pool::bench,
    matmul::bench,
    pad::bench,
    pool::bench
);
criterion::criterion_main!(benches);
