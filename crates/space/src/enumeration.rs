//! All token strings of a space: how many there are, the one at a rank, one at random.

use num_bigint::BigUint;
use rand_core::Rng;

use crate::{Decision, Space, Tokens};

/// All tokens of a space in lexicographic order; see [`Space::iter`].
#[derive(Clone, Debug)]
pub struct TokensIter<'a> {
    space: &'a Space,
    next: Option<Tokens>,
}

impl Space {
    /// The exact number of token strings. Several can build one architecture. Of a space of several
    /// depths those of the largest count.
    pub fn count(&self) -> BigUint {
        let always = |position: &usize| self.decisions()[*position].condition().is_none();
        (0..self.decisions().len()).filter(always).map(|position| self.ways(position)).product()
    }

    /// In how many ways a decision and those that depend on it can be made.
    fn ways(&self, position: usize) -> BigUint {
        let values = self.decisions()[position].values().len();
        (0..values).map(|choice| self.ways_after(position, choice)).sum()
    }

    /// In how many ways the decisions that depend on one can be made after a choice of it.
    fn ways_after(&self, position: usize, choice: usize) -> BigUint {
        // They stand in the same block, before its skips.
        let block = self.listing.parts.iter().find(|part| part.end > position);
        let end = block.map_or(0, |part| part.first_skip).max(position + 1);
        let ways = |decision: &Decision| {
            let condition = decision.condition().filter(|c| c.decision == position)?;
            let made = condition.choices.iter().any(|&made| usize::from(made) == choice);
            made.then(|| BigUint::from(decision.values().len()))
        };
        self.decisions()[position + 1..end].iter().filter_map(ways).product()
    }

    /// Each decision that is made takes each of its values with the same probability.
    pub fn sample(&self, rng: &mut (impl Rng + ?Sized)) -> Tokens {
        let mut indices = Vec::with_capacity(self.decisions().len());
        for decision in self.decisions() {
            let index = match decision.is_made(&indices) {
                true => uniform_below(rng, decision.values().len() as u32),
                false => 0,
            };
            indices.push(u16::try_from(index).expect("a decision has at most 65,536 values"));
        }
        Tokens::new(indices)
    }

    /// The token string at `rank` in lexicographic order, from 0; `None` from [`Space::count`] on.
    pub fn unrank(&self, rank: &BigUint) -> Option<Tokens> {
        let mut rest = rank.clone();
        // How many token strings begin as `indices` do.
        let mut completions = self.count();
        if rest >= completions {
            return None;
        }
        let mut indices: Vec<u16> = Vec::with_capacity(self.decisions().len());
        for (position, decision) in self.decisions().iter().enumerate() {
            let mut index = 0;
            if decision.is_made(&indices) {
                // What a decision depends on has accounted for it already.
                let ways = match decision.condition() {
                    Some(_) => BigUint::from(decision.values().len()),
                    None => self.ways(position),
                };
                let others = completions / ways;
                completions = &others * self.ways_after(position, index);
                while rest >= completions {
                    rest -= completions;
                    index += 1;
                    completions = &others * self.ways_after(position, index);
                }
            }
            indices.push(u16::try_from(index).expect("a decision has at most 65,536 values"));
        }
        Some(Tokens::new(indices))
    }

    /// All token strings in lexicographic order, the last decision changing fastest.
    pub fn iter(&self) -> TokensIter<'_> {
        TokensIter { space: self, next: Some(Tokens::new(vec![0; self.decisions().len()])) }
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
        for (position, decision) in self.space.decisions().iter().enumerate().rev() {
            let last = decision.values().len() - 1;
            if usize::from(indices[position]) < last && decision.is_made(&indices) {
                indices[position] += 1;
                self.next = Some(Tokens::new(indices));
                break;
            }
            indices[position] = 0;
        }
        Some(current)
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
