//! Capture and replay, cooperative launches and order: with threads, streams and independent nodes
//! of graphs in an order drawn from a seed.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{BASIC, Device, random, shape};
use cudarc::driver::sys::{
    CUgraphInstantiate_flags_enum, CUresult, CUstreamCaptureMode_enum as Mode,
};
use cudarc::driver::{CudaFunction, CudaSlice, CudaStream, PushKernelArg};
use nasrl_cuda_emulator::{Options, Order};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const COOPERATIVE: (&str, &str) = ("cooperative.cu", include_str!("kernels/cooperative.cu"));

fn options() -> Options {
    Options {
        devices: 2,
        thread_order: Order::Shuffled(7),
        stream_order: Order::Shuffled(11),
        print: false,
        ..Options::default()
    }
}

/// The device while no other test uses it: making a stream waits for the whole device, which is
/// forbidden while any of its streams is captured.
struct Alone {
    device: Device,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Alone {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

fn alone() -> Alone {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Alone { device: Device::new(&options()), _turn: turn }
}

/// A device whose buffers have no events, which a capture would wait for.
fn device() -> Alone {
    let device = alone();
    // SAFETY: every test orders its streams itself.
    unsafe { device.context.disable_event_tracking() };
    device
}

fn scale(stream: &Arc<CudaStream>, function: &CudaFunction, y: &mut CudaSlice<f32>) {
    let n = y.len() as i32;
    let launch = shape(y.len().div_ceil(256) as u32, 256, 0);
    // SAFETY: the arguments are those of the kernel.
    unsafe { stream.launch_builder(function).arg(y).arg(&n).launch(launch) }.unwrap();
}

#[test]
fn a_captured_graph_with_a_fork_is_replayed() {
    let device = device();
    let module = device.module(BASIC, &[]);
    let (saxpy, function) =
        (module.load_function("saxpy").unwrap(), module.load_function("scale_shift").unwrap());
    let mut variable = module.get_global("scale", &device.stream).unwrap();
    // SAFETY: the variable is two floats.
    let mut variable = unsafe { variable.transmute_mut::<f32>(2) }.unwrap();
    device.stream.memcpy_htod(&[0.5f32, 0.25], &mut variable).unwrap();
    let (n, a) = (1000usize, 0.5f32);
    let (x, y) = (random(n, 1), random(n, 2));
    let mut on_device =
        (device.stream.clone_htod(&x).unwrap(), device.stream.clone_htod(&y).unwrap());
    let side = device.context.new_stream().unwrap();
    device.stream.synchronize().unwrap();

    // x and y are scaled side by side, then y += a x.
    device.stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    side.wait(&device.stream.record_event(None).unwrap()).unwrap();
    scale(&side, &function, &mut on_device.0);
    scale(&device.stream, &function, &mut on_device.1);
    device.stream.wait(&side.record_event(None).unwrap()).unwrap();
    let length = n as i32;
    let mut launch = device.stream.launch_builder(&saxpy);
    launch.arg(&mut on_device.1).arg(&on_device.0).arg(&a).arg(&length);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape(4, 256, 0)) }.unwrap();
    let flags = CUgraphInstantiate_flags_enum::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let graph = device.stream.end_capture(flags).unwrap().expect("a graph");
    assert_eq!(device.stream.clone_dtoh(&on_device.1).unwrap(), y, "a capture runs nothing");

    for _ in 0..10 {
        graph.launch().unwrap();
    }
    let got = device.stream.clone_dtoh(&on_device.1).unwrap();
    for i in 0..n {
        let (mut x, mut y) = (f64::from(x[i]), f64::from(y[i]));
        for _ in 0..10 {
            (x, y) = (0.5 * x + 0.25, 0.5 * y + 0.25);
            y += f64::from(a) * x;
        }
        assert!((f64::from(got[i]) - y).abs() < 1e-6, "element {i}: {}, not {y}", got[i]);
    }
}

#[test]
fn captures_have_their_rules() {
    let device = device();
    let begin = |stream: &Arc<CudaStream>| {
        stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).map_err(|e| e.0)
    };
    let flags = CUgraphInstantiate_flags_enum::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let end = |stream: &Arc<CudaStream>| stream.end_capture(flags).map(drop).map_err(|e| e.0);
    let stream = || device.context.new_stream().unwrap();

    let default = device.context.default_stream();
    assert_eq!(begin(&default), Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED));

    let waits = stream();
    begin(&waits).unwrap();
    let refused = waits.synchronize().unwrap_err().0;
    assert_eq!(refused, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(end(&waits), Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));

    let outside = device.stream.record_event(None).unwrap();
    let (isolated, other) = (stream(), stream());
    begin(&isolated).unwrap();
    let refused = isolated.wait(&outside).unwrap_err().0;
    assert_eq!(refused, CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    assert_eq!(end(&isolated), Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));

    let function = device.module(BASIC, &[]).load_function("scale_shift").unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(8).unwrap();
    device.stream.synchronize().unwrap();
    begin(&isolated).unwrap();
    let fork = isolated.record_event(None).unwrap();
    other.wait(&fork).unwrap();
    scale(&other, &function, &mut y);
    assert_eq!(end(&other), Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
    assert_eq!(end(&isolated), Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED));
    assert_eq!(fork.synchronize().unwrap_err().0, CUresult::CUDA_ERROR_CAPTURED_EVENT);
    other.synchronize().unwrap();
}

#[test]
fn events_order_streams_and_measure_time() {
    let device = device();
    let function = device.module(BASIC, &[]).load_function("saxpy").unwrap();
    let other = device.context.new_stream().unwrap();
    let timed = Some(cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT);
    let start = device.stream.record_event(timed).unwrap();
    let (n, a) = (5000usize, 1.0f32);
    let one = device.stream.clone_htod(&vec![1.0f32; n]).unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(n).unwrap();
    let length = n as i32;
    for turn in 0..10 {
        let streams = [&device.stream, &other];
        let (this, next) = (streams[turn % 2], streams[(turn + 1) % 2]);
        let mut launch = this.launch_builder(&function);
        launch.arg(&mut y).arg(&one).arg(&a).arg(&length);
        // SAFETY: the arguments are those of the kernel.
        unsafe { launch.launch(shape(20, 256, 0)) }.unwrap();
        next.wait(&this.record_event(None).unwrap()).unwrap();
    }
    let end = device.stream.record_event(timed).unwrap();
    assert_eq!(device.stream.clone_dtoh(&y).unwrap(), vec![10.0; n]);
    assert!(start.elapsed_ms(&end).unwrap() > 0.0);
}

#[test]
fn blocks_of_a_cooperative_launch_wait_for_each_other() {
    let device = device();
    let function = device.module(COOPERATIVE, &[]).load_function("ring_sum").unwrap();
    let start: Vec<i32> = (1..=7).collect();
    let mut values = device.stream.clone_htod(&start).unwrap();
    let rounds = 5i32;
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut values).arg(&rounds);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch_cooperative(shape(7, 64, 0)) }.unwrap();
    let mut want = start.clone();
    for _ in 0..rounds {
        want = (0..7).map(|i| want[i] + want[(i + 1) % 7]).collect();
    }
    assert_eq!(device.stream.clone_dtoh(&values).unwrap(), want);
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut values).arg(&rounds);
    // SAFETY: the arguments are those of the kernel.
    let refused = unsafe { launch.launch_cooperative(shape(500, 64, 0)) }.unwrap_err();
    assert_eq!(refused.0, CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
}

#[test]
fn a_block_that_leaves_before_the_barrier_of_the_grid_is_an_error() {
    // On the second device, which fails for good.
    let device = alone();
    let context = cudarc::driver::CudaContext::new(1).unwrap();
    let stream = context.new_stream().unwrap();
    let image = common::compile(COOPERATIVE, &[]).unwrap();
    let function = context.load_module(image).unwrap().load_function("leaves_early").unwrap();
    let mut values = stream.alloc_zeros::<i32>(3).unwrap();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&mut values);
    // SAFETY: the argument is that of the kernel.
    let launched = unsafe { launch.launch_cooperative(shape(3, 32, 0)) };
    let error = common::outcome(launched, &stream);
    assert_eq!(error, Err(CUresult::CUDA_ERROR_LAUNCH_FAILED));
    let reports = device.emulator.reports();
    let found = |text: &str| reports.iter().any(|report| report.text.contains(text));
    assert!(found("a block that has exited") && found("cooperative.cu:"), "{reports:?}");
}
