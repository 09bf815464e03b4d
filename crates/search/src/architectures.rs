//! From tokens to the architecture they build, its identity, and whether it is within limits.

use std::cell::RefCell;
use std::collections::HashMap;

use nasrl_child::Recipe;
use nasrl_space::{ArchitectureHash, Graph, Image, Space, SpaceError, Tokens};

use crate::device::Devices;
use crate::limits::{Excess, Limits};

/// The architectures of a space: what decides whether two token strings are the same.
///
/// Where the space describes networks, token strings that build the same network are one
/// architecture; elsewhere every token string is its own.
pub struct Architectures<'a> {
    space: &'a Space,
    images: Option<Images>,
    bounds: Option<Bounds<'a>>,
    known: RefCell<HashMap<Tokens, Identity>>,
}

/// What decides how much an architecture may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// The limits.
    pub limits: Limits,
    /// How architectures are trained, which decides how much memory they take.
    pub recipe: &'a Recipe,
    /// How many threads train each, for the same.
    pub threads: usize,
    /// What they are trained on, for the same.
    pub devices: &'a Devices,
}

/// What networks are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// The shape of an image.
    pub shape: Image,
    /// How many classes there are.
    pub classes: usize,
}

/// What one token string builds.
#[derive(Debug)]
pub struct Architecture {
    /// Its identity.
    pub hash: ArchitectureHash,
    /// The limit that it is over, if there is one.
    pub excess: Option<Excess>,
    /// The network; `None` where the space describes none, an error where these tokens build none.
    pub graph: Result<Option<Graph>, SpaceError>,
}

/// What a strategy may be told of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its identity.
    pub hash: ArchitectureHash,
    /// The limit that it is over, if there is one.
    pub excess: Option<Excess>,
}

impl<'a> Architectures<'a> {
    /// The networks of `space` for these images.
    pub fn networks(space: &'a Space, images: Images) -> Self {
        Architectures { space, images: Some(images), bounds: None, known: RefCell::default() }
    }

    /// The token strings of `space`, none of which builds a network.
    pub fn token_strings(space: &'a Space) -> Self {
        Architectures { space, images: None, bounds: None, known: RefCell::default() }
    }

    /// The same ones, but those that cost more are over a limit.
    pub fn within(self, bounds: Bounds<'a>) -> Self {
        let bounds = Some(bounds).filter(|bounds| !bounds.limits.is_none());
        Architectures { bounds, known: RefCell::default(), ..self }
    }

    /// The space.
    pub fn space(&self) -> &'a Space {
        self.space
    }

    /// Builds one.
    pub fn build(&self, tokens: &Tokens) -> Architecture {
        let without_network =
            |graph| Architecture { hash: self.token_hash(tokens), excess: None, graph };
        let Some(Images { shape, classes }) = self.images else { return without_network(Ok(None)) };
        match self.space.build(tokens, shape, classes) {
            Ok(graph) => Architecture {
                hash: graph.hash(),
                excess: self.bounds.and_then(|bounds| bounds.excess(&graph)),
                graph: Ok(Some(graph)),
            },
            Err(refused) => without_network(Err(refused)),
        }
    }

    /// What can be told of one apart from its network; costs nothing from the second time on.
    pub fn identify(&self, tokens: &Tokens) -> Identity {
        if let Some(identity) = self.known.borrow().get(tokens) {
            return *identity;
        }
        let Architecture { hash, excess, .. } = self.build(tokens);
        let identity = Identity { hash, excess };
        self.known.borrow_mut().insert(tokens.clone(), identity);
        identity
    }

    fn token_hash(&self, tokens: &Tokens) -> ArchitectureHash {
        let text = blake3::hash(self.space.format(tokens).as_bytes()).to_hex();
        text[..16].parse().expect("sixteen hexadecimal digits are a hash")
    }
}

impl Bounds<'_> {
    fn excess(&self, graph: &Graph) -> Option<Excess> {
        let Bounds { limits, recipe, threads, devices } = *self;
        limits.excess(graph, || match devices.requirements(graph, recipe, threads) {
            Ok(needed) => needed.bytes as u64,
            // Training will refuse the recipe, and say why.
            Err(_) => 0,
        })
    }
}
