//! From tokens to the architecture they build, and its identity.

use std::cell::RefCell;
use std::collections::HashMap;

use nasrl_space::{ArchitectureHash, Graph, Image, Space, SpaceError, Tokens};

/// The architectures of a space: what decides whether two token strings are the same.
///
/// Where the space describes networks, token strings that build the same network are one
/// architecture; elsewhere every token string is its own.
pub struct Architectures<'a> {
    space: &'a Space,
    images: Option<Images>,
    hashes: RefCell<HashMap<Tokens, ArchitectureHash>>,
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
    /// The network; `None` where the space describes none, an error where these tokens build none.
    pub graph: Result<Option<Graph>, SpaceError>,
}

impl<'a> Architectures<'a> {
    /// The networks of `space` for these images.
    pub fn networks(space: &'a Space, images: Images) -> Self {
        Architectures { space, images: Some(images), hashes: RefCell::default() }
    }

    /// The token strings of `space`, none of which builds a network.
    pub fn token_strings(space: &'a Space) -> Self {
        Architectures { space, images: None, hashes: RefCell::default() }
    }

    /// The space.
    pub fn space(&self) -> &'a Space {
        self.space
    }

    /// Builds one.
    pub fn build(&self, tokens: &Tokens) -> Architecture {
        let Some(Images { shape, classes }) = self.images else {
            return Architecture { hash: self.token_hash(tokens), graph: Ok(None) };
        };
        match self.space.build(tokens, shape, classes) {
            Ok(graph) => Architecture { hash: graph.hash(), graph: Ok(Some(graph)) },
            Err(refused) => Architecture { hash: self.token_hash(tokens), graph: Err(refused) },
        }
    }

    /// The identity of one, which costs nothing from the second time on.
    pub fn hash(&self, tokens: &Tokens) -> ArchitectureHash {
        if let Some(hash) = self.hashes.borrow().get(tokens) {
            return *hash;
        }
        let hash = self.build(tokens).hash;
        self.hashes.borrow_mut().insert(tokens.clone(), hash);
        hash
    }

    fn token_hash(&self, tokens: &Tokens) -> ArchitectureHash {
        let text = blake3::hash(self.space.format(tokens).as_bytes()).to_hex();
        text[..16].parse().expect("sixteen hexadecimal digits are a hash")
    }
}
