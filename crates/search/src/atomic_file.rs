//! Files that are there as a whole or not at all, even when the computer loses its power.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the file at `path` by one with this content: written beside it, synchronised, renamed.
/// What a killed process leaves beside it is overwritten by the next write.
///
/// # Errors
/// Whatever the operating system says; the file that was there is still there then.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = partial(path);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if let Err(reason) = written {
        // A second failure would hide the first, and leave no more than a file that nobody reads.
        let _ = fs::remove_file(&beside);
        return Err(reason);
    }
    sync_folder(path)
}

/// Where something is prepared that is to appear at `path`.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// Makes the entry of `path` in its folder last.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Only Unix can synchronise a folder.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
