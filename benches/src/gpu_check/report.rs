use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nasrl_search::clock::utc;
use serde::Serialize;
use serde_json::Value;

use super::summary::summary;
use super::{Block, CheckError};

/// Where lines go: a file a block, and whoever reads along.
pub struct Report {
    folder: PathBuf,
    files: HashMap<Block, File>,
    echo: Box<dyn Write>,
    lines: Vec<Value>,
}

/// What every line begins with.
#[derive(Serialize)]
struct Line<'a, T> {
    block: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

impl Report {
    /// Lines to files of a folder, which is made when the first one comes, and to `echo`.
    pub fn new(folder: impl Into<PathBuf>, echo: impl Write + 'static) -> Self {
        let (files, lines) = (HashMap::new(), Vec::new());
        Report { folder: folder.into(), files, echo: Box::new(echo), lines }
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a line. The first line of a block replaces the file that there was.
    ///
    /// # Errors
    /// [`CheckError::Report`].
    pub fn line(&mut self, block: Block, record: &impl Serialize) -> Result<(), CheckError> {
        let path = self.folder.join(format!("{}.jsonl", block.name()));
        let text = serde_json::to_string(&Line { block: block.name(), record });
        let written = text.map_err(io::Error::from).and_then(|text| {
            writeln!(self.echo, "{text}")?;
            self.lines.push(serde_json::from_str(&text)?);
            let file = self.files.remove(&block).map_or_else(|| begin(&path), Ok)?;
            writeln!(self.files.entry(block).or_insert(file), "{text}")
        });
        written.map_err(|source| CheckError::Report { path, source })
    }

    /// Writes what the lines so far say as tables, to `summary.md` beside their files.
    ///
    /// # Errors
    /// [`CheckError::Report`].
    pub fn summarise(&self) -> Result<(), CheckError> {
        let path = self.folder.join("summary.md");
        fs::write(&path, summary(&self.lines)).map_err(|source| CheckError::Report { path, source })
    }
}

/// `benches/runs/DATE-DEVICE`, with the date in UTC and the device's name without spaces.
pub fn default_folder(device: &str) -> PathBuf {
    let time = utc(SystemTime::now());
    let (date, _) = time.split_once('T').unwrap_or((&time, ""));
    // `cuda:0 (NVIDIA H100)` has the name in parentheses.
    let name = device.split_once('(').map_or(device, |(_, name)| name.trim_end_matches(')'));
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).collect();
    Path::new("benches/runs").join(format!("{date}-{name}"))
}

fn begin(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}
