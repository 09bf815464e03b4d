//! The weights of the best children.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Trial, atomic_file};

/// A folder with the weights of the best children, `trial-<number>.safetensors` each.
///
/// Which ones they are depends on the results alone, not on the order in which they came: the
/// larger reward is better, of equal ones the earlier trial.
#[derive(Debug)]
pub struct Best {
    folder: PathBuf,
    /// The best trials, best first; at most [`Best::KEPT`] and the latest one.
    ranking: Vec<Trial>,
}

impl Best {
    /// How many are kept.
    pub const KEPT: usize = 10;

    /// The best of these trials; weights of others are deleted, and nothing else is.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(folder: &Path, trials: &[Trial]) -> io::Result<Best> {
        let ranking = Trial::ranking(trials).into_iter().take(Best::KEPT).cloned().collect();
        let best = Best { folder: folder.into(), ranking };
        best.delete_others()?;
        Ok(best)
    }

    /// The file that holds the weights of a trial if it is among the best.
    pub fn file(folder: &Path, trial: u64) -> PathBuf {
        folder.join(format!("trial-{trial:05}.safetensors"))
    }

    /// Writes the weights of a trial if it is among the best. Its result may be recorded after
    /// that, so that a recorded trial of the best has its weights, whenever the process is killed.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn offer(&mut self, trial: &Trial, weights: &[u8]) -> io::Result<()> {
        let place = self.ranking.partition_point(|other| other.better_first(trial).is_lt());
        if place < Best::KEPT {
            atomic_file::write(&Best::file(&self.folder, trial.proposed.trial), weights)?;
            self.ranking.insert(place, trial.clone());
        }
        Ok(())
    }

    /// Deletes the weights of those that are no longer among the best.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn prune(&mut self) -> io::Result<()> {
        for trial in self.ranking.drain(Best::KEPT.min(self.ranking.len())..) {
            let file = Best::file(&self.folder, trial.proposed.trial);
            match fs::remove_file(file) {
                Err(reason) if reason.kind() != io::ErrorKind::NotFound => return Err(reason),
                _ => {}
            }
        }
        Ok(())
    }

    fn delete_others(&self) -> io::Result<()> {
        let kept: BTreeSet<PathBuf> = self
            .ranking
            .iter()
            .map(|trial| Best::file(&self.folder, trial.proposed.trial))
            .collect();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if is_weights(&path) && !kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Whether [`Best`] writes files of this name.
fn is_weights(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
    let number = whole.unwrap_or(&name).strip_prefix("trial-");
    let number = number.and_then(|name| name.strip_suffix(".safetensors"));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}
