//! Stock cudarc on the emulator: kernels, memory, streams, events, modules, graphs.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{BASIC, Device, GEMM, random, shape};
use cudarc::driver::{LaunchConfig, PushKernelArg, sys};
use half::bf16;
use nasrl_cuda_emulator::{Error, Options, install};

/// Of single f32 operations with results near one.
const ROUNDING: f64 = 3e-7;
/// Of sums of 256 products of bf16 numbers below one, in f32.
const SUMMED: f64 = 2e-5;

#[test]
fn saxpy() {
    let device = Device::new(&Options::default());
    let function = device.module(BASIC, &[]).load_function("saxpy").unwrap();
    let n = 100_003;
    let (x, y, a) = (random(n, 1), random(n, 2), 0.75f32);
    let on_device = device.stream.clone_htod(&x).unwrap();
    let mut out = device.stream.clone_htod(&y).unwrap();
    let length = n as i32;
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&on_device).arg(&a).arg(&length);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(LaunchConfig::for_num_elems(n as u32)) }.unwrap();
    for (i, got) in device.stream.clone_dtoh(&out).unwrap().into_iter().enumerate() {
        let want = f64::from(a) * f64::from(x[i]) + f64::from(y[i]);
        assert!((f64::from(got) - want).abs() <= ROUNDING, "element {i}: {got}, not {want}");
    }
    let launches = device.emulator.launches();
    let launch = launches.iter().find(|launch| launch.kernel == "saxpy").expect("recorded");
    assert_eq!((launch.module.as_str(), launch.device), ("basic.cu", 0));
    let kernels = device.emulator.kernels();
    let executed = |name: &str| kernels.iter().find(|k| k.kernel == name).map(|k| k.executed > 0);
    assert_eq!(executed("saxpy"), Some(true));
    assert!(executed("parameters").is_some());
}

#[test]
fn softmax_with_shared_memory_and_shuffles() {
    let device = Device::new(&Options::default());
    let function = device.module(BASIC, &[]).load_function("softmax").unwrap();
    let (rows, columns) = (64usize, 1000usize);
    let x: Vec<f32> = random(rows * columns, 3).iter().map(|v| v * 8.0).collect();
    let input = device.stream.clone_htod(&x).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(rows * columns).unwrap();
    let c = columns as i32;
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&input).arg(&c);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape(rows as u32, 256, 0)) }.unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    for (row, got) in x.chunks(columns).zip(got.chunks(columns)) {
        let most = row.iter().fold(f64::MIN, |most, v| most.max(f64::from(*v)));
        let sum: f64 = row.iter().map(|v| (f64::from(*v) - most).exp()).sum();
        for (x, got) in row.iter().zip(got) {
            let want = (f64::from(*x) - most).exp() / sum;
            assert!((f64::from(*got) - want).abs() <= 10.0 * ROUNDING * want, "{got}, not {want}");
        }
    }
}

#[test]
fn matrix_product_with_tensor_cores_and_asynchronous_copies() {
    let device = Device::new(&Options::default());
    let function = device.module(GEMM, &[]).load_function("gemm_bf16").unwrap();
    let (m, n, k) = (128usize, 192usize, 256usize);
    let half = |seed, count| -> Vec<bf16> {
        random(count, seed).into_iter().map(bf16::from_f32).collect()
    };
    let (a, b) = (half(5, m * k), half(6, k * n));
    let shared = 2 * (64 * 40 + 32 * 72) * 2;
    let limit = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(limit, shared).unwrap();
    let on_device = (device.stream.clone_htod(&a).unwrap(), device.stream.clone_htod(&b).unwrap());
    let mut out = device.stream.alloc_zeros::<f32>(m * n).unwrap();
    let sizes = (m as i32, n as i32, k as i32);
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&on_device.0).arg(&on_device.1);
    launch.arg(&sizes.0).arg(&sizes.1).arg(&sizes.2);
    let grid_dim = ((n / 64) as u32, (m / 64) as u32, 1);
    let shape = LaunchConfig { grid_dim, block_dim: (128, 1, 1), shared_mem_bytes: shared as u32 };
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape) }.unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    for (i, row) in got.chunks(n).enumerate() {
        for (j, got) in row.iter().enumerate() {
            let want: f64 = (0..k).map(|x| a[i * k + x].to_f64() * b[x * n + j].to_f64()).sum();
            assert!((f64::from(*got) - want).abs() <= SUMMED, "({i}, {j}): {got}, not {want}");
        }
    }
}

#[test]
fn functions_of_warps() {
    let device = Device::new(&Options::default());
    let function = device.module(BASIC, &[]).load_function("warp_functions").unwrap();
    let mut out = device.stream.alloc_zeros::<u32>(64 * 10).unwrap();
    // SAFETY: the argument is that of the kernel.
    unsafe { device.stream.launch_builder(&function).arg(&mut out).launch(shape(1, 64, 0)) }
        .unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    for t in 0..64u32 {
        let lane = t % 32;
        let want = [
            (0..32).filter(|l| l % 3 == 0).map(|l| 1 << l).sum(),
            u32::from(t >= 32),
            u32::from(t < 32),
            0xff << (lane / 8 * 8),
            (0..32).map(|l| t / 32 * 32 + l).sum(),
            if lane % 16 >= 3 { lane - 3 } else { lane },
            if lane + 5 < 32 { lane + 5 } else { lane },
            40,
            if lane < 16 { 3 } else { 20 },
            3,
        ];
        assert_eq!(&got[t as usize * 10..][..10], want, "thread {t}");
    }
}

#[test]
fn atomics_add_up_over_blocks() {
    let device = Device::new(&Options::default());
    let function = device.module(BASIC, &[]).load_function("atomics").unwrap();
    let mut out = device.stream.alloc_zeros::<i32>(3).unwrap();
    // SAFETY: the argument is that of the kernel.
    unsafe { device.stream.launch_builder(&function).arg(&mut out).launch(shape(50, 96, 0)) }
        .unwrap();
    assert_eq!(device.stream.clone_dtoh(&out).unwrap(), [50 * 96, 95, 7]);
}

#[test]
fn parameters_have_their_offsets_and_reach_the_kernel() {
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Geometry {
        a: i16,
        b: f64,
        c: [i32; 3],
    }
    // SAFETY: plain data, laid out as the kernel's parameter.
    unsafe impl cudarc::driver::DeviceRepr for Geometry {}
    let device = Device::new(&Options::default());
    let module = device.module(BASIC, &[]);
    let function = module.load_function("parameters").unwrap();
    let mut out = device.stream.alloc_zeros::<f64>(1).unwrap();
    let (c, g, s) = (1i8, Geometry { a: 20, b: 300.5, c: [0, 0, 4000] }, 50_00i16);
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&c).arg(&g).arg(&s);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape(1, 1, 0)) }.unwrap();
    assert_eq!(device.stream.clone_dtoh(&out).unwrap(), [9321.5]);

    // cudarc keeps its handles to itself, so the same module is loaded once more below it.
    let handle = raw_function(&device, "parameters");
    let info = |index| {
        let (mut offset, mut size) = (0, 0);
        // SAFETY: the handle is valid and the places are writable.
        let result = unsafe { sys::cuFuncGetParamInfo(handle, index, &mut offset, &mut size) };
        result.result().map(|()| (offset, size))
    };
    assert_eq!(info(0).unwrap(), (0, 8));
    assert_eq!(info(1).unwrap(), (8, 1));
    assert_eq!(info(2).unwrap(), (16, 32));
    assert_eq!(info(3).unwrap(), (48, 2));
    assert_eq!(info(4).unwrap_err().0, sys::CUresult::CUDA_ERROR_INVALID_VALUE);
}

fn raw_function(device: &Device, name: &str) -> sys::CUfunction {
    device.context.bind_to_thread().unwrap();
    let image = common::compile(BASIC, &[]).unwrap();
    let image = common::c_string(&image.to_src());
    // SAFETY: the image ends with a NUL, and the module stays loaded.
    unsafe {
        let module = cudarc::driver::result::module::load_data(image.as_ptr().cast()).unwrap();
        cudarc::driver::result::module::get_function(module, common::c_string(name)).unwrap()
    }
}

#[test]
fn each_load_of_a_module_has_variables_of_its_own() {
    let device = Device::new(&Options::default());
    let modules = [device.module(BASIC, &[]), device.module(BASIC, &[])];
    for (module, values) in modules.iter().zip([[2.0f32, 1.0], [10.0, 0.5]]) {
        let mut variable = module.get_global("scale", &device.stream).unwrap();
        // SAFETY: the variable is two floats.
        let mut variable = unsafe { variable.transmute_mut::<f32>(2) }.unwrap();
        device.stream.memcpy_htod(&values, &mut variable).unwrap();
    }
    let n = 3i32;
    for (module, want) in modules.iter().zip([5.0f32, 20.5]) {
        let function = module.load_function("scale_shift").unwrap();
        let mut y = device.stream.clone_htod(&[2.0f32; 3]).unwrap();
        // SAFETY: the arguments are those of the kernel.
        unsafe {
            device.stream.launch_builder(&function).arg(&mut y).arg(&n).launch(shape(1, 32, 0))
        }
        .unwrap();
        assert_eq!(device.stream.clone_dtoh(&y).unwrap(), [want; 3]);
    }
}

#[test]
fn name_expressions_find_template_instances() {
    use cudarc::nvrtc::{result, sys};
    let device = Device::new(&Options::default());
    let source = common::c_string(BASIC.1);
    let program = result::create_program(&source, None).unwrap();
    let (expression, mut lowered) = (c"&multiply<3>", std::ptr::null());
    // SAFETY: the program exists until it is destroyed, and the strings outlive the calls.
    let (image, name) = unsafe {
        sys::nvrtcAddNameExpression(program, expression.as_ptr()).result().unwrap();
        result::compile_program::<&str>(program, &[]).unwrap();
        sys::nvrtcGetLoweredName(program, expression.as_ptr(), &mut lowered).result().unwrap();
        let name = std::ffi::CStr::from_ptr(lowered).to_str().unwrap().to_string();
        let image = result::get_ptx(program).unwrap();
        let image = std::ffi::CStr::from_ptr(image.as_ptr()).to_str().unwrap().to_string();
        result::destroy_program(program).unwrap();
        (image, name)
    };
    assert_ne!(name, "multiply");
    let module = device.context.load_module(cudarc::nvrtc::Ptx::from_src(image)).unwrap();
    let function = module.load_function(&name).unwrap();
    let mut out = device.stream.clone_htod(&[1i32, 2, 3]).unwrap();
    // SAFETY: the argument is that of the kernel.
    unsafe { device.stream.launch_builder(&function).arg(&mut out).launch(shape(1, 3, 0)) }
        .unwrap();
    assert_eq!(device.stream.clone_dtoh(&out).unwrap(), [3, 6, 9]);
}

#[test]
fn a_source_that_does_not_compile_gives_the_log() {
    Device::new(&Options::default());
    let source =
        ("broken.cu", "extern \"C\" __global__ void k(int* p) {\n    *p = undeclared;\n}\n");
    let log = common::compile(source, &[]).unwrap_err();
    assert!(log.contains("broken.cu:2") && log.contains("undeclared"), "{log}");
    let log = common::compile(BASIC, &["--no-such-option"]).unwrap_err();
    assert!(log.contains("--no-such-option"), "{log}");
    let log = common::compile(("r.cu", "#include <string>\n"), &[]).unwrap_err();
    assert!(log.contains("string"), "{log}");
}

#[test]
fn a_launch_that_a_device_could_not_execute_is_refused() {
    let device = Device::new(&Options::default());
    let function = device.module(BASIC, &[]).load_function("softmax").unwrap();
    let x = device.stream.alloc_zeros::<f32>(8).unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(8).unwrap();
    let columns = 8i32;
    for (threads, shared) in [(257, 0), (1025, 0), (64, 49_153)] {
        let mut launch = device.stream.launch_builder(&function);
        launch.arg(&mut y).arg(&x).arg(&columns);
        // SAFETY: the arguments are those of the kernel.
        let result = unsafe { launch.launch(shape(1, threads, shared)) };
        assert_eq!(result.unwrap_err().0, sys::CUresult::CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn unwritten_memory_is_not_a_number() {
    let device = Device::new(&Options::default());
    // SAFETY: reading memory that was never written is the point of this test.
    let buffer = unsafe { device.stream.alloc::<f32>(33) }.unwrap();
    assert!(device.stream.clone_dtoh(&buffer).unwrap().iter().all(|v| v.is_nan()));
}

#[test]
fn installs_must_agree() {
    install(&Options::default()).unwrap();
    install(&Options::default()).unwrap();
    let others = Options { devices: 2, ..Options::default() };
    assert!(matches!(install(&others), Err(Error::OtherOptions)));
}

/// Several threads load, use and drop modules; every one must see its own.
#[test]
fn modules_of_many_threads_do_not_mix() {
    let device = Device::new(&Options::default());
    std::thread::scope(|scope| {
        for factor in 2..6i32 {
            let device = &device;
            scope.spawn(move || {
                let text = format!(
                    "extern \"C\" __global__ void times_{factor}(int* p) {{ p[0] *= {factor}; }}"
                );
                let name = format!("times_{factor}");
                for _ in 0..5 {
                    let module = device.module((&name, &text), &[]);
                    let function = module.load_function(&name).unwrap();
                    let stream = device.context.new_stream().unwrap();
                    let mut value = stream.clone_htod(&[7i32]).unwrap();
                    let mut launch = stream.launch_builder(&function);
                    // SAFETY: the argument is that of the kernel.
                    unsafe { launch.arg(&mut value).launch(shape(1, 1, 0)) }.unwrap();
                    assert_eq!(stream.clone_dtoh(&value).unwrap(), [7 * factor]);
                }
            });
        }
    });
}
