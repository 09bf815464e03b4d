//! The operations: geometry, backend trait and checked functions on tensors, one file each.

mod activation;
mod add;
mod attention;
mod augment;
mod batch_norm;
mod bernoulli;
mod bias;
mod categorical;
mod check;
mod classifier;
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
mod padding;
mod pool;
mod rows;
mod select;
mod softmax;

pub use activation::{Activation, ActivationBackend, activation, activation_backward};
pub use add::{AddBackend, add, add_assign};
pub use attention::{
    Attention, AttentionBackend, AttentionGradients, AttentionInputs, attention_context,
    attention_context_backward, attention_scores, attention_scores_backward,
};
pub(crate) use augment::Placement;
pub use augment::{
    Augment, AugmentBackend, AugmentInputs, Crop, Draw, Flip, ImageBatch, ImageSource,
    MAX_IMAGE_CHANNELS, Normalisation, augment,
};
pub use batch_norm::{
    BatchNorm, BatchNormBackend, Parts, Upstream, batch_norm, batch_norm_backward,
    batch_norm_inference,
};
pub use bernoulli::{BernoulliBackend, bernoulli_backward, bernoulli_sample, bernoulli_score};
pub use bias::{BiasBackend, bias, bias_backward, bias_backward_add};
pub use categorical::{
    CategoricalBackend, PolicyWeights, RowDraw, categorical_backward, categorical_sample,
    categorical_score,
};
pub use classifier::{
    Classifier, ClassifierBackend, ClassifierGradients, ClassifierInputs, Pooled, classifier,
    classifier_with_gradients,
};
pub use clip::{ClipBackend, clip_global_norm};
pub use concat::{ChannelRange, ConcatBackend, CopyChannels, concat, concat_backward};
pub(crate) use conv2d::InSteps;
pub use conv2d::{
    Connection, Conv2d, Conv2dBackend, Conv2dFusion, Conv2dMemory, Conv2dParts, Epilogue,
    FilterGradients, FusedConv2dBackend, GradientForm, Normalised, Output, OutputGradient,
    Producer, Segment, SegmentMut, Sums, Through, conv2d, conv2d_dgrad, conv2d_wgrad,
};
pub use cross_entropy::{
    CrossEntropy, CrossEntropyBackend, CrossEntropyInputs, cross_entropy,
    cross_entropy_with_gradient,
};
pub use dropout::{Dropout, DropoutBackend, dropout};
pub use embedding::{Embedding, EmbeddingBackend, embedding, embedding_backward};
pub use global_average_pool::{
    GlobalAveragePool, GlobalAveragePoolBackend, global_average_pool, global_average_pool_backward,
};
pub use lstm_cell::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs,
    lstm_cell, lstm_cell_backward,
};
pub use matmul::{Matmul, MatmulBackend, Operand, matmul, matmul_add};
pub use optimizer::{
    GradientPieces, OptimizedTensor, Optimizer, OptimizerBackend, OptimizerStep, StepSizes,
    UpdateRule,
};
pub use pad::{Pad2d, Pad2dBackend, pad2d, pad2d_backward};
pub use padding::Padding;
pub use pool::{Pool2d, Pool2dBackend, Pooling, pool2d, pool2d_backward};
pub use rows::Rows;
pub use select::{SelectBackend, Selected, Selection, select};
pub use softmax::{SoftmaxBackend, log_softmax, log_softmax_backward, softmax, softmax_backward};

/// What an operation does with sums that its destination may already hold a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sum {
    /// Overwrites the destination.
    Store,
    /// Adds to the destination.
    Add,
}
