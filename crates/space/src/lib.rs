//! Search spaces and the networks in them, as pure data.
//!
//! A [`Space`] is a list of named [`Decision`]s. One choice for each of them is a [`Tokens`]
//! string; [`Space::build`] turns it into a [`Graph`], the layer graph of a network, which knows
//! its shapes, its parameters, its cost and its identity ([`Graph::hash`]).
//!
//! ```
//! use nasrl_space::{Image, Space};
//!
//! let space = Space::reference();
//! let tokens = space.parse("3,64,3,64,3,32,3,64")?;
//! let graph = space.build(&tokens, Image { height: 32, width: 32, channels: 3 }, 10)?;
//! assert_eq!(graph.parameters(), 76_330);
//! # Ok::<(), nasrl_space::SpaceError>(())
//! ```
//!
//! Nothing here computes: tensors, training and policies belong to other crates, and this one
//! must not come to know them. The alternative, building networks directly in the training
//! crate, would leave counting, hashing, drawing and exporting without a common ground.
//!
//! # Spaces in TOML
//!
//! A user's own space is a file. This one (`examples/every-key.toml`) explains every key there is:
//!
//! ```toml
#![doc = include_str!("../examples/every-key.toml")]
//! ```
//!
//! A space without `[layers]` lists its decisions only. It has no network to build, but it can be
//! searched wherever rewards come from elsewhere, a table of known results for instance:
//!
//! ```toml
#![doc = include_str!("../examples/decisions-only.toml")]
//! ```
//!
//! In a third one (`examples/layer-types.toml`) the search decides what each layer is and which
//! layers it reads:
//!
//! ```toml
#![doc = include_str!("../examples/layer-types.toml")]
//! ```
//!
//! # What a layer is
//!
//! Convolution, batch normalisation, activation, pooling, dropout, in this order, each where the
//! space asks for it. A convolution has a bias unless batch normalisation follows, whose beta
//! takes its place. Of a block of several convolutions each reads what the layer is given and all
//! before it, and the layer's result is what all compute, side by side; pooling and dropout follow.
//!
//! A layer reads the one before it, or with skips the concatenation of several, in ascending order.
//! A layer that reads none reads the image, or the stem's result. The results that no layer reads
//! are concatenated for the head; without skips that is the last one. Results of different extents
//! get zeros around them, up to the largest height and width. These are the rules of arXiv
//! 1611.01578, section 3.3. The head is global average pooling, dropout if it has any, and a dense
//! layer to the classes.
//!
//! # Names of nodes and parameters
//!
//! Nodes are called `<layer>.conv`, `<layer>.batch_norm`, `<layer>.activation`, `<layer>.pool` and
//! `<layer>.dropout`, where a layer is `stem` or `layer1`, `layer2`, ...; the convolutions of a
//! block are `<layer>.1.conv`, `<layer>.2.conv`, ..., and `<layer>.block.concat` joins them. Before
//! a layer that reads several stand `<layer>.pad<n>`, zeros around the result of layer `n`, and
//! `<layer>.concat`. The head has
//! `head.pool`, `head.dropout` and `head.dense`. A parameter is named after its node, as
//! `layer1.conv.weight`; [`ParameterRole`] lists names and layouts.

mod decision;
mod enumeration;
mod error;
mod file;
mod graph;
mod network;
mod space;
mod value;
mod written;

pub use decision::{Condition, Decision, Tokens};
pub use enumeration::TokensIter;
pub use error::{DecisionError, FileProblem, Place, SpaceError};
pub use graph::{
    Activation, ArchitectureHash, Conv2d, ConvolutionKind, Dense, Dropout, Extent, Graph,
    GraphBuilder, GraphError, Image, Node, NodeId, Op, Padding, ParameterRole, ParameterSpec, Pool,
    PoolKind, Sides, Window,
};
pub use space::{Space, SpaceDigest, Step};
pub use value::{Real, Value};
