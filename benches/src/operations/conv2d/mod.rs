//! Convolutions, by themselves and with the normalisations around them.

mod fused;

use nasrl_tensor::ops::{Connection, Conv2d, Epilogue, FusedConv2dBackend, Sum};
use nasrl_tensor::{DType, DType::F32, Result};
use nasrl_tests::Tolerance;

use crate::case::{Agreement, Case, Setting, Shapes, Work, calling};

/// Bound by multiplications but for 1x1 and depthwise layers, which are bound by memory.
pub(super) fn cases<B: FusedConv2dBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let geometries = match setting.shapes {
        Shapes::Small => small(),
        Shapes::Real { .. } => layers(),
    };
    let mut cases = Vec::new();
    for geometry in geometries {
        cases.extend(passes(setting, geometry)?);
    }
    cases.extend(fused::cases(setting)?);
    Ok(cases)
}

/// The layers of the reference space's children, layers of `nas-rl-cnn`, and a depthwise one.
pub(crate) fn layers() -> Vec<Conv2d> {
    let layer = |input, channels, filters, kernel, stride| {
        Conv2d { stride: [stride; 2], ..Conv2d::new([input; 2], channels, filters, [kernel; 2]) }
            .same()
    };
    vec![
        layer(32, 3, 64, 3, 2),
        layer(32, 3, 16, 3, 2),
        layer(16, 64, 64, 3, 1),
        layer(16, 16, 16, 3, 1),
        layer(16, 64, 64, 1, 1),
        layer(16, 64, 32, 3, 2),
        layer(8, 32, 64, 3, 1),
        layer(32, 48, 48, 1, 1),
        layer(32, 48, 48, 3, 1),
        layer(32, 36, 36, 7, 1),
        layer(32, 48, 48, 7, 1),
        Conv2d { connection: Connection::Depthwise, ..layer(16, 64, 64, 3, 1) },
    ]
}

/// Kernels, strides and dilations that all differ, channels on both sides of a vector's length.
fn small() -> Vec<Conv2d> {
    let of = Conv2d::new;
    vec![
        of([1, 1], 1, 1, [1, 1]),
        of([9, 7], 3, 5, [3, 3]).same(),
        Conv2d { stride: [2, 3], ..of([11, 13], 8, 16, [3, 5]) }.same(),
        Conv2d { dilation: [2, 3], ..of([13, 11], 16, 8, [3, 2]) }.same(),
        of([16, 16], 16, 24, [3, 3]).same(),
        Conv2d { stride: [2, 2], ..of([16, 16], 24, 16, [3, 3]) }.same(),
        of([8, 8], 40, 24, [1, 1]),
        of([9, 9], 8, 8, [7, 1]).same(),
        Conv2d { connection: Connection::Depthwise, ..of([7, 9], 11, 11, [3, 5]) }.same(),
        Conv2d { connection: Connection::Depthwise, stride: [2, 2], ..of([8, 8], 16, 16, [3, 3]) }
            .same(),
    ]
}

fn passes<B: FusedConv2dBackend>(
    setting: &Setting<'_, B>,
    geometry: Conv2d,
) -> Result<Vec<Case<B>>> {
    let (dtype, images, on) = (setting.dtype, setting.images(3), setting.on);
    let [pixels, positions] =
        [geometry.input, geometry.output()].map(|[height, width]| images * height * width);
    let [x_len, y_len] = [pixels * geometry.channels, positions * geometry.filters];
    let filters = geometry.filter_shape().count();
    let window = geometry.kernel[0] * geometry.kernel[1];
    let depth = |channels| match geometry.connection {
        Connection::Full => window * channels,
        Connection::Depthwise => window,
    };
    let work = Work {
        flops: images as u64 * geometry.flops(),
        bytes: ((x_len + y_len) * dtype.size() + filters * dtype.size()) as u64,
    };
    let close = |dtype: DType, terms| Agreement::ExactOnIntegers(Tolerance::sum(dtype, terms));
    let mut draw = setting.draw(11);
    let weights = draw.values(F32, filters)?;
    let loaded = || {
        let mut plan = on.conv2d_plan(&geometry, dtype)?;
        on.conv2d_load(&mut plan, &weights)?;
        Ok::<_, nasrl_tensor::Error>(plan)
    };
    let (fprop, dgrad, wgrad) = (loaded()?, loaded()?, loaded()?);
    let shape = words(&geometry, images);
    Ok(vec![
        Case {
            pass: "fprop".to_owned(),
            shape: shape.clone(),
            work,
            agreement: close(dtype, depth(geometry.channels)),
            inputs: vec![draw.values(dtype, x_len)?],
            outputs: vec![draw.zeros(dtype, y_len)?],
            call: calling::<B>(move |on, x, y| {
                let epilogue = Epilogue { bias: None, relu: true };
                on.conv2d_fprop(&fprop, images, &x[0], epilogue, &mut y[0])
            }),
        },
        Case {
            pass: "dgrad".to_owned(),
            shape: shape.clone(),
            work: Work { bytes: work.bytes + (x_len * dtype.size()) as u64, ..work },
            agreement: close(dtype, depth(geometry.filters)),
            inputs: vec![draw.values(dtype, y_len)?, draw.values(dtype, x_len)?],
            outputs: vec![draw.zeros(dtype, x_len)?],
            call: calling::<B>(move |on, x, dx| {
                on.conv2d_dgrad(&dgrad, images, &x[0], Some(&x[1]), &mut dx[0])
            }),
        },
        Case {
            pass: "wgrad".to_owned(),
            shape,
            work,
            agreement: close(F32, positions),
            inputs: vec![draw.values(dtype, x_len)?, draw.values(dtype, y_len)?],
            outputs: vec![draw.zeros(F32, filters)?],
            call: calling::<B>(move |on, x, dw| {
                on.conv2d_wgrad(&wgrad, images, &x[0], &x[1], Sum::Add, &mut dw[0])
            }),
        },
    ])
}

/// A layer as `128 of 3x3/2 3-64 on 32x32`.
pub(crate) fn words(geometry: &Conv2d, images: usize) -> String {
    let Conv2d { input, channels, filters, kernel, stride, dilation, .. } = geometry;
    let stride = match stride {
        [1, 1] => String::new(),
        [down, right] if down == right => format!("/{down}"),
        [down, right] => format!("/{down},{right}"),
    };
    let dilation = match dilation {
        [1, 1] => String::new(),
        [down, right] => format!(" dilated {down},{right}"),
    };
    let depthwise = match geometry.connection {
        Connection::Full => "",
        Connection::Depthwise => " depthwise",
    };
    let ([r, s], [h, w]) = (kernel, input);
    format!("{images} of {r}x{s}{stride}{dilation}{depthwise} {channels}-{filters} on {h}x{w}")
}
