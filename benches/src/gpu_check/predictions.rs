use std::collections::HashMap;

use serde::Serialize;

/// What was said, before any GPU was at hand, that things take on an H100.
#[derive(Clone, Debug, Default)]
pub struct Predictions(HashMap<String, Prediction>);

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The longer of computing and moving, by data sheets.
    pub floor_us: f64,
    /// What a call takes.
    pub expected_us: f64,
}

/// What was measured beside what was predicted, as part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Compared {
    predicted_us: f64,
    /// The measured time as a multiple of the predicted one.
    times_predicted: f64,
}

impl Predictions {
    /// Those of `kernels/predictions.md`.
    pub fn committed() -> Self {
        Self::parse(include_str!("../../../kernels/predictions.md"))
    }

    /// The rows of tables that have the columns operation, pass, shape, type, floor and expected.
    fn parse(text: &str) -> Self {
        let rows = text.lines().filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
            let [operation, pass, shape, dtype, floor, expected, ..] = cells[..] else {
                return None;
            };
            let floor_us = floor.replace(',', "").parse().ok()?;
            let expected_us = expected.replace(',', "").parse().ok()?;
            let name = format!("{operation} {pass} {shape} {dtype}");
            Some((name, Prediction { floor_us, expected_us }))
        });
        Predictions(rows.collect())
    }

    /// The prediction for a name such as `conv2d fprop 128 of 3x3 64-64 on 16x16 bf16` or
    /// `step 3,64,3,64,3,32,3,64 128 bf16`.
    pub fn get(&self, name: &str) -> Option<Prediction> {
        self.0.get(name).copied()
    }

    /// What predictions are of.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A time beside what it was predicted to be, if it was.
    pub(super) fn compare(&self, name: &str, us: f64) -> Option<Compared> {
        let predicted_us = self.get(name)?.expected_us;
        Some(Compared { predicted_us, times_predicted: us / predicted_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_their_names() {
        let text = "\
Words | that | are | no | row | 1 | 2

| operation | pass | shape | type | floor | expected | reason |
|---|---|---|---|---|---|---|
| add | fprop | 2x3 | bf16 | 0.5 | 1,600 | a | reason |
";
        let predictions = Predictions::parse(text);
        assert_eq!(predictions.names().collect::<Vec<_>>(), ["add fprop 2x3 bf16"]);
        let found = predictions.get("add fprop 2x3 bf16").unwrap();
        assert_eq!(found, Prediction { floor_us: 0.5, expected_us: 1600.0 });
        let compared = predictions.compare("add fprop 2x3 bf16", 800.0).unwrap();
        assert_eq!(compared, Compared { predicted_us: 1600.0, times_predicted: 0.5 });
        assert_eq!(predictions.compare("add fprop 2x3 f32", 800.0), None);
    }
}
