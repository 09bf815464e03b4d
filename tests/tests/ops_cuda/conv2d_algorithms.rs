//! The algorithms of convolution against each other: they find the same integers.

use nasrl_tensor::cuda::Conv2dAlgorithm;
use nasrl_tensor::ops::{Conv2dBackend, Epilogue, Sum};
use nasrl_tensor::{Cuda, DType, Memory};
use nasrl_tests::{FLOATS, Inputs};

use crate::{backends, compared};

type Buffer = <Cuda as Memory>::Buffer;

fn integers(on: &Cuda, inputs: &mut Inputs, dtype: DType, len: usize) -> Buffer {
    let mut wide = on.zeros(DType::F32, len).unwrap();
    on.write(&inputs.integers(len, 3), &mut wide).unwrap();
    let mut buffer = on.zeros(dtype, len).unwrap();
    on.cast(len, &wide, &mut buffer).unwrap();
    buffer
}

fn values(on: &Cuda, buffer: &Buffer) -> Vec<f32> {
    let len = Cuda::capacity(buffer);
    let mut wide = on.zeros(DType::F32, len).unwrap();
    on.cast(len, buffer, &mut wide).unwrap();
    let mut values = vec![0.0f32; len];
    on.read(&wide, &mut values).unwrap();
    values
}

#[test]
fn both_find_the_same_integers() {
    for on in backends() {
        for geometry in compared() {
            for dtype in FLOATS {
                let images = 3;
                let mut inputs = Inputs::new(14);
                let mut draw = |dtype, len| integers(&on, &mut inputs, dtype, len);
                let [h, w] = geometry.input;
                let [p, q] = geometry.output();
                let x = draw(dtype, images * h * w * geometry.channels);
                let dy = draw(dtype, images * p * q * geometry.filters);
                let filters = draw(DType::F32, geometry.filter_shape().count());
                let bias = draw(DType::F32, geometry.filters);
                let mask = draw(dtype, images * h * w * geometry.channels);
                let [gemm, direct] =
                    [Conv2dAlgorithm::ImplicitGemm, Conv2dAlgorithm::Direct].map(|algorithm| {
                        let mut plan = on.conv2d_plan_with(&geometry, dtype, algorithm).unwrap();
                        on.conv2d_load(&mut plan, &filters).unwrap();
                        let zeros = |dtype, like| on.zeros(dtype, Cuda::capacity(like)).unwrap();
                        let (mut y, mut dx) = (zeros(dtype, &dy), zeros(dtype, &x));
                        let mut dw = zeros(DType::F32, &filters);
                        let epilogue = Epilogue { bias: Some(&bias), relu: true };
                        on.conv2d_fprop(&plan, images, &x, epilogue, &mut y).unwrap();
                        on.conv2d_dgrad(&plan, images, &dy, Some(&mask), &mut dx).unwrap();
                        for sum in [Sum::Store, Sum::Add] {
                            on.conv2d_wgrad(&plan, images, &x, &dy, sum, &mut dw).unwrap();
                        }
                        [y, dx, dw].map(|buffer| values(&on, &buffer))
                    });
                assert!(gemm == direct, "{dtype} of {geometry:?}");
            }
        }
    }
}
