//! Search spaces: their decisions, tokens, size and identity.

use std::fmt;
use std::path::Path;

use num_bigint::BigUint;
use rand_core::Rng;

use crate::network::{Key, Network, Setting};
use crate::{Decision, Graph, Image, SpaceError, Tokens, Value, file};

const REFERENCE: &str = include_str!("reference.toml");

/// A search space: decisions, and what network each choice of them describes.
///
/// A space that lists its decisions only has no networks; see [`Space::from_decisions`].
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    name: String,
    decisions: Vec<Decision>,
    network: Option<Network>,
}

/// The identity of a space, its name included: equal for files that say the same in other words.
/// Written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceDigest([u8; 32]);

/// All tokens of a space in lexicographic order; see [`Space::iter`].
#[derive(Clone, Debug)]
pub struct TokensIter<'a> {
    space: &'a Space,
    next: Option<Tokens>,
}

impl Space {
    /// The spaces that [`Space::open`] knows by name.
    pub const BUILT_IN: &'static [&'static str] = &["reference"];

    /// Four convolutions, each with its kernel from {1, 3} and its filters from {16, 32, 64};
    /// strides 2, 1, 2, 1, 'same' padding, bias and ReLU.
    pub fn reference() -> Space {
        Space::from_toml(REFERENCE, "reference").expect("the built-in text is tested")
    }

    /// The built-in space of this name, or else the one in the file of this name.
    ///
    /// # Errors
    /// As [`Space::load`].
    pub fn open(name_or_path: &str) -> Result<Space, SpaceError> {
        match name_or_path {
            "reference" => Ok(Space::reference()),
            path => Space::load(Path::new(path)),
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
            Err(reason) => Err(SpaceError::Read { file, reason, built_in: Space::BUILT_IN }),
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
        let name = name.into();
        if decisions.is_empty() {
            return Err(SpaceError::NoDecisions { space: name });
        }
        let mut names = std::collections::HashSet::new();
        match decisions.iter().find(|decision| !names.insert(decision.name())) {
            Some(twice) => Err(SpaceError::DuplicateDecision { decision: twice.name().to_owned() }),
            None => Ok(Space { name, decisions, network: None }),
        }
    }

    pub(crate) fn from_network(name: String, network: Network) -> Result<Space, SpaceError> {
        let space = Space::from_decisions(name, network.decisions()?)?;
        Ok(Space { network: Some(network), ..space })
    }

    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The name its author gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What has to be decided, in token order.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The exact number of token strings. Several can build one architecture.
    pub fn count(&self) -> BigUint {
        self.decisions.iter().map(|decision| BigUint::from(decision.values().len())).product()
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

    /// Reads tokens as people write them: the value of each decision, in order, separated by
    /// commas, with space allowed around them.
    ///
    /// # Errors
    /// [`SpaceError::TokenCount`] and [`SpaceError::UnknownValue`].
    pub fn parse(&self, text: &str) -> Result<Tokens, SpaceError> {
        self.parse_values(text.split(','))
    }

    /// As [`Space::parse`], with the values already apart, as in the columns of a table.
    ///
    /// # Errors
    /// As [`Space::parse`].
    pub fn parse_values<'a>(
        &self,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Tokens, SpaceError> {
        let texts: Vec<_> = values.into_iter().map(str::trim).collect();
        self.check_count(texts.len())?;
        let settle = |(position, (decision, text)): (usize, (&Decision, &&str))| {
            let index = decision.values().iter().position(|value| *value == Value::from(*text));
            index.and_then(|index| u16::try_from(index).ok()).ok_or_else(|| {
                SpaceError::UnknownValue {
                    position: position + 1,
                    decision: decision.name().to_owned(),
                    found: (*text).to_owned(),
                    allowed: decision.values().to_vec(),
                }
            })
        };
        let indices = self.decisions.iter().zip(&texts).enumerate().map(settle);
        Ok(Tokens::new(indices.collect::<Result<_, _>>()?))
    }

    /// Tokens from the index of each decision's value.
    ///
    /// # Errors
    /// [`SpaceError::TokenCount`] and [`SpaceError::UnknownIndex`].
    pub fn tokens(&self, indices: Vec<u16>) -> Result<Tokens, SpaceError> {
        self.check_count(indices.len())?;
        for (position, (decision, &found)) in self.decisions.iter().zip(&indices).enumerate() {
            let count = decision.values().len();
            if usize::from(found) >= count {
                let decision = decision.name().to_owned();
                return Err(SpaceError::UnknownIndex {
                    position: position + 1,
                    decision,
                    found,
                    count,
                });
            }
        }
        Ok(Tokens::new(indices))
    }

    /// The chosen value of each decision, in order.
    pub fn values<'a>(&'a self, tokens: &'a Tokens) -> impl Iterator<Item = &'a Value> {
        let choices = self.decisions.iter().zip(tokens.as_slice());
        choices.map(|(decision, &index)| &decision.values()[usize::from(index)])
    }

    /// Tokens as [`Space::parse`] reads them: `3,64,3,64,3,32,3,64`.
    pub fn format(&self, tokens: &Tokens) -> String {
        self.values(tokens).map(Value::to_string).collect::<Vec<_>>().join(",")
    }

    /// Tokens in words, for tables: `conv 3x3 64 /2, conv 3x3 64`. Operations of one layer are
    /// joined by `+`; an activation that is ReLU everywhere in the space goes without saying. For a
    /// space without networks `decision=value` each.
    pub fn describe(&self, tokens: &Tokens) -> String {
        let pair = |(decision, value): (&Decision, &Value)| format!("{}={value}", decision.name());
        match &self.network {
            Some(network) => network.describe(tokens),
            None => {
                let pairs = self.decisions.iter().zip(self.values(tokens)).map(pair);
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

    /// Every token string is equally likely.
    pub fn sample(&self, rng: &mut (impl Rng + ?Sized)) -> Tokens {
        let index = |decision: &Decision| {
            let index = uniform_below(rng, decision.values().len() as u32);
            u16::try_from(index).expect("a decision has at most 65,536 values")
        };
        Tokens::new(self.decisions.iter().map(index).collect())
    }

    /// The token string at `rank` in lexicographic order, from 0; `None` from [`Space::count`] on.
    pub fn unrank(&self, rank: &BigUint) -> Option<Tokens> {
        let mut rest = rank.clone();
        let mut indices = vec![0; self.decisions.len()];
        for (index, decision) in indices.iter_mut().zip(&self.decisions).rev() {
            let count = BigUint::from(decision.values().len());
            *index = u16::try_from(&rest % &count).expect("a decision has at most 65,536 values");
            rest /= count;
        }
        (rest == BigUint::ZERO).then(|| Tokens::new(indices))
    }

    /// All token strings in lexicographic order, the last decision changing fastest.
    pub fn iter(&self) -> TokensIter<'_> {
        TokensIter { space: self, next: Some(Tokens::new(vec![0; self.decisions.len()])) }
    }

    fn described(&self) -> Result<&Network, SpaceError> {
        self.network.as_ref().ok_or_else(|| SpaceError::NoNetwork { space: self.name.clone() })
    }

    fn check_count(&self, found: usize) -> Result<(), SpaceError> {
        if found == self.decisions.len() {
            return Ok(());
        }
        let decisions = self.decisions.iter().map(|decision| decision.name().to_owned()).collect();
        Err(SpaceError::TokenCount { space: self.name.clone(), found, decisions })
    }
}

impl<'a> IntoIterator for &'a Space {
    type Item = Tokens;
    type IntoIter = TokensIter<'a>;

    fn into_iter(self) -> TokensIter<'a> {
        self.iter()
    }
}

impl Iterator for TokensIter<'_> {
    type Item = Tokens;

    fn next(&mut self) -> Option<Tokens> {
        let current = self.next.take()?;
        let mut indices = current.as_slice().to_vec();
        for (index, decision) in indices.iter_mut().zip(self.space.decisions()).rev() {
            if usize::from(*index) + 1 < decision.values().len() {
                *index += 1;
                self.next = Some(Tokens::new(indices));
                break;
            }
            *index = 0;
        }
        Some(current)
    }
}

impl fmt::Display for SpaceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A uniform number below `bound` by multiplication, drawing again in the few cases that would
/// favour some (Lemire 2019, "Fast random integer generation in an interval", section 4).
fn uniform_below(rng: &mut (impl Rng + ?Sized), bound: u32) -> u32 {
    let unfair = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= unfair {
            return (product >> 32) as u32;
        }
    }
}
