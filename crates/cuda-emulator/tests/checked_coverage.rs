//! Checked mode while lines are counted: kernels are then compiled without optimization, and the same
//! accesses must be seen.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{Device, WRONG, line_of, outcome, shape};
use cudarc::driver::PushKernelArg;
use cudarc::driver::sys::CUresult;
use nasrl_cuda_emulator::Options;

const THREADS: u32 = 256;

#[test]
fn structs_in_shared_memory_are_seen() {
    let device =
        Device::new(&Options { checked: true, coverage: true, print: false, ..Options::default() });
    let module = device.module(WRONG, &[]);
    let mut y = device.stream.alloc_zeros::<f32>(THREADS as usize).unwrap();
    let mut run = |kernel: &str| {
        let function = module.load_function(kernel).unwrap();
        let mut launch = device.stream.launch_builder(&function);
        launch.arg(&mut y);
        // SAFETY: the argument is that of the kernel, which touches an element a thread.
        let launched = unsafe { launch.launch(shape(1, THREADS, 1024)) };
        outcome(launched, &device.stream).map(|()| device.stream.clone_dtoh(&y).unwrap())
    };
    let want = (0..THREADS).map(|i| (2 * (i ^ 64) + (i ^ 33)) as f32);
    assert_eq!(run("stores_structs"), Ok(want.collect()));
    assert_eq!(run("reads_unwritten"), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED));

    let coverage = device.emulator.coverage().unwrap();
    let lines = &coverage.iter().find(|file| file.file == WRONG.0).expect("the program").lines;
    let line = line_of(WRONG, "stores_structs");
    let number = line.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap();
    assert_eq!(lines.get(&number), Some(&u64::from(THREADS)));
}
