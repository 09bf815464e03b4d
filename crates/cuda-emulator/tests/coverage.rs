//! Line coverage of kernels.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{Device, shape};
use cudarc::driver::PushKernelArg;
use nasrl_cuda_emulator::Options;

const COVERED: (&str, &str) = ("covered.cu", include_str!("kernels/covered.cu"));

#[test]
fn executed_lines_are_known() {
    let device = Device::new(&Options { coverage: true, ..Options::default() });
    let run = || {
        let module = device.module(COVERED, &[]);
        let function = module.load_function("covered").unwrap();
        let mut out = device.stream.alloc_zeros::<i32>(40).unwrap();
        let n = 7i32;
        let mut launch = device.stream.launch_builder(&function);
        launch.arg(&mut out).arg(&n);
        // SAFETY: the arguments are those of the kernel.
        unsafe { launch.launch(shape(1, 40, 0)) }.unwrap();
        assert_eq!(device.stream.clone_dtoh(&out).unwrap()[0], -1 + 6);
        module
    };
    // One module is unloaded, the other is not, when the lines are asked for.
    drop(run());
    let loaded = run();
    let coverage = device.emulator.coverage().unwrap();
    drop(loaded);
    let lines = &coverage.iter().find(|file| file.file == COVERED.0).expect("the program").lines;
    for (number, line) in (1..).zip(COVERED.1.lines()) {
        let executed = lines.get(&number).copied();
        if line.ends_with("// RUN") {
            assert!(executed.is_some_and(|count| count > 0), "{number}: {line}: {executed:?}");
        } else if line.ends_with("// NOT") {
            assert_eq!(executed, Some(0), "{number}: {line}");
        }
    }
    let first = lines[&9];
    assert_eq!(first, 2 * 40, "threads of both runs");
    let header = coverage.iter().find(|file| file.file == "prelude.cuh").expect("the header");
    assert_eq!(header.lines.values().sum::<u64>(), 0);
    assert_eq!(coverage.len(), 2, "not the shim: {coverage:?}");
}
