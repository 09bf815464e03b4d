//! Line coverage of kernels' sources, by gcov's instrumentation: the counters of a module are
//! written as gcov's data files when it is unloaded, or when somebody asks, and gcov assigns them
//! to lines.

use crate::Error;
use crate::cache::Cache;
use crate::records::FileCoverage;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The counters of modules that were unloaded.
#[derive(Debug, Default)]
pub(crate) struct Unloaded {
    /// How often each data file occurred, by the notes that the compiler wrote beside the object.
    data: Mutex<HashMap<(PathBuf, Vec<u8>), u64>>,
}

impl Unloaded {
    /// Keeps the counters of a module.
    pub(crate) fn add(&self, notes: PathBuf, data: Vec<u8>) {
        let mut all = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((notes, data)).or_default() += 1;
    }

    /// The coverage of these and of loaded modules.
    pub(crate) fn with(
        &self,
        cache: &Cache,
        loaded: Vec<(PathBuf, Vec<u8>)>,
    ) -> Result<Vec<FileCoverage>, Error> {
        let mut all = self.data.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for entry in loaded {
            *all.entry(entry).or_default() += 1;
        }
        let mut files: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
        for ((notes, data), times) in &all {
            for (file, line, count) in gcov(cache, notes, data)? {
                *files.entry(file).or_default().entry(line).or_default() += count * times;
            }
        }
        Ok(files.into_iter().map(|(file, lines)| FileCoverage { file, lines }).collect())
    }
}

/// File, line and count of every line of a module, as gcov finds them.
fn gcov(cache: &Cache, notes: &Path, data: &[u8]) -> Result<Vec<(String, u32, u64)>, Error> {
    let scratch = cache.scratch()?;
    let directory = scratch.path();
    let prepared = std::fs::copy(notes, directory.join("module.gcno"))
        .and_then(|_| std::fs::write(directory.join("module.gcda"), data));
    prepared.map_err(|source| Error::Cache { path: notes.into(), source })?;
    let mut command = Command::new("gcov");
    command.args(["--json-format", "--stdout", "module.gcda"]).current_dir(directory);
    let output = command.output().map_err(|source| Error::NoCompiler { source })?;
    let fail = || Error::Compiler {
        path: notes.into(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|_| fail())?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for file in list(&report, "files") {
        let name = file["file"].as_str().unwrap_or_default();
        let name = name.trim_start_matches("./");
        // The shim is named by an absolute path.
        if name.starts_with('/') || name.starts_with('<') || name == "module.ii" {
            continue;
        }
        for line in list(&file, "lines") {
            let number = line["line_number"].as_u64().and_then(|line| u32::try_from(line).ok());
            if let (Some(number), Some(count)) = (number, line["count"].as_u64()) {
                lines.push((name.to_string(), number, count));
            }
        }
    }
    Ok(lines)
}
