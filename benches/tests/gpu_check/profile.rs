//! Operations for a profiler, which is a script here.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nasrl_benches::gpu_check::{Block, Budget, Check, Verdict, once, profile};
use nasrl_tests::emulated;
use serde_json::Value;
use tempfile::TempDir;

use crate::{run, small};

#[test]
fn a_profiler_is_asked_where_there_is_one() {
    let missing = run(Block::Profile, |check| profile(check).unwrap());
    let Some(((), lines)) = missing else { return };
    assert_eq!(lines.len(), 1);
    assert!(lines[0]["problem"].as_str().unwrap().starts_with("there is no ncu"), "{lines:?}");

    let folder = TempDir::new().unwrap();
    let of_script = |name: &str, script: &str, length| {
        let profiler = folder.path().join(name);
        fs::write(&profiler, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&profiler, Permissions::from_mode(0o700)).unwrap();
        let (_, lines) = run(Block::Profile, |check| {
            let mut sizes = check.sizes.clone();
            sizes.profile.profiler = profiler;
            let (sizes, budget) = (&sizes, Budget::new(length));
            profile(&mut Check { sizes, report: check.report, budget, ..*check }).unwrap();
        })
        .unwrap();
        lines
    };
    let written = r#"echo "$@" >"$0.arguments"
printf '"Host Name","Kernel Name","sm__cycles_active.avg"\n"","","cycle"\n"here","a","1,5"\n'"#;
    let lines = of_script("counts", written, Duration::MAX);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["counters"], serde_json::json!({ "sm__cycles_active.avg cycle": 15.0 }));
    assert_eq!((&lines[0]["kernel"], lines[0].get("Host Name")), (&Value::from("a"), None));
    let arguments = fs::read_to_string(folder.path().join("counts.arguments")).unwrap();
    assert!(arguments.contains("--clock-control none"), "{arguments}");
    let program = "--once conv2d fprop 3 of 3x3 16-24 on 16x16 bf16";
    assert!(arguments.trim_end().ends_with(program), "{arguments}");

    let lines = of_script("hangs", "exec sleep 600", Duration::from_millis(50));
    let problem = lines[0]["problem"].as_str().unwrap();
    assert!(problem.contains("longer"), "{problem}");
}

#[test]
fn what_has_the_words_is_run_for_a_profiler() {
    let Some(cuda) = emulated().pop() else { return };
    let sizes = small();
    let words = &sizes.profile.kernels[0].case;
    assert_eq!(once(&cuda, &sizes, words).unwrap(), Verdict::Good);
    assert_eq!(once(&cuda, &sizes, "conv2d sideways").unwrap(), Verdict::Bad);
}
