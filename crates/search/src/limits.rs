//! What an architecture may cost.

use std::fmt;

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
    /// Bytes of memory that its training takes, [`Requirements`](nasrl_child::Requirements); they
    /// depend on the threads.
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

    /// The first limit that a network is over whose training takes `bytes` of memory.
    pub fn excess(&self, graph: &Graph, bytes: impl Fn() -> u64) -> Option<Excess> {
        let over = |of, option, limit: Option<Amount>, count: &dyn Fn() -> u64| {
            let (limit, found) = (limit?.0, count());
            (found > limit).then_some(Excess { of, option, found, limit })
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
        let (parameters, flops) = (graph.parameters(), graph.flops());
        let amount = |number| Some(Amount(number));
        let excess = |limits: Limits| limits.excess(&graph, || 1000);
        assert_eq!(excess(Limits::default()), None);
        assert_eq!(excess(Limits { params: amount(parameters), ..Limits::default() }), None);
        let found = excess(Limits { params: amount(76_329), ..Limits::default() }).unwrap();
        assert_eq!(found.to_string(), "76,330 parameters, 1 more than --max-params allows, 76,329");
        let limits = Limits { params: amount(parameters), flops: amount(flops - 2), memory: None };
        assert_eq!(excess(limits).map(|excess| excess.option), Some("--max-flops"));
        let memory = |bytes| excess(Limits { memory: amount(bytes), ..Limits::default() });
        let expected = (1000, 999, "--max-memory");
        let found = memory(999).map(|excess| (excess.found, excess.limit, excess.option));
        assert_eq!((memory(1000), found), (None, Some(expected)));
    }
}
