//! Parameters, FLOPs, and the texts that show them.

use nasrl_space::{
    Activation, Conv2d, ConvolutionKind, Dense, Dropout, Extent, Graph, GraphBuilder, Image, Op,
    Padding, ParameterRole, Space, SpaceError,
};

const CIFAR: Image = Image { height: 32, width: 32, channels: 3 };

fn reference_child() -> Graph {
    let space = Space::reference();
    space.build(&space.parse("3,64,3,64,3,32,3,64").unwrap(), CIFAR, 10).unwrap()
}

#[test]
fn the_reference_child_by_hand() {
    let graph = reference_child();
    let by_hand = (9 * 3 + 1) * 64 + (9 * 64 + 1) * 64 + (9 * 64 + 1) * 32 + (9 * 32 + 1) * 64;
    assert_eq!(graph.parameters(), by_hand + (64 + 1) * 10);
    let multiply_adds = 256 * 64 * 27 + 256 * 64 * 576 + 64 * 32 * 576 + 64 * 64 * 288 + 64 * 10;
    assert_eq!(graph.flops(), 2 * multiply_adds);
    let shapes: Vec<_> = graph.nodes().iter().map(|node| node.shape.to_string()).collect();
    let expected = [
        "32x32x3", "16x16x64", "16x16x64", "16x16x64", "16x16x64", "8x8x32", "8x8x32", "8x8x64",
        "8x8x64", "1x1x64", "1x1x10",
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn parameters_are_named_and_laid_out_as_documented() {
    let specs = reference_child().parameter_specs();
    let found: Vec<_> = specs.iter().map(|spec| (spec.name.as_str(), &spec.shape[..])).collect();
    let expected: [(&str, &[usize]); 10] = [
        ("layer1.conv.weight", &[64, 3, 3, 3]),
        ("layer1.conv.bias", &[64]),
        ("layer2.conv.weight", &[64, 3, 3, 64]),
        ("layer2.conv.bias", &[64]),
        ("layer3.conv.weight", &[32, 3, 3, 64]),
        ("layer3.conv.bias", &[32]),
        ("layer4.conv.weight", &[64, 3, 3, 32]),
        ("layer4.conv.bias", &[64]),
        ("head.dense.weight", &[64, 10]),
        ("head.dense.bias", &[10]),
    ];
    assert_eq!(found, expected);
    assert_eq!(specs[0].role, ParameterRole::Filters);
    assert_eq!(specs[8].role, ParameterRole::DenseWeight);
}

#[test]
fn batch_norm_takes_the_place_of_the_bias() {
    let space = Space::reference().with_batch_norm().unwrap();
    assert_eq!(space.decisions(), Space::reference().decisions());
    assert_ne!(space.digest(), Space::reference().digest());
    let graph = space.build(&space.parse("3,64,3,64,3,32,3,64").unwrap(), CIFAR, 10).unwrap();
    let biases = 64 + 64 + 32 + 64;
    assert_eq!(graph.parameters(), 76_330 - biases + 2 * biases);
    let names: Vec<_> = graph.parameter_specs().into_iter().map(|spec| spec.name).collect();
    let layer1 = [
        "layer1.conv.weight",
        "layer1.batch_norm.gamma",
        "layer1.batch_norm.beta",
        "layer1.batch_norm.running_mean",
        "layer1.batch_norm.running_variance",
    ];
    assert_eq!(names[..5], layer1);
    let trainable = graph.parameter_specs().into_iter().filter(|spec| spec.role.is_trainable());
    assert_eq!(trainable.map(|spec| spec.elements()).sum::<u64>(), graph.parameters());

    let rectangular = Space::from_toml(include_str!("../examples/every-key.toml"), "x").unwrap();
    let settled = rectangular.with_batch_norm().unwrap();
    let about =
        |space: &Space| space.decisions().iter().filter(|d| d.kind() == "batch_norm").count();
    assert_eq!((about(&rectangular), about(&settled)), (3, 0));
}

/// `y[oh, ow]` of a depthwise convolution reads `kernel` taps of one channel; a dense layer reads
/// the whole image.
#[test]
fn depthwise_and_dense_on_an_image() {
    let mut builder = GraphBuilder::new(Image { height: 7, width: 5, channels: 6 }).unwrap();
    let depthwise = Op::Conv2d(Conv2d {
        kind: ConvolutionKind::Depthwise,
        kernel: Extent { height: 3, width: 2 },
        stride: Extent { height: 2, width: 1 },
        dilation: Extent::square(2),
        padding: Padding::Valid,
        bias: false,
    });
    let conv = builder.add("conv", depthwise, &[builder.input()]).unwrap();
    assert_eq!(builder.shape(conv), Image { height: 2, width: 3, channels: 6 });
    let dense = builder.add("dense", Op::Dense(Dense { units: 4 }), &[conv]).unwrap();
    let graph = builder.finish(dense);
    assert_eq!(graph.flops(), 2 * (2 * 3 * 6) * (3 * 2) + 2 * 36 * 4);
    assert_eq!(graph.parameters(), 6 * 3 * 2 + 36 * 4 + 4);
    let shapes: Vec<_> = graph.parameter_specs().into_iter().map(|spec| spec.shape).collect();
    assert_eq!(shapes, [vec![6, 3, 2], vec![36, 4], vec![4]]);
}

#[test]
fn enormous_networks_saturate() {
    let side = 1 << 20;
    let mut builder = GraphBuilder::new(Extent::square(side).image(side)).unwrap();
    let conv = Op::Conv2d(Conv2d {
        kind: ConvolutionKind::Full { filters: side },
        kernel: Extent::square(side),
        stride: Extent::square(1),
        dilation: Extent::square(1),
        padding: Padding::Same,
        bias: true,
    });
    let conv = builder.add("conv", conv, &[builder.input()]).unwrap();
    let graph = builder.finish(conv);
    assert_eq!((graph.parameters(), graph.flops()), (u64::MAX, u64::MAX));
}

#[test]
fn a_graph_is_drawn_one_line_a_node() {
    let mut builder = GraphBuilder::new(Image { height: 4, width: 4, channels: 2 }).unwrap();
    let input = builder.input();
    let relu = builder.add("relu", Op::Activation(Activation::Relu), &[input]).unwrap();
    let sum = builder.add("sum", Op::Add, &[relu, input]).unwrap();
    let dense = builder.add("dense", Op::Dense(Dense { units: 3 }), &[sum]).unwrap();
    let graph = builder.finish(dense);
    let expected = format!(
        "\
node   operation                      shape  parameters  FLOPs
input  input                          4x4x2           0      0
relu   relu                           4x4x2           0      0
sum    add of relu, input             4x4x2           0      0
dense  dense 3                        1x1x3          99    192
total  architecture {}                 99    192
",
        graph.hash()
    );
    assert_eq!(graph.to_string(), expected);
}

#[test]
fn json_holds_what_a_twin_needs() {
    let json: serde_json::Value = serde_json::from_str(&reference_child().to_json()).unwrap();
    assert_eq!(json["format"], 1);
    assert_eq!(json["parameters"], 76_330);
    assert_eq!(json["hash"], reference_child().hash().to_string());
    assert_eq!(json["nodes"].as_array().unwrap().len(), 11);
    let conv = &json["nodes"][1];
    assert_eq!((&conv["name"], &conv["op"]), (&"layer1.conv".into(), &"conv2d".into()));
    assert_eq!(conv["options"]["kind"]["full"]["filters"], 64);
    assert_eq!((&conv["sides"]["top"], &conv["sides"]["bottom"]), (&0.into(), &1.into()));
    assert_eq!(conv["inputs"], serde_json::json!(["input"]));
    assert_eq!(conv["parameters"][0]["shape"], serde_json::json!([64, 3, 3, 3]));
    assert_eq!(
        (&json["nodes"][2]["op"], &json["nodes"][2]["options"]),
        (&"activation".into(), &"relu".into())
    );
}

#[test]
fn dropout_of_zero_is_no_node() {
    let space = Space::from_toml(include_str!("../examples/narrowing.toml"), "x").unwrap();
    let with = |tokens: &str| space.build(&space.parse(tokens).unwrap(), CIFAR, 10).unwrap();
    let dropouts = |graph: &Graph| {
        let rate = |node: &nasrl_space::Node| match node.op {
            Op::Dropout(Dropout { rate }) => Some((node.name.clone(), rate)),
            _ => None,
        };
        graph.nodes().iter().filter_map(rate).collect::<Vec<_>>()
    };
    assert_eq!(dropouts(&with("3,16,0,3,32,max,0,3,0,0")), []);
    let expected = [("layer2.dropout".to_owned(), 0.1), ("head.dropout".to_owned(), 0.5)];
    assert_eq!(dropouts(&with("3,16,0,3,32,max,0.1,3,0,0.5")), expected);
}

#[test]
fn an_image_too_small_is_refused_with_tokens_and_layer() {
    let space = Space::from_toml(include_str!("../examples/narrowing.toml"), "x").unwrap();
    let tokens = space.parse("5,16,0,5,32,max,0,5,0,0").unwrap();
    let error = space.build(&tokens, Image { height: 16, width: 16, channels: 1 }, 10).unwrap_err();
    let words = "architecture 5,16,0,5,32,max,0,5,0,0 cannot be built: layer2.conv: conv 5x5 32 \
                 valid fits nowhere on its input of 4x4x16; use a smaller window, smaller strides \
                 or 'same' padding";
    assert_eq!(error.to_string(), words);
    let none = space.build(&tokens, CIFAR, 0).unwrap_err();
    assert!(matches!(none, SpaceError::Build { .. }), "{none}");
}
