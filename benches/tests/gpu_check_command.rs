//! The program `gpu-check` as its user calls it, on a machine without a GPU.

use std::process::{Command, Output};

use tempfile::TempDir;

fn gpu_check(arguments: &[&str]) -> (Output, TempDir) {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-check"));
    let output = command.args(arguments).arg("--out").arg(folder.path().join("run")).output();
    (output.unwrap(), folder)
}

#[test]
fn wrong_arguments_end_with_2() {
    for arguments in [&["everything"][..], &["all", "--seconds", "soon"]] {
        let (output, folder) = gpu_check(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!folder.path().join("run").exists());
    }
}

#[test]
fn no_gpu_ends_with_2_after_the_doctor() {
    // GPU 999 is missing on every machine.
    let (output, folder) = gpu_check(&["--device", "999"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("gpu-check: "), "{said}");
    let lines = std::fs::read_to_string(folder.path().join("run/doctor.jsonl")).unwrap();
    assert_eq!(lines, String::from_utf8(output.stdout).unwrap());
    assert_eq!(std::fs::read_dir(folder.path().join("run")).unwrap().count(), 1);
}
