//! Shape inference on awkward geometries, against windows enumerated one by one.

use nasrl_space::{
    Activation, Conv2d, ConvolutionKind, Dense, Dropout, Extent, GraphBuilder, GraphError, Image,
    NodeId, Op, Padding, Pool, PoolKind, Sides, Window,
};
use proptest::prelude::*;

const IMAGE: Image = Image { height: 9, width: 7, channels: 3 };

fn extent(height: usize, width: usize) -> Extent {
    Extent { height, width }
}

fn conv(kernel: Extent, stride: Extent, dilation: Extent, padding: Padding) -> Op {
    let kind = ConvolutionKind::Full { filters: 5 };
    Op::Conv2d(Conv2d { kind, kernel, stride, dilation, padding, bias: true })
}

fn pool(size: usize, padding: Padding) -> Op {
    let size = Extent::square(size);
    Op::Pool(Pool { kind: PoolKind::Max, size, stride: size, padding })
}

fn shape_of(op: Op) -> Result<Image, GraphError> {
    let mut builder = GraphBuilder::new(IMAGE)?;
    let node = builder.add("node", op, &[builder.input()])?;
    Ok(builder.shape(node))
}

/// Each row: kernel, stride, dilation, padding, then output and top, bottom, left, right on 9x7.
/// 'Same' rows as TensorFlow computes them.
#[test]
fn awkward_geometries() {
    let one = Extent::square(1);
    let two = Extent::square(2);
    let explicit = Padding::Explicit(Sides { top: 2, bottom: 0, left: 0, right: 3 });
    for (kernel, stride, dilation, padding, output, sides) in [
        (Extent::square(3), one, one, Padding::Same, extent(9, 7), [1, 1, 1, 1]),
        (Extent::square(3), two, one, Padding::Same, extent(5, 4), [1, 1, 1, 1]),
        (Extent::square(2), one, one, Padding::Same, extent(9, 7), [0, 1, 0, 1]),
        (Extent::square(4), two, one, Padding::Same, extent(5, 4), [1, 2, 1, 2]),
        (extent(1, 5), extent(3, 2), one, Padding::Same, extent(3, 4), [0, 0, 2, 2]),
        (one, Extent::square(3), one, Padding::Same, extent(3, 3), [0, 0, 0, 0]),
        (two, Extent::square(4), one, Padding::Same, extent(3, 2), [0, 1, 0, 0]),
        (Extent::square(3), one, extent(3, 2), Padding::Same, extent(9, 7), [3, 3, 2, 2]),
        (Extent::square(3), two, extent(2, 3), Padding::Same, extent(5, 4), [2, 2, 3, 3]),
        (Extent::square(9), Extent::square(9), one, Padding::Same, extent(1, 1), [0, 0, 1, 1]),
        (extent(3, 2), extent(2, 3), one, Padding::Valid, extent(4, 2), [0, 0, 0, 0]),
        (extent(9, 7), one, one, Padding::Valid, extent(1, 1), [0, 0, 0, 0]),
        (Extent::square(3), two, extent(4, 3), Padding::Valid, extent(1, 1), [0, 0, 0, 0]),
        (Extent::square(3), two, one, explicit, extent(5, 4), [2, 0, 0, 3]),
    ] {
        let window = Window { size: kernel, stride, dilation, padding };
        let [top, bottom, left, right] = sides;
        assert_eq!(window.output(IMAGE.extent()), Some(output), "{window:?}");
        assert_eq!(window.sides(IMAGE.extent()), Sides { top, bottom, left, right }, "{window:?}");
        assert_eq!(shape_of(conv(kernel, stride, dilation, padding)), Ok(output.image(5)));
    }
}

#[test]
fn windows_that_fit_nowhere_are_refused() {
    let one = Extent::square(1);
    let op = conv(extent(10, 1), one, one, Padding::Valid);
    let error = shape_of(op).unwrap_err();
    assert!(matches!(error, GraphError::Vanishes { input: IMAGE, .. }));
    let words = "node: conv 10x1 5 valid fits nowhere on its input of 9x7x3; use a smaller window, \
                 smaller strides or 'same' padding";
    assert_eq!(error.to_string(), words);
    let dilated = conv(Extent::square(3), one, extent(1, 4), Padding::Valid);
    assert!(matches!(shape_of(dilated), Err(GraphError::Vanishes { .. })));
    assert!(matches!(shape_of(pool(8, Padding::Valid)), Err(GraphError::Vanishes { .. })));
}

#[test]
fn options_out_of_range_are_refused() {
    let one = Extent::square(1);
    let far = Sides { bottom: 1 << 21, ..Sides::default() };
    let units = |units| Op::Dense(Dense { units });
    for (op, what) in [
        (conv(extent(0, 1), one, one, Padding::Same), "window size"),
        (conv(one, extent(1, 0), one, Padding::Same), "stride"),
        (conv(one, one, extent(0, 1), Padding::Valid), "dilation"),
        (conv(one, one, one, Padding::Explicit(far)), "padding"),
        (Op::ZeroPad(far), "padding"),
        (units(0), "number of units"),
        (units(usize::MAX), "number of units"),
    ] {
        let error = shape_of(op).unwrap_err();
        assert!(matches!(error, GraphError::Range { what: w, .. } if w == what), "{error}");
    }
    for rate in [-0.1, 1.0, f64::NAN] {
        let error = shape_of(Op::Dropout(Dropout { rate })).unwrap_err();
        assert!(matches!(error, GraphError::DropoutRate { .. }), "{error}");
    }
    let padded = Padding::Explicit(Sides { left: 2, ..Sides::default() });
    assert!(matches!(shape_of(pool(2, padded)), Err(GraphError::PaddedPool { .. })));
    assert_eq!(shape_of(pool(3, padded)), Ok(Image { height: 3, width: 3, channels: 3 }));
    let empty = GraphBuilder::new(Image { width: 0, ..IMAGE });
    assert!(matches!(empty, Err(GraphError::Range { what: "width", .. })));
}

#[test]
fn several_inputs_have_to_agree() {
    let mut builder = GraphBuilder::new(IMAGE).unwrap();
    let input = builder.input();
    let sides = Sides { top: 1, bottom: 0, left: 2, right: 3 };
    let padded = builder.add("padded", Op::ZeroPad(sides), &[input]).unwrap();
    assert_eq!(builder.shape(padded), Image { height: 10, width: 12, channels: 3 });
    let one = Extent::square(1);
    let wide = builder.add("wide", conv(one, one, one, Padding::Same), &[input]).unwrap();
    let both = builder.add("both", Op::Concat, &[input, wide, input]).unwrap();
    assert_eq!(builder.shape(both), Image { channels: 11, ..IMAGE });
    let sum = builder.add("sum", Op::Add, &[input, input]).unwrap();
    assert_eq!(builder.shape(sum), IMAGE);
    let pooled = builder.add("pooled", Op::GlobalAveragePool, &[both]).unwrap();
    assert_eq!(builder.shape(pooled), Extent::square(1).image(11));

    let error = builder.add("bad", Op::Add, &[input, input, wide]).unwrap_err();
    assert_eq!(error.to_string(), "bad: add of 9x7x3 and 9x7x5, which do not go together");
    let error = builder.add("bad", Op::Concat, &[input, padded]).unwrap_err();
    assert_eq!(error.to_string(), "bad: concat of 9x7x3 and 10x12x3, which do not go together");
    let error = builder.add("bad", Op::BatchNorm, &[input, wide]).unwrap_err();
    assert_eq!(error.to_string(), "bad: batch norm of 2 inputs; it takes one");
    let error = builder.add("bad", Op::Add, &[]).unwrap_err();
    assert_eq!(error.to_string(), "bad: add of 0 inputs; it takes one or more");
    let error = builder.add("bad", Op::Input, &[input]).unwrap_err();
    assert!(matches!(error, GraphError::InputCount { .. }));
    let error = builder.add("sum", Op::BatchNorm, &[input]).unwrap_err();
    assert_eq!(error, GraphError::DuplicateName { node: "sum".into() });
    let mut other = GraphBuilder::new(IMAGE).unwrap();
    let error = other.add("bad", Op::BatchNorm, &[sum]).unwrap_err();
    assert_eq!(error, GraphError::UnknownInput { node: "bad".into(), input: sum });
}

#[test]
fn nodes_without_use_are_left_out() {
    let mut builder = GraphBuilder::new(IMAGE).unwrap();
    let input = builder.input();
    let relu = Op::Activation(Activation::Relu);
    let first = builder.add("first", relu, &[input]).unwrap();
    let dead = builder.add("dead", relu, &[first]).unwrap();
    builder.add("deader", Op::Add, &[dead, first]).unwrap();
    let second = builder.add("second", Op::Add, &[first, input]).unwrap();
    builder.add("late", relu, &[second]).unwrap();
    let graph = builder.finish(second);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["input", "first", "second"]);
    let inputs = &graph.node(graph.output()).inputs;
    assert_eq!(inputs.iter().map(|id: &NodeId| id.index()).collect::<Vec<_>>(), [1, 0]);
}

/// Window starts along one axis, one by one: those whose last tap is still on the padded image.
fn starts(input: usize, pads: usize, size: usize, stride: usize, dilation: usize) -> usize {
    (0..).step_by(stride).take_while(|start| start + (size - 1) * dilation < input + pads).count()
}

proptest! {
    #[test]
    fn outputs_are_the_windows_that_fit(
        input in (1_usize..40, 1_usize..40),
        size in (1_usize..8, 1_usize..8),
        stride in (1_usize..6, 1_usize..6),
        dilation in (1_usize..4, 1_usize..4),
        pads in (0_usize..5, 0_usize..5, 0_usize..5, 0_usize..5),
        choice in 0..3,
    ) {
        let (top, bottom, left, right) = pads;
        let padding = match choice {
            0 => Padding::Same,
            1 => Padding::Valid,
            _ => Padding::Explicit(Sides { top, bottom, left, right }),
        };
        let of = |(height, width)| Extent { height, width };
        let window = Window { size: of(size), stride: of(stride), dilation: of(dilation), padding };
        let sides = window.sides(of(input));
        let height = starts(input.0, sides.top + sides.bottom, size.0, stride.0, dilation.0);
        let width = starts(input.1, sides.left + sides.right, size.1, stride.1, dilation.1);
        let output = (height > 0 && width > 0).then_some(Extent { height, width });
        prop_assert_eq!(window.output(of(input)), output);
        if padding == Padding::Same {
            let ceil = Extent { height: input.0.div_ceil(stride.0), width: input.1.div_ceil(stride.1) };
            prop_assert_eq!(output, Some(ceil));
            prop_assert!(sides.bottom - sides.top <= 1 && sides.right - sides.left <= 1);
        }
    }
}
