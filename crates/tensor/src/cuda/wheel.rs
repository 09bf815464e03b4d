//! NVRTC as pip installs it, beside PyTorch for example: `nvidia/*/lib` in a folder of packages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The library's names, the newest first.
const LIBRARIES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];

/// The folders of packages of the Pythons that an environment leads to: those of `VIRTUAL_ENV` and
/// `CONDA_PREFIX`, of the `python3` on `PATH`, of the user and of `/usr/local`, in this order.
/// Nothing is executed.
pub(super) fn package_folders(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(set).map(PathBuf::from).collect();
    let path = set("PATH").unwrap_or_default();
    let python = env::split_paths(&path).map(|it| it.join("python3")).find(|file| file.is_file());
    if let Some(python) = python {
        // A virtual environment's is a link to the system's, whose packages it may see.
        let real = fs::canonicalize(&python).ok();
        let prefix = |file: PathBuf| Some(file.parent()?.parent()?.to_owned());
        prefixes.extend([Some(python), real].into_iter().flatten().filter_map(prefix));
    }
    prefixes.extend(set("HOME").map(|home| Path::new(&home).join(".local")));
    prefixes.push("/usr/local".into());
    let mut folders = Vec::new();
    for prefix in prefixes {
        let versions = entries(&prefix.join("lib")).into_iter().filter(|folder| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3"))
        });
        let packages =
            versions.flat_map(|it| ["site", "dist"].map(|of| it.join(format!("{of}-packages"))));
        for folder in packages.filter(|folder| folder.is_dir()) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    folders
}

/// The libraries of NVRTC in a folder of packages, the newest first.
pub(super) fn libraries(packages: &Path) -> Vec<PathBuf> {
    let components = entries(&packages.join("nvidia"));
    let named = |name| components.iter().map(move |component| component.join("lib").join(name));
    LIBRARIES.into_iter().flat_map(named).filter(|library| library.is_file()).collect()
}

/// What is in a folder, sorted; nothing if it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes when the test ends.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("nasrl-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Tree(fs::canonicalize(folder).unwrap())
        }

        fn file(&self, path: &str) -> PathBuf {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, b"").unwrap();
            file
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_newest_library_of_a_folder_is_the_first() {
        let tree = Tree::new("nvrtc-wheels");
        let old = tree.file("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        let new = tree.file("nvidia/cu13/lib/libnvrtc.so.13");
        tree.file("nvidia/cu13/lib/libnvrtc-builtins.so.13.0");
        tree.file("nvidia/cublas/lib/libcublas.so.12");
        assert_eq!(libraries(&tree.0), [new, old]);
        assert_eq!(libraries(&tree.0.join("nowhere")), Vec::<PathBuf>::new());
    }

    #[cfg(unix)]
    #[test]
    fn active_environments_come_before_the_python_on_the_path() {
        let tree = Tree::new("pythons");
        let packages =
            |path: &str| tree.file(&format!("{path}/six.py")).parent().unwrap().to_owned();
        let active = packages("venv/lib/python3.12/site-packages");
        let conda = packages("conda/lib/python3.11/site-packages");
        let linking = packages("linking/lib/python3.13/site-packages");
        let system = packages("system/lib/python3.13/dist-packages");
        let user = packages("home/.local/lib/python3.13/site-packages");
        packages("system/lib/python2.7/site-packages");
        packages("later/lib/python3.13/site-packages");
        tree.file("later/bin/python3");
        tree.file("system/bin/python3");
        fs::create_dir_all(tree.0.join("linking/bin")).unwrap();
        std::os::unix::fs::symlink(
            tree.0.join("system/bin/python3"),
            tree.0.join("linking/bin/python3"),
        )
        .unwrap();
        let path = ["none", "linking/bin", "later/bin"].map(|folder| tree.0.join(folder));
        let mut found = package_folders(|name| match name {
            "VIRTUAL_ENV" => Some(tree.0.join("venv").into()),
            "CONDA_PREFIX" => Some(tree.0.join("conda").into()),
            "PATH" => Some(env::join_paths(&path).unwrap()),
            "HOME" => Some(tree.0.join("home").into()),
            other => panic!("{other}"),
        });
        // That of this machine.
        found.retain(|folder| folder.starts_with(&tree.0));
        assert_eq!(found, [active, conda, linking, system, user]);
        let none = package_folders(|_| None);
        assert!(none.iter().all(|folder| folder.starts_with("/usr/local")), "{none:?}");
    }
}
