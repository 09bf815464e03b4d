//! Compiled kernels on disk, so that only the first run on a machine compiles.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

/// Where compiled kernels are kept between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KernelCache {
    /// `nasrl/kernels` in the user's cache folder: that of `XDG_CACHE_HOME`, `~/.cache` or
    /// `LOCALAPPDATA`.
    #[default]
    User,
    /// This folder, made when it is needed.
    Folder(PathBuf),
    /// Nowhere: every process compiles what it uses.
    Nowhere,
}

impl KernelCache {
    /// The bytes stored under a name, if there are any.
    pub(super) fn load(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder()?.join(name)).ok()
    }

    /// Stores bytes under a name: written beside and renamed, so that no other process reads half
    /// of them. A cache that cannot be written is one that is empty the next time.
    pub(super) fn store(&self, name: &str, bytes: &[u8]) {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let Some(folder) = self.folder() else { return };
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!("{name}.{}.{write}", process::id()));
        let stored = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&beside, bytes))
            .and_then(|()| fs::rename(&beside, folder.join(name)));
        if stored.is_err() {
            let _ = fs::remove_file(beside);
        }
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            KernelCache::User => {
                let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
                let home = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
                let cache = variable("XDG_CACHE_HOME").or_else(|| variable("LOCALAPPDATA"));
                Some(cache.map(PathBuf::from).or_else(home)?.join("nasrl/kernels"))
            }
            KernelCache::Folder(folder) => Some(folder.clone()),
            KernelCache::Nowhere => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let folder = env::temp_dir().join(format!("nasrl-kernel-cache-{}", process::id()));
        let cache = KernelCache::Folder(folder.clone());
        assert_eq!(cache.load("a.cubin"), None);
        cache.store("a.cubin", b"one");
        cache.store("a.cubin", b"two");
        assert_eq!(cache.load("a.cubin").unwrap(), b"two");
        let files = fs::read_dir(&folder).unwrap().count();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(files, 1);
        KernelCache::Nowhere.store("a.cubin", b"one");
        assert_eq!(KernelCache::Nowhere.load("a.cubin"), None);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_empty_cache() {
        let file = env::temp_dir().join(format!("nasrl-not-a-folder-{}", process::id()));
        fs::write(&file, b"").unwrap();
        let cache = KernelCache::Folder(file.join("below"));
        cache.store("a.cubin", b"one");
        assert_eq!(cache.load("a.cubin"), None);
        fs::remove_file(file).unwrap();
    }
}
