//! The operations: geometry, backend trait and checked functions on tensors, one file each.

mod activation;
mod add;
mod batch_norm;
mod bias;
mod check;
mod concat;
mod conv2d;
mod global_average_pool;
mod matmul;
mod pad;
mod padding;
mod pool;
mod rows;

pub use activation::{Activation, ActivationBackend, activation, activation_backward};
pub use add::{AddBackend, add, add_assign};
pub use batch_norm::{
    BatchNorm, BatchNormBackend, Moments, Upstream, batch_norm, batch_norm_backward,
    batch_norm_inference,
};
pub use bias::{BiasBackend, bias, bias_backward, bias_backward_add};
pub use concat::{ChannelRange, ConcatBackend, CopyChannels, concat, concat_backward};
pub use conv2d::{Connection, Conv2d, Conv2dBackend, Epilogue, conv2d, conv2d_dgrad, conv2d_wgrad};
pub use global_average_pool::{
    GlobalAveragePool, GlobalAveragePoolBackend, global_average_pool, global_average_pool_backward,
};
pub use matmul::{Matmul, MatmulBackend, Operand, matmul, matmul_add};
pub use pad::{Pad2d, Pad2dBackend, pad2d, pad2d_backward};
pub use padding::Padding;
pub use pool::{Pool2d, Pool2dBackend, Pooling, pool2d, pool2d_backward};
pub use rows::Rows;

/// What an operation does with sums that its destination may already hold a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sum {
    /// Overwrites the destination.
    Store,
    /// Adds to the destination.
    Add,
}
