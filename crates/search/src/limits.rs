//! What an architecture may cost.

use std::fmt;

use nasrl_child::{Recipe, requirements};
use nasrl_space::Graph;
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::text::grouped;

/// What an architecture may cost at the most; checked before anything is trained. What is absent
/// is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Trainable parameters, [`Graph::parameters`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Amount>,
    /// Floating-point operations of one image's forward pass, [`Graph::flops`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<Amount>,
    /// Bytes of memory that its training takes, [`requirements`]; they depend on the threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Amount>,
}

/// A limit that an architecture is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// What it has too much of, in the plural.
    pub of: &'static str,
    /// The option that sets the limit.
    pub option: &'static str,
    /// How much it has.
    pub found: u64,
    /// How much it may have.
    pub limit: u64,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Limits::default()
    }

    /// The first limit that a network is over if so many threads train it by `recipe`.
    pub fn excess(&self, graph: &Graph, recipe: &Recipe, threads: usize) -> Option<Excess> {
        let over = |of, option, limit: Option<Amount>, count: &dyn Fn() -> u64| {
            let (limit, found) = (limit?.0, count());
            (found > limit).then_some(Excess { of, option, found, limit })
        };
        let bytes = || match requirements(graph, recipe, threads) {
            Ok(needed) => needed.bytes as u64,
            // Training will refuse the recipe, and say why.
            Err(_) => 0,
        };
        over("parameters", "--max-params", self.params, &|| graph.parameters())
            .or_else(|| over("FLOPs", "--max-flops", self.flops, &|| graph.flops()))
            .or_else(|| over("bytes", "--max-memory", self.memory, &bytes))
    }
}

impl fmt::Display for Limits {
    /// Such as `100,000 parameters, 5,000,000 FLOPs`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { params, flops, memory } = *self;
        let all = [(params, "parameters"), (flops, "FLOPs"), (memory, "bytes of memory")];
        let words: Vec<String> =
            all.iter().filter_map(|(limit, of)| Some(format!("{} {of}", (*limit)?))).collect();
        f.write_str(&words.join(", "))
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excess { of, option, found, limit } = *self;
        let [found, limit, over] = [found, limit, found - limit].map(grouped);
        write!(f, "{found} {of}, {over} more than {option} allows, {limit}")
    }
}

#[cfg(test)]
mod tests {
    use nasrl_space::{Image, Space};

    use super::*;

    #[test]
    fn what_is_as_much_as_allowed_is_not_over() {
        let space = Space::reference();
        let tokens = space.parse("3,64,3,64,3,32,3,64").unwrap();
        let image = Image { height: 32, width: 32, channels: 3 };
        let graph = space.build(&tokens, image, 10).unwrap();
        let recipe = Recipe::reference();
        let (parameters, flops) = (graph.parameters(), graph.flops());
        let amount = |number| Some(Amount(number));
        let excess = |limits: Limits| limits.excess(&graph, &recipe, 2);
        assert_eq!(excess(Limits::default()), None);
        assert_eq!(excess(Limits { params: amount(parameters), ..Limits::default() }), None);
        let found = excess(Limits { params: amount(76_329), ..Limits::default() }).unwrap();
        assert_eq!(found.to_string(), "76,330 parameters, 1 more than --max-params allows, 76,329");
        let limits = Limits { params: amount(parameters), flops: amount(flops - 2), memory: None };
        assert_eq!(excess(limits).map(|excess| excess.option), Some("--max-flops"));
        let bytes = requirements(&graph, &recipe, 2).unwrap().bytes as u64;
        let memory = |bytes| excess(Limits { memory: amount(bytes), ..Limits::default() });
        let expected = (bytes, bytes - 1, "--max-memory");
        let found = memory(bytes - 1).map(|excess| (excess.found, excess.limit, excess.option));
        assert_eq!((memory(bytes), found), (None, Some(expected)));
    }
}
