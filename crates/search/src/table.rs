//! Tables of known results, which serve as a search space that costs nothing to evaluate.

mod comma_separated;
mod error;
mod nas_bench_macro;

pub use error::{TableError, TableProblem};

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use nasrl_space::{Decision, Space, Tokens, Value};

/// Known results of token strings, and the space that they span.
///
/// Two formats are read, told apart by the first character:
///
/// - CSV with a header. The columns left of the column `reward` are the decisions, each headed by
///   its name; those right of it are further results. The values of a decision are those that occur
///   in its column. Token strings may be missing, but none may be there twice.
/// - The JSON of NAS-Bench-Macro (arXiv 2103.11922): the decisions are `position1` to `position8`,
///   the further columns `mean_acc`, `std`, `params` and `flops`. Its reward is `mean_acc`, which
///   is in per cent, as a fraction.
#[derive(Clone, Debug)]
pub struct Table {
    file: String,
    space: Space,
    columns: Vec<String>,
    /// What a reward of 1 is called in the file.
    unit: f64,
    rows: HashMap<Tokens, Row>,
    digest: String,
}

/// The results of one token string, as the file has them.
#[derive(Clone, Debug)]
struct Row {
    reward: f64,
    /// In the order of the columns.
    others: Vec<String>,
}

/// A table as a format's reader found it.
struct Found {
    name: String,
    decisions: Vec<String>,
    columns: Vec<String>,
    rows: Vec<FoundRow>,
    unit: f64,
}

struct FoundRow {
    /// Where it stands, such as `line 7`.
    place: String,
    values: Vec<String>,
    reward: f64,
    others: Vec<String>,
}

/// The name of the column of rewards.
pub const REWARD: &str = "reward";

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// [`TableError`] with the place and what is wrong there.
    pub fn open(path: &Path) -> Result<Table, TableError> {
        let file = path.display().to_string();
        match fs::read(path) {
            Ok(bytes) => Table::from_bytes(&bytes, &file),
            Err(reason) => Err(TableError { file, problem: TableProblem::Read(reason) }),
        }
    }

    /// The table that a file of this content holds; errors call it `file`.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Table, TableError> {
        let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let found =
            if is_json { nas_bench_macro::read(bytes) } else { comma_separated::read(bytes, file) };
        let digest = blake3::hash(bytes).to_hex().to_string();
        let table = found.and_then(|found| Table::build(found, file, digest));
        table.map_err(|problem| TableError { file: file.to_owned(), problem })
    }

    fn build(found: Found, file: &str, digest: String) -> Result<Table, TableProblem> {
        if found.rows.is_empty() {
            return Err(TableProblem::NoRows);
        }
        let decision = |(position, name): (usize, &String)| {
            let values: BTreeSet<Value> =
                found.rows.iter().map(|row| Value::from(row.values[position].as_str())).collect();
            Decision::new(name.clone(), name.clone(), values.into_iter().collect())
        };
        let decisions = found.decisions.iter().enumerate().map(decision);
        let decisions = decisions.collect::<Result<Vec<_>, _>>()?;
        let space = Space::from_decisions(found.name, decisions)?;
        let mut rows: HashMap<Tokens, Row> = HashMap::with_capacity(found.rows.len());
        let mut places: HashMap<Tokens, String> = HashMap::new();
        for FoundRow { place, values, reward, others } in found.rows {
            if !reward.is_finite() {
                return Err(TableProblem::Reward { place, found: reward.to_string() });
            }
            let indices = space.decisions().iter().zip(&values).map(index);
            let tokens = space.tokens(indices.collect())?;
            if let Some(first) = places.insert(tokens.clone(), place.clone()) {
                return Err(TableProblem::Twice { place, first, tokens: space.format(&tokens) });
            }
            rows.insert(tokens, Row { reward, others });
        }
        let (columns, unit) = (found.columns, found.unit);
        Ok(Table { file: file.to_owned(), space, columns, unit, rows, digest })
    }

    /// The name of the file, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A hash of the file.
    pub fn digest(&self) -> String {
        self.digest.clone()
    }

    /// The space that the decisions span.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// How many token strings have a result.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none; a table that was read has at least one.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The names of the further columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The reward of tokens of the table's space, per cent as a fraction; `None` if they are not in
    /// the table.
    pub fn reward(&self, tokens: &Tokens) -> Option<f64> {
        Some(self.rows.get(tokens)?.reward / self.unit)
    }

    /// The number in a column, `reward` or a further one, as the file has it.
    ///
    /// # Errors
    /// [`TableProblem::Column`] if there is no such column, [`TableProblem::Number`] if there is
    /// no number in it for these tokens.
    pub fn value(&self, tokens: &Tokens, column: &str) -> Result<f64, TableError> {
        let problem = |problem| TableError { file: self.file.clone(), problem };
        let index = self.column(column)?;
        let row = self.rows.get(tokens);
        let text = match (index, row) {
            (None, Some(row)) => return Ok(row.reward),
            (Some(index), Some(row)) => row.others[index].as_str(),
            (_, None) => "",
        };
        text.parse().map_err(|_| {
            problem(TableProblem::Number {
                column: column.to_owned(),
                tokens: self.space.format(tokens),
                found: text.to_owned(),
            })
        })
    }

    /// The index of a further column, `None` for `reward`.
    ///
    /// # Errors
    /// [`TableProblem::Column`] if there is no such column.
    pub fn column(&self, name: &str) -> Result<Option<usize>, TableError> {
        if name == REWARD {
            return Ok(None);
        }
        match self.columns.iter().position(|column| column == name) {
            Some(index) => Ok(Some(index)),
            None => {
                let mut known = vec![REWARD.to_owned()];
                known.extend(self.columns.iter().cloned());
                let problem = TableProblem::Column { found: name.to_owned(), known };
                Err(TableError { file: self.file.clone(), problem })
            }
        }
    }
}

/// The index of a value of a decision, whose values are in order.
fn index((decision, text): (&Decision, &String)) -> u16 {
    let found = decision.values().binary_search(&Value::from(text.as_str()));
    found.ok().and_then(|index| u16::try_from(index).ok()).expect("a value of its column")
}
