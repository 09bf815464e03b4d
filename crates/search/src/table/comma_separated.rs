//! Tables as CSV.

use std::collections::HashSet;
use std::path::Path;

use super::{Found, FoundRow, REWARD, TableProblem};

pub(super) fn read(bytes: &[u8], file: &str) -> Result<Found, TableProblem> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| csv_problem(&error))?.clone();
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(TableProblem::UnnamedColumn(index + 1));
        }
        if !seen.insert(name) {
            return Err(TableProblem::DuplicateColumn(name.clone()));
        }
    }
    let Some(reward) = names.iter().position(|name| name == REWARD) else {
        return Err(TableProblem::NoReward(names));
    };
    if reward == 0 {
        return Err(TableProblem::NoDecisions);
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_problem(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("line {line}");
        let fields: Vec<String> = record.iter().map(str::to_owned).collect();
        let Ok(number) = fields[reward].parse() else {
            return Err(TableProblem::Reward { place, found: fields[reward].clone() });
        };
        rows.push(FoundRow {
            place,
            values: fields[..reward].to_vec(),
            reward: number,
            others: fields[reward + 1..].to_vec(),
        });
    }
    let name = Path::new(file).file_stem().map_or("table".into(), |stem| stem.to_string_lossy());
    Ok(Found {
        name: name.into_owned(),
        decisions: names[..reward].to_vec(),
        columns: names[reward + 1..].to_vec(),
        rows,
        unit: 1.0,
    })
}

fn csv_problem(error: &csv::Error) -> TableProblem {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("found {len} fields, expected {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    TableProblem::Csv { place: format!("line {line}"), reason }
}
