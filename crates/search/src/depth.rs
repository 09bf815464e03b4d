//! How many layers networks have in the course of a search.

use std::str::FromStr;

use nasrl_space::{Space, SpaceError};
use serde::{Deserialize, Serialize};

/// How many layers the networks of a strategy's trials have, in spaces of several depths.
///
/// Its trial `t` has `min(end, start + step * (t / period))` layers: arXiv 1611.01578, section 4.1,
/// starts with 6 and adds 2 after every 1,600 trials. A space whose architectures of a depth are
/// used up goes on to the next one early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Depth {
    /// The number of layers at first; the space's least if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// The number of layers at last; the space's largest if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// How many layers are added at a time. Paper 2.
    pub step: usize,
    /// After how many trials layers are added. Paper 1,600.
    pub period: u64,
}

/// A number of layers, or the first and the last of several, as `6` or `6..20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthRange {
    /// The least.
    pub start: usize,
    /// The largest.
    pub end: usize,
}

/// Text that is no [`DepthRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of layers; write it as 6, or as 6..20 for networks that grow")]
pub struct DepthRangeError(String);

/// A space as it is in the course of a search: cut to fewer layers at first, whole at last.
#[derive(Clone, Debug)]
pub struct Stages {
    spaces: Vec<Space>,
    period: u64,
}

impl Depth {
    /// Fills in the depths of a space where none were set.
    pub fn complete(&mut self, space: &Space) {
        let depths = space.depths();
        self.start.get_or_insert(*depths.start());
        self.end.get_or_insert(*depths.end());
    }

    /// The part of a space that is searched.
    ///
    /// # Errors
    /// [`SpaceError::Depth`] for depths that it has not got.
    pub fn part_of(&self, space: &Space) -> Result<Space, SpaceError> {
        let depths = space.depths();
        let start = self.start.unwrap_or(*depths.start());
        space.at_depths(start..=self.end.unwrap_or(*depths.end()))
    }
}

impl Default for Depth {
    /// The paper's schedule through all depths of the space.
    fn default() -> Self {
        Depth { start: None, end: None, step: 2, period: 1_600 }
    }
}

impl FromStr for DepthRange {
    type Err = DepthRangeError;

    fn from_str(text: &str) -> Result<DepthRange, DepthRangeError> {
        let (start, end) = text.split_once("..").unwrap_or((text, text));
        match (start.trim().parse(), end.trim().parse()) {
            (Ok(start), Ok(end)) if start <= end => Ok(DepthRange { start, end }),
            _ => Err(DepthRangeError(text.to_owned())),
        }
    }
}

impl Stages {
    /// A space that stays as it is; of several depths it is the largest.
    pub fn whole(space: &Space) -> Stages {
        Stages { spaces: vec![space.clone()], period: u64::MAX }
    }

    /// A space that grows from its least depth to its largest.
    ///
    /// # Errors
    /// [`SpaceError`] if it cannot be cut.
    pub fn growing(space: &Space, depth: &Depth) -> Result<Stages, SpaceError> {
        let (least, most) = space.depths().into_inner();
        let shallower = (least..most).step_by(depth.step.max(1));
        let spaces = shallower.chain([most]).map(|depth| space.at_depth(depth));
        Ok(Stages { spaces: spaces.collect::<Result<_, _>>()?, period: depth.period.max(1) })
    }

    /// How many stages there are.
    pub fn count(&self) -> usize {
        self.spaces.len()
    }

    /// The stage of a strategy's trial number `trial`, counted from 0.
    pub fn stage_of(&self, trial: u64) -> usize {
        let stage = usize::try_from(trial / self.period).unwrap_or(usize::MAX);
        stage.min(self.spaces.len() - 1)
    }

    /// The space in a stage.
    pub fn space(&self, stage: usize) -> &Space {
        &self.spaces[stage]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_depths_grow_by_two() {
        let space = Space::open("nas-rl-cnn").unwrap();
        let stages = Stages::growing(&space, &Depth::default()).unwrap();
        let depth = |trial| *stages.space(stages.stage_of(trial)).depths().end();
        for (trial, expected) in
            [(0, 6), (1_599, 6), (1_600, 8), (3_200, 10), (11_199, 18), (11_200, 20), (99_999, 20)]
        {
            assert_eq!(depth(trial), expected, "trial {trial}");
        }
        assert_eq!(stages.count(), 8);
    }

    #[test]
    fn the_last_step_ends_at_the_end() {
        let space = Space::open("nas-rl-cnn").unwrap().at_depths(6..=9).unwrap();
        let depth = Depth { step: 2, period: 10, ..Depth::default() };
        let stages = Stages::growing(&space, &depth).unwrap();
        let depths: Vec<usize> =
            (0..stages.count()).map(|s| *stages.space(s).depths().end()).collect();
        assert_eq!(depths, [6, 8, 9]);
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!("6".parse(), Ok(DepthRange { start: 6, end: 6 }));
        assert_eq!("6..20".parse(), Ok(DepthRange { start: 6, end: 20 }));
        for text in ["", "six", "20..6", "6..", "..", "6...20", "-1"] {
            assert_eq!(text.parse::<DepthRange>(), Err(DepthRangeError(text.to_owned())));
        }
    }
}
