//! A CUDA kernel of one's own, compiled when the program runs and launched on tensors. Without a GPU
//! the program says so.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use nasrl_tensor::cuda::Grid;
use nasrl_tensor::{Cuda, DType, Error, Result, Tensor};

/// The headers of the crate's own kernels are there to be included.
const SOURCE: &str = r#"
#include "elementwise.cuh"

struct Saxpy { u64 len; };

extern "C" __global__ void saxpy(const f32* x, f32* y, Saxpy g) {
    map2(g.len, x, y, y, [](f32 x, f32 y) { return 2.5f * x + y; });
}
"#;

fn main() -> Result<()> {
    let gpu = match Cuda::new(0) {
        Err(
            error @ (Error::NoDriver { .. } | Error::DriverTooOld { .. } | Error::NoDevice { .. }),
        ) => {
            println!("{error}");
            return Ok(());
        }
        gpu => gpu?,
    };
    let saxpy = gpu.custom_kernels("saxpy.cu", SOURCE)?.kernel("saxpy")?;
    let x = Tensor::from_slice(&gpu, 5, &[0.0f32, 1.0, 2.0, 3.0, 4.0])?;
    let mut y = Tensor::from_slice(&gpu, 5, &[0.5f32; 5])?;
    // SAFETY: the kernel takes two pointers to f32 and a length, 5, which both buffers have; it
    // writes the second.
    unsafe {
        gpu.launch_custom(
            &saxpy,
            Grid::over(5, 2048),
            &[x.buffer()],
            &mut [y.buffer_mut()?],
            [5u64],
        )
    }?;
    assert_eq!(y.dtype(), DType::F32);
    println!("{:?}", y.to_vec::<f32>()?);
    Ok(())
}
