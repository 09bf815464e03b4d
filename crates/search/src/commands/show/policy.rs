//! The policy of a run.

use nasrl_controller::Policy;
use nasrl_search::marginals::marginals;
use nasrl_search::text::{Column, table};
use nasrl_space::Decision;
use nasrl_tensor::Cpu;

use crate::exit::{CommandError, failed};
use crate::output::{put, say};

/// Prints how likely a policy is to choose each value of each decision.
pub(super) fn show_policy(policy: &mut Policy<Cpu>) -> Result<(), CommandError> {
    let probabilities = marginals(policy).map_err(failed)?;
    let decisions = policy.space().decisions().iter().zip(probabilities);
    let rows = decisions.map(|(decision, p)| vec![decision.name().to_owned(), words(decision, &p)]);
    let columns = [Column::words("decision"), Column::words("probability of each value")];
    say!("The policy as it was saved last:");
    put!("{}", table(&columns, rows));
    Ok(())
}

/// How many values of a decision are shown.
const SHOWN: usize = 6;

/// The likeliest values, most likely first.
fn words(decision: &Decision, probabilities: &[f64]) -> String {
    let mut ranked: Vec<_> = decision.values().iter().zip(probabilities).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(a.1));
    let mut words: Vec<String> =
        ranked.iter().take(SHOWN).map(|(value, p)| format!("{value} {p:.2}")).collect();
    if ranked.len() > SHOWN {
        let rest: f64 = ranked[SHOWN..].iter().map(|(_, p)| *p).sum();
        words.push(format!("{} others {rest:.2}", ranked.len() - SHOWN));
    }
    words.join(", ")
}
