//! The CUDA C++ sources of the operations of `nasrl-tensor`, as texts: they are compiled on the
//! machine that has the GPU, when they are first used.
//!
//! There is one source for each operation, which opens with its contract: what it computes, the
//! layout of each operand, which may overlap, how it is launched. The sources include headers of
//! [`HEADERS`] and nothing else.
//!
//! An operation is added in five steps. Write `<name>.cu`: a contract, a geometry struct, a template
//! for each kernel and one macro that instantiates them as `extern "C"` entry points, whose names
//! begin with the operation's and end with the type's. List it in [`SOURCES`]. Declare its kernels
//! with `kernels!` in `nasrl-tensor`'s `cuda/<name>.rs` and implement the operation's trait there.
//! Add its tests to `tests/tests/ops_cuda`. Compile it with NVRTC for `sm_80` and `sm_90a`.

/// A source that is compiled alone, or a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source<'a> {
    /// The file's name, as an include directive and a compiler's message have it.
    pub name: &'a str,
    /// The file's text.
    pub text: &'a str,
}

/// What the sources include.
pub const HEADERS: &[Source<'static>] = &[
    header!("chunk_sums.cuh"),
    header!("columns.cuh"),
    header!("conv2d.cuh"),
    header!("elementwise.cuh"),
    header!("function.cuh"),
    header!("gather.cuh"),
    header!("halo.cuh"),
    header!("images.cuh"),
    header!("jobs.cuh"),
    header!("normalise.cuh"),
    header!("peak.cuh"),
    header!("philox.cuh"),
    header!("pieces.cuh"),
    header!("prelude.cuh"),
    header!("product.cuh"),
    header!("reduce.cuh"),
    header!("results.cuh"),
    header!("rows.cuh"),
    header!("source.cuh"),
    header!("types.cuh"),
    header!("vector.cuh"),
    header!("wgrad.cuh"),
];

sources! {
    ACTIVATION = "activation.cu",
    ADD = "add.cu",
    ATTENTION = "attention.cu",
    AUGMENT = "augment.cu",
    BATCH_NORM = "batch_norm.cu",
    BERNOULLI = "bernoulli.cu",
    BIAS = "bias.cu",
    CAST = "cast.cu",
    CATEGORICAL = "categorical.cu",
    CLASSIFIER = "classifier.cu",
    CLIP = "clip.cu",
    CONCAT = "concat.cu",
    CONV2D_DEPTHWISE = "conv2d_depthwise.cu",
    CONV2D_DIRECT = "conv2d_direct.cu",
    CONV2D_GATHER = "conv2d_gather.cu",
    CONV2D_PACK = "conv2d_pack.cu",
    CONV2D_TILED = "conv2d_tiled.cu",
    CONV2D_WGRAD = "conv2d_wgrad.cu",
    CROSS_ENTROPY = "cross_entropy.cu",
    DROPOUT = "dropout.cu",
    EMBEDDING = "embedding.cu",
    GLOBAL_AVERAGE_POOL = "global_average_pool.cu",
    LSTM_CELL = "lstm_cell.cu",
    MATMUL = "matmul.cu",
    MATMUL_MMA = "matmul_mma.cu",
    OPTIMIZER = "optimizer.cu",
    PAD = "pad.cu",
    POOL = "pool.cu",
    SELECT = "select.cu",
    SOFTMAX = "softmax.cu",
}

macro_rules! header {
    ($name:literal) => {
        Source { name: $name, text: include_str!(concat!("common/", $name)) }
    };
}
use header;

macro_rules! sources {
    ($($constant:ident = $name:literal,)+) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Source<'static> = Source { name: $name, text: include_str!($name) };
        )+

        /// Every source.
        pub const SOURCES: &[Source<'static>] = &[$($constant),+];
    };
}
use sources;
