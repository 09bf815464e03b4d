//! Search spaces: their decisions, their networks and their identity.

use std::collections::HashSet;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use crate::network::{Key, Listing, Network, Part, Setting, Skips};
use crate::{Decision, Graph, Image, SpaceError, Tokens, Value, file};

/// The built-in spaces: name and text.
const BUILT_IN: [(&str, &str); 4] = [
    ("reference", include_str!("built_in/reference.toml")),
    ("nas-rl-cnn", include_str!("built_in/nas-rl-cnn.toml")),
    ("nas-rl-cnn-strides", include_str!("built_in/nas-rl-cnn-strides.toml")),
    ("nas-rl-cnn-pooling", include_str!("built_in/nas-rl-cnn-pooling.toml")),
];

/// A search space: decisions, and what network each choice of them describes.
///
/// A space that lists its decisions only has no networks; see [`Space::from_decisions`].
///
/// A space can have several depths: its token strings are those of its largest number of layers,
/// and [`Space::at_depth`] is the same space with fewer. What describes a network of fewer layers
/// is as good a token string of the space itself, for all methods but those that count and draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    name: String,
    pub(crate) listing: Listing,
    network: Option<Box<Network>>,
}

/// A step of deciding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One decision.
    Choice {
        /// Its place among the decisions of the space.
        decision: usize,
    },
    /// Which earlier layers a layer reads: a decision with the values 0 and 1 for each of them, in
    /// ascending order, and so none for the first layer. The anchor point of arXiv 1611.01578,
    /// section 3.3.
    Anchor {
        /// Their places among the decisions of the space.
        decisions: Range<usize>,
    },
}

/// The identity of a space, its name included: equal for files that say the same in other words.
/// Written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceDigest([u8; 32]);

impl Space {
    /// The names of the spaces that [`Space::open`] knows.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.into_iter().map(|(name, _)| name)
    }

    /// Four convolutions, each with its kernel from {1, 3} and its filters from {16, 32, 64};
    /// strides 2, 1, 2, 1, 'same' padding, bias and ReLU.
    pub fn reference() -> Space {
        Space::open("reference").expect("the built-in text is tested")
    }

    /// The built-in space of this name, or else the one in the file of this name.
    ///
    /// # Errors
    /// As [`Space::load`].
    pub fn open(name_or_path: &str) -> Result<Space, SpaceError> {
        match BUILT_IN.into_iter().find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => Space::from_toml(text, name),
            None => Space::load(Path::new(name_or_path)),
        }
    }

    /// The space that a TOML file describes.
    ///
    /// # Errors
    /// [`SpaceError::Read`], or as [`Space::from_toml`].
    pub fn load(path: &Path) -> Result<Space, SpaceError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Space::from_toml(&text, &file),
            Err(reason) => {
                Err(SpaceError::Read { file, reason, built_in: Space::built_in().collect() })
            }
        }
    }

    /// The space that TOML text describes, see the [crate's page](crate); errors call it
    /// `file_name`.
    ///
    /// # Errors
    /// [`SpaceError::File`] with the place, for anything that is not a space.
    pub fn from_toml(text: &str, file_name: &str) -> Result<Space, SpaceError> {
        file::read(text, file_name)
    }

    /// A space of decisions without networks, for searches whose rewards come from elsewhere.
    ///
    /// # Errors
    /// [`SpaceError::NoDecisions`] and [`SpaceError::DuplicateDecision`].
    pub fn from_decisions(
        name: impl Into<String>,
        decisions: Vec<Decision>,
    ) -> Result<Space, SpaceError> {
        let steps = (0..decisions.len()).map(|decision| Step::Choice { decision }).collect();
        Space::of(name.into(), Listing { decisions, steps, parts: Vec::new() }, None)
    }

    pub(crate) fn from_network(name: String, network: Network) -> Result<Space, SpaceError> {
        Space::of(name, network.listing()?, Some(Box::new(network)))
    }

    fn of(
        name: String,
        listing: Listing,
        network: Option<Box<Network>>,
    ) -> Result<Space, SpaceError> {
        if listing.decisions.is_empty() {
            return Err(SpaceError::NoDecisions { space: name });
        }
        let mut names = HashSet::new();
        match listing.decisions.iter().find(|decision| !names.insert(decision.name())) {
            Some(twice) => Err(SpaceError::DuplicateDecision { decision: twice.name().to_owned() }),
            None => Ok(Space { name, listing, network }),
        }
    }

    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_deref()
    }

    /// The name its author gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What has to be decided, in token order.
    pub fn decisions(&self) -> &[Decision] {
        &self.listing.decisions
    }

    /// The steps in which a policy decides, in token order. The anchor of a layer comes after its
    /// other decisions.
    pub fn steps(&self) -> &[Step] {
        &self.listing.steps
    }

    /// Whether the decision at `position` is made after the choices `before` it.
    pub fn is_made(&self, position: usize, before: &[u16]) -> bool {
        self.decisions()[position].is_made(before)
    }

    /// The numbers of layers that its networks can have; 0 for a space without networks.
    pub fn depths(&self) -> RangeInclusive<usize> {
        match &self.network {
            Some(network) => network.least..=network.layers.len(),
            None => 0..=0,
        }
    }

    /// This space with so many layers and no other depth.
    ///
    /// # Errors
    /// As [`Space::at_depths`].
    pub fn at_depth(&self, depth: usize) -> Result<Space, SpaceError> {
        self.at_depths(depth..=depth)
    }

    /// This space with these depths and no other.
    ///
    /// # Errors
    /// [`SpaceError::Depth`] unless all of them, and at least one, are of [`Space::depths`].
    pub fn at_depths(&self, depths: RangeInclusive<usize>) -> Result<Space, SpaceError> {
        let (least, most) = (*depths.start(), *depths.end());
        let unknown = [least, most].into_iter().find(|depth| !self.depths().contains(depth));
        if let Some(depth) = unknown.or((least > most).then_some(most)) {
            return Err(self.no_such_depth(depth));
        }
        let Some(network) = &self.network else { return Ok(self.clone()) };
        let mut network = Network::clone(network);
        network.layers.truncate(most);
        network.least = least;
        Space::from_network(self.name.clone(), network)
    }

    /// The space as TOML, complete and canonical: reading it gives the same space, and spaces that
    /// are the same are written the same.
    pub fn to_toml(&self) -> String {
        file::write(self)
    }

    /// The identity of the space: a hash of [`Space::to_toml`].
    pub fn digest(&self) -> SpaceDigest {
        SpaceDigest(*blake3::hash(self.to_toml().as_bytes()).as_bytes())
    }

    /// This space with batch normalisation after every convolution. Decisions about batch
    /// normalisation, if there were any, are settled and no longer part of it.
    ///
    /// # Errors
    /// [`SpaceError::NoNetwork`], and [`SpaceError::NoDecisions`] if there was nothing else to
    /// decide.
    pub fn with_batch_norm(&self) -> Result<Space, SpaceError> {
        let mut network = self.described()?.clone();
        for block in network.stem.iter_mut().chain(&mut network.layers) {
            block.settings.insert(Key::BatchNorm, Setting::Fixed(Value::from("on")));
        }
        Space::from_network(self.name.clone(), network)
    }

    /// Tokens from the index of each decision's value; that of a decision that is not made is taken
    /// as 0.
    ///
    /// # Errors
    /// [`SpaceError::TokenCount`] and [`SpaceError::UnknownIndex`].
    pub fn tokens(&self, mut indices: Vec<u16>) -> Result<Tokens, SpaceError> {
        self.check_count(indices.len())?;
        for (position, decision) in self.decisions().iter().enumerate().take(indices.len()) {
            let (found, count) = (indices[position], decision.values().len());
            if usize::from(found) >= count {
                let decision = decision.name().to_owned();
                return Err(SpaceError::UnknownIndex {
                    position: position + 1,
                    decision,
                    found,
                    count,
                });
            }
            if !decision.is_made(&indices) {
                indices[position] = 0;
            }
        }
        Ok(Tokens::new(indices))
    }

    /// The chosen value of each decision, in order.
    pub fn values<'a>(&'a self, tokens: &'a Tokens) -> impl Iterator<Item = &'a Value> {
        let choices = self.decisions().iter().zip(tokens.as_slice());
        choices.map(|(decision, &index)| &decision.values()[usize::from(index)])
    }

    /// Tokens in words, for tables: `conv 3x3 64 /2, conv 3x3 64 of 1+2`. Operations of one layer
    /// are joined by `+`; what a layer reads is said unless it is the layer before it. An activation
    /// that can only be ReLU goes without saying, and so does batch normalisation that is in every
    /// layer. For a space without networks `decision=value` each.
    pub fn describe(&self, tokens: &Tokens) -> String {
        let pair = |(decision, value): (&Decision, &Value)| format!("{}={value}", decision.name());
        match &self.network {
            Some(network) => network.describe(tokens),
            None => {
                let pairs = self.decisions().iter().zip(self.values(tokens)).map(pair);
                pairs.collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// The network that `tokens` describe, for images of shape `input` and so many `classes`.
    ///
    /// # Errors
    /// [`SpaceError::NoNetwork`], and [`SpaceError::Build`] if the network does not exist for this
    /// input, as when a 'valid' convolution is larger than the image.
    pub fn build(
        &self,
        tokens: &Tokens,
        input: Image,
        classes: usize,
    ) -> Result<Graph, SpaceError> {
        let build = self.described()?.build(tokens, input, classes);
        build.map_err(|reason| SpaceError::Build { tokens: self.format(tokens), reason })
    }

    /// Whether skips are decided or a decision depends on another, so that a token string is written
    /// layer by layer.
    pub(crate) fn is_written_by_layer(&self) -> bool {
        self.network.as_deref().is_some_and(|network| network.skips == Skips::Decided)
            || self.decisions().iter().any(|decision| decision.condition().is_some())
    }

    /// The blocks of a network of so many layers.
    pub(crate) fn parts(&self, depth: usize) -> impl Iterator<Item = &Part> {
        let mut layers = 0;
        self.listing.parts.iter().filter(move |part| {
            layers += usize::from(part.is_layer);
            !part.is_layer || layers <= depth
        })
    }

    pub(crate) fn no_such_depth(&self, found: usize) -> SpaceError {
        let depths = self.depths();
        let (least, most) = (*depths.start(), *depths.end());
        SpaceError::Depth { space: self.name.clone(), found, least, most }
    }

    /// Whether so many tokens can be a token string.
    pub(crate) fn check_count(&self, found: usize) -> Result<(), SpaceError> {
        let layers = self.listing.parts.iter().filter(|part| part.is_layer);
        let ends_a_layer = layers.skip(self.depths().start().max(&1) - 1).any(|p| p.end == found);
        if found == self.decisions().len() || (self.depths().count() > 1 && ends_a_layer) {
            return Ok(());
        }
        let names = self.decisions().iter().map(|decision| decision.name().to_owned());
        Err(SpaceError::TokenCount { space: self.name.clone(), found, decisions: names.collect() })
    }

    fn described(&self) -> Result<&Network, SpaceError> {
        self.network.as_deref().ok_or_else(|| SpaceError::NoNetwork { space: self.name.clone() })
    }
}

impl fmt::Display for SpaceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
