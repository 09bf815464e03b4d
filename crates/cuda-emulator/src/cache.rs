//! The directory of compiled objects. Every name in it is the hash of all that the file depends
//! on, so that an entry is never stale and two processes may write the same one.

use crate::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory on disk.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$NASRL_EMULATOR_CACHE`, or a folder in the user's cache directory.
    pub(crate) fn open() -> Result<Self, Error> {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let root =
            std::env::var_os("NASRL_EMULATOR_CACHE").map(PathBuf::from).unwrap_or_else(|| {
                let user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
                user.unwrap_or_else(std::env::temp_dir).join("nasrl-cuda-emulator")
            });
        let fail = |source| Error::Cache { path: root.clone(), source };
        std::fs::create_dir_all(&root).map_err(fail)?;
        let root = root.canonicalize().map_err(fail)?;
        remove_abandoned(&root);
        Ok(Self { root })
    }

    /// Where the entry of that name is, or will be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes an entry beside its place and renames it; an existing one is left alone.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> Result<PathBuf, Error> {
        let path = self.path(name);
        if path.exists() {
            return Ok(path);
        }
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            let beside = self.scratch_path(name);
            std::fs::write(&beside, contents)?;
            std::fs::rename(&beside, &path)
        };
        write().map_err(|source| Error::Cache { path: path.clone(), source })?;
        Ok(path)
    }

    /// An empty directory of the caller's own.
    pub(crate) fn scratch(&self) -> Result<Scratch, Error> {
        let path = self.scratch_path("scratch");
        std::fs::create_dir_all(&path)
            .map_err(|source| Error::Cache { path: path.clone(), source })?;
        Ok(Scratch(path))
    }

    fn scratch_path(&self, name: &str) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        self.root.join(format!("{name}.{}-{n}", std::process::id()))
    }
}

/// A directory that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays; it has no effect on anything.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes scratch directories of processes that were killed.
fn remove_abandoned(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("scratch."));
        let process = process.and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // As in `drop`.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The hash of a list of texts; no two lists collide by concatenation.
pub(crate) fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_string()
}

/// Runs `g++` in a directory. A sanitizer that is preloaded into this process is not meant for the
/// compiler.
pub(crate) fn gxx<S: AsRef<std::ffi::OsStr>>(
    directory: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> std::io::Result<Output> {
    Command::new("g++")
        .args(arguments)
        .current_dir(directory)
        .env_remove("LD_PRELOAD")
        .env("LC_ALL", "C")
        .output()
}
