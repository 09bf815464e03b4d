//! The JSON of NAS-Bench-Macro.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Found, FoundRow, TableProblem};

#[derive(Deserialize)]
struct Entry {
    mean_acc: f64,
    std: f64,
    params: f64,
    flops: f64,
}

const POSITIONS: usize = 8;
const PER_CENT: f64 = 100.0;

pub(super) fn read(bytes: &[u8]) -> Result<Found, TableProblem> {
    let entries: BTreeMap<String, Entry> =
        serde_json::from_slice(bytes).map_err(TableProblem::Json)?;
    let row = |(architecture, entry): (String, Entry)| {
        let digits: Vec<String> = architecture.chars().map(String::from).collect();
        let known = |digit: &String| matches!(digit.as_str(), "0" | "1" | "2");
        if digits.len() != POSITIONS || !digits.iter().all(known) {
            return Err(TableProblem::Architecture(architecture));
        }
        let Entry { mean_acc, std, params, flops } = entry;
        Ok(FoundRow {
            place: format!("architecture {architecture}"),
            values: digits,
            reward: mean_acc,
            others: [mean_acc, std, params, flops].map(|number| number.to_string()).to_vec(),
        })
    };
    Ok(Found {
        name: "nas-bench-macro".to_owned(),
        decisions: (1..=POSITIONS).map(|position| format!("position{position}")).collect(),
        columns: ["mean_acc", "std", "params", "flops"].map(str::to_owned).to_vec(),
        rows: entries.into_iter().map(row).collect::<Result<_, _>>()?,
        unit: PER_CENT,
    })
}
