//! Recordings, scratch and resident data, on an emulator that shows two GPUs.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nasrl_tensor::cuda::Buffer;
use nasrl_tensor::ops::{Activation, ActivationBackend, AddBackend, BiasBackend, Rows, Sum};
use nasrl_tensor::{Cuda, DType, Error, Memory, Record, Reside, Result, Tensor};
use nasrl_tests::pair::{MEMORY, emulator, gpu};

/// What the driver was called for is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn calls(function: &str) -> u64 {
    emulator().calls().get(function).copied().unwrap_or(0)
}

fn buffer(on: &Cuda, values: &[f32]) -> Buffer {
    let mut buffer = on.zeros(DType::F32, values.len()).unwrap();
    on.write(values, &mut buffer).unwrap();
    buffer
}

fn values(on: &Cuda, buffer: &Buffer) -> Vec<f32> {
    let mut values = vec![0.0; buffer.capacity()];
    on.read(buffer, &mut values).unwrap();
    values
}

/// `sum += max(x, 0)` by three operations, a copy and a fill among them.
fn work(on: &Cuda, x: &Buffer, y: &mut Buffer, sum: &mut Buffer) -> Result<()> {
    let len = x.capacity();
    on.clear(len, y)?;
    on.copy(len / 2, x, y)?;
    on.activation(Activation::Relu, len, x, y)?;
    on.add_assign(len, y, sum)
}

#[test]
fn replayed_work_is_that_which_was_recorded() {
    let _alone = alone();
    let on = gpu(0);
    let x = buffer(&on, &[1.0, -2.0, 3.0]);
    let (mut y, mut sum) = (buffer(&on, &[0.0; 3]), buffer(&on, &[10.0; 3]));
    work(&on, &x, &mut y, &mut sum).unwrap();
    let recording = on.record(|| (0..16).try_for_each(|_| work(&on, &x, &mut y, &mut sum)));
    let recording = recording.unwrap().expect("a GPU records");
    assert_eq!(values(&on, &sum), [11.0, 10.0, 13.0], "what is recorded is not done");
    // The recording reads x after it is gone to everyone else.
    drop((x, y));
    let others: Vec<_> = (0..8).map(|_| buffer(&on, &[-7.0; 3])).collect();
    let launched = calls("cuLaunchKernel");
    for replayed in 1..=3 {
        on.replay(&recording).unwrap();
        let times = (1 + 16 * replayed) as f32;
        assert_eq!(values(&on, &sum), [10.0 + times, 10.0, 10.0 + 3.0 * times]);
    }
    assert_eq!(calls("cuLaunchKernel"), launched);
    drop(others);
    let other = on.new_stream().unwrap();
    assert!(matches!(other.replay(&recording), Err(Error::OtherDevice { .. })));
}

#[test]
fn what_cannot_be_recorded_is_refused_and_leaves_the_stream_usable() {
    let _alone = alone();
    let on = gpu(0);
    let mut x = buffer(&on, &[1.0, -2.0, 3.0]);
    let refused = |what: &str, recorded: Result<Option<_>>| {
        let Err(error) = recorded else { panic!("{what} was recorded") };
        assert!(matches!(error, Error::NotRecordable { .. }), "{what}: {error}");
    };
    refused("allocation", on.record(|| on.zeros(DType::F32, 1).map(drop)));
    refused("residence", on.record(|| on.reside(&[1.0f32]).map(drop)));
    refused("reading", on.record(|| on.read(&x, &mut [0.0f32; 3])));
    refused("waiting", on.record(|| on.synchronize()));
    refused("writing", on.record(|| on.write(&[4.0f32; 3], &mut x)));
    refused("recording", on.record(|| on.record(|| Ok(())).map(drop)));
    let mut y = buffer(&on, &[0.0; 3]);
    let second = gpu(1);
    let (z, mut w) = (buffer(&second, &[1.0; 3]), buffer(&second, &[1.0; 3]));
    refused("loading", second.record(|| second.add_assign(3, &z, &mut w)));
    second.add_assign(3, &z, &mut w).unwrap();
    second.record(|| second.add_assign(3, &z, &mut w)).unwrap();

    let error = on.record(|| on.activation(Activation::Relu, 3, &z, &mut y));
    assert!(matches!(error, Err(Error::OtherDevice { .. })));
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| on.record(|| panic!("planned"))));
    assert!(panicked.is_err());
    on.activation(Activation::Relu, 3, &x, &mut y).unwrap();
    assert_eq!(values(&on, &y), [1.0, 0.0, 3.0]);
}

#[test]
fn other_threads_go_on_while_a_stream_is_recorded() {
    let _alone = alone();
    let on = gpu(0);
    let x = buffer(&on, &[1.0; 3]);
    let mut sum = buffer(&on, &[0.0; 3]);
    on.add_assign(3, &x, &mut sum).unwrap();
    let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let own = on.new_stream().unwrap();
            while !done.load(Ordering::Relaxed) {
                let resident = own.reside(&[5.0f32; 100]).unwrap().unwrap();
                assert_eq!(values(&own, &own.attach(&resident).unwrap()), [5.0; 100]);
                started.store(true, Ordering::Relaxed);
            }
        });
        while !started.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        for _ in 0..50 {
            let add = || (0..20).try_for_each(|_| on.add_assign(3, &x, &mut sum));
            let recording = on.record(add).unwrap().unwrap();
            on.replay(&recording).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        neighbour.join().unwrap();
    });
    assert_eq!(values(&on, &sum), [1001.0; 3]);
}

#[test]
fn operations_take_their_scratch_from_the_stream() {
    let _alone = alone();
    let on = gpu(0);
    let rows = |count| Rows { count, channels: 8 };
    let dy = buffer(&on, &[1.0; 8 * 1000]);
    let mut db = buffer(&on, &[0.0; 8]);
    on.bias_backward(rows(1000), &dy, Sum::Store, &mut db).unwrap();
    let before = (calls("cuMemAllocAsync"), calls("cuMemFreeAsync"));
    for count in [1000, 1, 300, 1000] {
        on.bias_backward(rows(count), &dy, Sum::Store, &mut db).unwrap();
        assert_eq!(values(&on, &db), [count as f32; 8]);
    }
    assert_eq!((calls("cuMemAllocAsync"), calls("cuMemFreeAsync")), before);
    let mut backward = || on.bias_backward(rows(1000), &dy, Sum::Add, &mut db);
    let recording = on.record(&mut backward).unwrap().unwrap();
    on.replay(&recording).unwrap();
    assert_eq!(values(&on, &db), [2000.0; 8]);
    // When memory is short, scratch that nobody needs is what is given up.
    drop(recording);
    let large = buffer(&on, &vec![1.0; MEMORY / 16]);
    let mut large_db = buffer(&on, &vec![0.0; MEMORY / 16 / 256]);
    let wide = Rows { count: 256, channels: MEMORY / 16 / 256 };
    on.bias_backward(wide, &large, Sum::Store, &mut large_db).unwrap();
    drop(large);
    on.synchronize().unwrap();
    let free = on.memory().unwrap().free;
    on.zeros(DType::U8, free + 1).expect("the scratch makes room");
}

#[test]
fn resident_data_is_read_by_all_streams_of_its_device() {
    let _alone = alone();
    let first = gpu(0);
    let streams = [first.clone(), first.new_stream().unwrap(), gpu(0)];
    let free = || first.memory().unwrap().free;
    let data: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
    let before = free();
    let resident = first.reside(&data).unwrap().unwrap();
    assert!(free() < before);
    let attached: Vec<_> =
        streams.iter().map(|stream| stream.attach(&resident.clone()).unwrap()).collect();
    drop(resident);
    for (stream, x) in streams.iter().zip(&attached) {
        let mut sum = buffer(stream, &[1.0; 10_000]);
        stream.add_assign(10_000, x, &mut sum).unwrap();
        let expected: Vec<f32> = data.iter().map(|x| x + 1.0).collect();
        assert_eq!(values(stream, &sum), expected);
    }
    let resident = first.reside(&data).unwrap().unwrap();
    let (mut written, source) =
        (streams[1].attach(&resident).unwrap(), buffer(&streams[1], &[0.0]));
    drop(resident);
    for outcome in [
        streams[1].write(&[1.0f32], &mut written),
        streams[1].clear(1, &mut written),
        streams[1].copy(1, &source, &mut written),
        streams[1].add_assign(1, &source, &mut written),
    ] {
        assert!(matches!(outcome, Err(Error::ReadOnly { .. })), "{outcome:?}");
    }
    drop((attached, written, source));
    streams.iter().for_each(|stream| stream.synchronize().unwrap());
    assert_eq!(free(), before);
    let elsewhere = gpu(1).reside(&data).unwrap().unwrap();
    assert!(matches!(first.attach(&elsewhere), Err(Error::OtherDevice { .. })));
    let error = first.reside(&vec![0u8; MEMORY + 1]).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    let empty = first.reside::<u32>(&[]).unwrap().unwrap();
    assert_eq!(first.attach(&empty).unwrap().capacity(), 0);
}

/// The tensors of a user may be part of a recording too.
#[test]
fn tensors_of_a_recording_are_kept() {
    let _alone = alone();
    let on = gpu(0);
    let mut sum = Tensor::from_slice(&on, [2], &[1.0f32, 2.0]).unwrap();
    let recording = {
        let x = Tensor::from_slice(&on, [2], &[1.0f32, 1.0]).unwrap();
        let sum = sum.buffer_mut().unwrap();
        on.add_assign(2, x.buffer(), sum).unwrap();
        on.record(|| on.add_assign(2, x.buffer(), sum)).unwrap().unwrap()
    };
    (0..4).for_each(|_| on.replay(&recording).unwrap());
    assert_eq!(sum.to_vec::<f32>().unwrap(), [6.0, 7.0]);
}
