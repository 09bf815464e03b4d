//! Spaces with skip connections, several depths and layers of several types.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use nasrl_space::{Graph, Image, Op, Sides, Space, SpaceError, Step, Tokens};
use num_bigint::BigUint;
use proptest::prelude::*;

const CIFAR: Image = Image { height: 32, width: 32, channels: 3 };

fn space(layers: &str) -> Space {
    Space::from_toml(&format!("name = \"s\"\n[layers]\n{layers}"), "s.toml").unwrap()
}

fn build(space: &Space, tokens: &str) -> Graph {
    space.build(&space.parse(tokens).unwrap(), CIFAR, 10).unwrap()
}

/// The names of what a node reads.
fn inputs<'a>(graph: &'a Graph, name: &str) -> Vec<&'a str> {
    let node = graph.nodes().iter().find(|node| node.name == name).unwrap();
    node.inputs.iter().map(|&input| graph.node(input).name.as_str()).collect()
}

fn shape(graph: &Graph, name: &str) -> [usize; 3] {
    let Image { height, width, channels } =
        graph.nodes().iter().find(|node| node.name == name).unwrap().shape;
    [height, width, channels]
}

#[test]
fn the_papers_space_decides_in_the_papers_order() {
    let space = Space::open("nas-rl-cnn").unwrap();
    let names: Vec<_> = space.decisions().iter().map(|decision| decision.name()).collect();
    let expected = [
        "layer1.kernel_height",
        "layer1.kernel_width",
        "layer1.filters",
        "layer2.kernel_height",
        "layer2.kernel_width",
        "layer2.filters",
        "layer2.skip1",
        "layer3.kernel_height",
        "layer3.kernel_width",
        "layer3.filters",
        "layer3.skip1",
        "layer3.skip2",
    ];
    assert_eq!(names[..12], expected);
    let steps: Vec<Step> = space.steps()[..12].to_vec();
    assert_eq!(steps[3], Step::Anchor { decisions: 3..3 });
    assert_eq!(steps[4], Step::Choice { decision: 3 });
    assert_eq!(steps[11], Step::Anchor { decisions: 10..12 });
    assert_eq!(space.depths(), 6..=20);
    assert_eq!(Space::open("nas-rl-cnn-pooling").unwrap().depths(), 6..=13);
}

#[test]
fn token_strings_are_written_layer_by_layer() {
    let space = space(
        "count = 3\nmin_count = 2\nkernel_height = [1, 3, 7]\nkernel_width = [1, 3, 5]\n\
         filters = [24, 36, 48]\nskips = [\"off\", \"on\"]",
    );
    let tokens = space.parse("3,3,24 / 3,5,36,1 / 7,1,48,01").unwrap();
    assert_eq!(tokens.as_slice(), [1, 1, 0, 1, 2, 1, 1, 2, 0, 2, 0, 1]);
    assert_eq!(space.format(&tokens), "3,3,24 / 3,5,36,1 / 7,1,48,01");
    assert_eq!(space.describe(&tokens), "conv 3x3 24, conv 3x5 36, conv 7x1 48");
    let tokens = space.parse("3,3,24/3,5,36,0/7,1,48,11").unwrap();
    let words = "conv 3x3 24, conv 3x5 36 of the image, conv 7x1 48 of 1+2";
    assert_eq!(space.describe(&tokens), words);
    let shorter = space.parse("3,3,24 / 3,5,36,1").unwrap();
    assert_eq!(space.format(&shorter), "3,3,24 / 3,5,36,1");
    assert_eq!(space.at_depth(2).unwrap().parse("3,3,24 / 3,5,36,1").unwrap(), shorter);
}

#[test]
fn without_skips_every_depth_is_written_with_commas() {
    let deep = space("count = 4\nmin_count = 2\nkernel = [1, 3]\nfilters = [8, 16]");
    let tokens = deep.parse("1,8,3,16,3,8").unwrap();
    assert_eq!(deep.format(&tokens), "1,8,3,16,3,8");
    assert_eq!(deep.at_depth(3).unwrap().parse("1,8,3,16,3,8").unwrap(), tokens);
    for refused in ["1,8", "1,8,3,16,3", "1,8,3,16,3,8,3,8,3,8"] {
        assert!(matches!(deep.parse(refused), Err(SpaceError::TokenCount { .. })), "{refused}");
    }
}

#[test]
fn what_is_written_wrongly_is_refused_in_words() {
    let space = Space::open("nas-rl-cnn").unwrap().at_depth(6).unwrap();
    let good = ["3,3,24", "3,3,24,1", "3,3,24,01", "3,3,24,001", "3,3,24,0001", "3,3,24,00001"];
    assert!(space.parse(&good.join("/")).is_ok());
    for (layer, text, words) in [
        (
            0,
            "3,2,24",
            "token 2 (layer1.kernel_width) is \"2\", which is not one of its values: 1, 3, 5, 7",
        ),
        (
            1,
            "3,3,24",
            "layer2: found 3 tokens, expected 4: kernel_height, kernel_width, filters, skips",
        ),
        (
            2,
            "3,3,24,0,1",
            "layer3: skips are \"0\", expected 2 digits, 1 for each earlier layer that it reads and 0 for the others",
        ),
        (
            2,
            "3,3,24,02",
            "layer3: skips are \"02\", expected 2 digits, 1 for each earlier layer that it reads and 0 for the others",
        ),
        (
            5,
            "3,3,24,00001,1",
            "layer6: found 5 tokens, expected 4: kernel_height, kernel_width, filters, skips",
        ),
        (5, "3,3,24,00001/", "found 7 layers, but the networks of space nas-rl-cnn have 6"),
    ] {
        let mut parts = good;
        parts[layer] = text;
        assert_eq!(space.parse(&parts.join("/")).unwrap_err().to_string(), words);
    }
    let deeper = Space::open("nas-rl-cnn").unwrap();
    let words = "found 1 layers, but the networks of space nas-rl-cnn have 6 to 20";
    assert_eq!(deeper.parse("3,3,24").unwrap_err().to_string(), words);
    assert!(matches!(deeper.at_depth(5), Err(SpaceError::Depth { found: 5, .. })));
    let part = deeper.at_depths(8..=10).unwrap();
    assert_eq!((part.depths(), part.count()), (8..=10, deeper.at_depth(10).unwrap().count()));
    assert_eq!(part.at_depth(9).unwrap(), deeper.at_depth(9).unwrap());
    for (depths, wrong) in [(5..=8, 5), (8..=21, 21), (RangeInclusive::new(9, 8), 8)] {
        let refused = deeper.at_depths(depths);
        assert!(matches!(refused, Err(SpaceError::Depth { found, .. }) if found == wrong));
    }
    assert!(matches!(
        part.at_depth(6),
        Err(SpaceError::Depth { found: 6, least: 8, most: 10, .. })
    ));
}

#[test]
fn layers_read_what_their_bits_say_and_loose_ends_reach_the_head() {
    let space = space("count = 4\nkernel = [1, 3]\nfilters = [8, 16]\nskips = [\"off\", \"on\"]");
    let graph = build(&space, "1,8 / 3,16,1 / 1,8,00 / 3,8,101");
    assert_eq!(inputs(&graph, "layer1.conv"), ["input"]);
    assert_eq!(inputs(&graph, "layer2.conv"), ["layer1.activation"]);
    assert_eq!(inputs(&graph, "layer3.conv"), ["input"]);
    assert_eq!(inputs(&graph, "layer4.concat"), ["layer1.activation", "layer3.activation"]);
    assert_eq!(inputs(&graph, "layer4.conv"), ["layer4.concat"]);
    assert_eq!(inputs(&graph, "head.concat"), ["layer2.activation", "layer4.activation"]);
    assert_eq!(shape(&graph, "head.concat"), [32, 32, 24]);
    assert_eq!(inputs(&graph, "head.pool"), ["head.concat"]);
}

#[test]
fn smaller_results_get_zeros_around_them() {
    let space = space(
        "count = 3\nkernel = [1, 3]\nfilters = 8\nstride = [1, 2, 3]\nskips = [\"off\", \"on\"]",
    );
    let graph = build(&space, "3,1 / 3,3,1 / 1,1,11");
    assert_eq!(shape(&graph, "layer2.activation"), [11, 11, 8]);
    assert_eq!(inputs(&graph, "layer3.concat"), ["layer1.activation", "layer3.pad2"]);
    let pad = graph.nodes().iter().find(|node| node.name == "layer3.pad2").unwrap();
    assert_eq!(pad.op, Op::ZeroPad(Sides { top: 10, bottom: 11, left: 10, right: 11 }));
    assert_eq!(shape(&graph, "layer3.concat"), [32, 32, 16]);
}

#[test]
fn skips_can_be_fixed() {
    let chain = space("count = 4\nkernel = [1, 3]\nfilters = 8\nskips = \"off\"");
    let graph = build(&chain, "1,1,1,1");
    assert_eq!(inputs(&graph, "layer4.conv"), ["layer3.activation"]);
    let dense = space("count = 4\nkernel = [1, 3]\nfilters = 8\nskips = \"on\"");
    let graph = build(&dense, "1,1,1,1");
    let all = ["layer1.activation", "layer2.activation", "layer3.activation"];
    assert_eq!(inputs(&graph, "layer4.concat"), all);
    assert_eq!(inputs(&graph, "head.pool"), ["layer4.activation"]);
}

#[test]
fn a_layer_can_be_a_dense_block() {
    let space = Space::open("nas-rl-cnn-pooling").unwrap().at_depth(6).unwrap();
    let all = "3,3,12 / 3,3,12,1 / 3,3,12,01 / 3,3,12,001 / 3,3,12,0001 / 3,3,12,00001";
    let graph = build(&space, all);
    assert_eq!(inputs(&graph, "layer2.1.conv"), ["layer1.block.concat"]);
    assert_eq!(
        inputs(&graph, "layer2.3.concat"),
        ["layer1.block.concat", "layer2.1.activation", "layer2.2.activation"]
    );
    assert_eq!(shape(&graph, "layer2.block.concat"), [32, 32, 36]);
    assert_eq!(shape(&graph, "layer4.pool"), [16, 16, 36]);
    let convolutions = graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv2d(_)));
    assert_eq!(convolutions.count(), 18);
    let words = space.describe(&space.parse(all).unwrap());
    assert!(words.contains(", 3 dense conv 3x3 12 + max pool 2x2 /2, "), "{words}");
}

#[test]
fn a_pooling_decides_what_poolings_have() {
    let text = include_str!("../examples/layer-types.toml");
    let space = Space::from_toml(text, "layer-types.toml").unwrap().at_depth(4).unwrap();
    let text = "conv,3,16 / max_pool,3,1 / conv,5,32,01 / max_pool,2,101";
    let tokens = space.parse(text).unwrap();
    assert_eq!(space.format(&tokens), text);
    let graph = space.build(&tokens, CIFAR, 10).unwrap();
    assert_eq!(inputs(&graph, "layer2.pool"), ["layer1.activation"]);
    assert_eq!(inputs(&graph, "layer3.conv"), ["layer2.pool"]);
    assert_eq!(inputs(&graph, "layer4.concat"), ["layer1.activation", "layer4.pad3"]);
    assert_eq!(shape(&graph, "layer4.pool"), [16, 16, 48]);
    let words = "conv 3x3 16, max pool 3x3 /3, conv 5x5 32, max pool 2x2 /2 of 1+3";
    assert_eq!(space.describe(&tokens), words);
    let error = space.parse("conv,3 / max_pool,3,1 / conv,5,32,01 / max_pool,2,101").unwrap_err();
    assert_eq!(error.to_string(), "layer1: found 2 tokens, expected 3: type, kernel, filters");
    let mut indices = tokens.as_slice().to_vec();
    indices[5] = 2;
    assert_eq!(space.tokens(indices).unwrap(), tokens, "a kernel that no pooling has");
}

#[test]
fn counting_ranking_and_writing_agree_with_enumeration() {
    let skips = "count = 3\nkernel = [1, 3]\nfilters = [8, 16]\nskips = [\"off\", \"on\"]";
    let types = "count = 2\ntype = [\"max_pool\", \"conv\", \"average_pool\"]\nkernel = [1, 3]\n\
                 filters = [8, 16, 32]\npool_size = [2, 3]\ndropout = [0, 0.5]\n\
                 skips = [\"off\", \"on\"]";
    let pooling = "count = 2\nkernel = [1, 3]\nfilters = 8\npooling = [\"none\", \"max\"]\n\
                   pool_size = [2, 3, 4]";
    // Types: 2 * (2 + 3 * 2 + 2) = 20 a layer; the second has one skip. Pooling: 2 * (1 + 3).
    let spaces = [(skips, 4 * 8 * 16), (types, 20 * 40), (pooling, 8 * 8)];
    for (text, expected) in spaces {
        let space = space(text);
        let all: Vec<Tokens> = space.iter().collect();
        assert_eq!(all.len(), expected);
        assert_eq!(space.count(), BigUint::from(expected));
        assert!(all.is_sorted_by(|a, b| a < b));
        for (rank, tokens) in all.iter().enumerate() {
            assert_eq!(space.unrank(&rank.into()).as_ref(), Some(tokens));
            assert_eq!(space.parse(&space.format(tokens)).unwrap(), *tokens);
            assert!(space.build(tokens, CIFAR, 10).is_ok());
        }
        assert_eq!(space.unrank(&space.count()), None);
    }
}

#[test]
fn the_papers_space_is_counted_exactly() {
    let space = Space::open("nas-rl-cnn").unwrap();
    let expected = |depth: u32| BigUint::from(64_u32).pow(depth) << (depth * (depth - 1) / 2);
    assert_eq!(space.at_depth(6).unwrap().count(), expected(6));
    assert_eq!(space.count(), expected(20));
    let last = space.unrank(&(space.count() - 1_u32)).unwrap();
    assert!(space.format(&last).ends_with(" / 7,7,64,1111111111111111111"));
}

/// Token strings that the repair makes the same network have one hash, and others do not: here a
/// layer's place among those that read the image does not matter.
#[test]
fn what_is_repaired_to_one_network_has_one_hash() {
    let space = space("count = 3\nkernel = [1, 3]\nfilters = 8\nskips = [\"off\", \"on\"]");
    let hash = |tokens: &str| build(&space, tokens).hash();
    assert_eq!(hash("1 / 3,0 / 3,00"), hash("3 / 3,0 / 1,00"));
    assert_eq!(hash("1 / 3,0 / 1,10"), hash("3 / 1,0 / 1,01"));
    assert_ne!(hash("1 / 3,0 / 1,10"), hash("1 / 3,0 / 1,01"));
    assert_ne!(hash("1 / 3,1 / 1,11"), hash("1 / 3,1 / 1,01"));
    let all: Vec<Tokens> = space.iter().collect();
    let mut classes: HashMap<_, Vec<&Tokens>> = HashMap::new();
    for tokens in &all {
        let graph = space.build(tokens, CIFAR, 10).unwrap();
        classes.entry(graph.hash()).or_default().push(tokens);
    }
    let shapes: HashSet<_> = all.iter().map(|tokens| isomorphism_class(&space, tokens)).collect();
    assert_eq!(classes.len(), shapes.len());
}

/// The smallest description of a network of three layers over all orders of its layers: kernel and
/// sources of each.
fn isomorphism_class(space: &Space, tokens: &Tokens) -> Vec<(u16, Vec<usize>)> {
    let bits = tokens.as_slice();
    assert_eq!(space.decisions().len(), 6);
    let kernels = [bits[0], bits[1], bits[3]];
    let sources = [vec![], vec![bits[2]], vec![bits[4], bits[5]]];
    let reads = |layer: usize, source: usize| sources[layer].get(source) == Some(&1);
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let describe = |order: &[usize; 3]| {
        let layer = |&layer: &usize| {
            let from = (0..3).filter(|&place| reads(layer, order[place])).collect();
            (kernels[layer], from)
        };
        order.iter().map(layer).collect::<Vec<_>>()
    };
    orders.iter().map(describe).min().unwrap()
}

proptest! {
    #[test]
    fn every_token_string_of_every_depth_builds(rank: u64, depth in 6_usize..=20) {
        for name in ["nas-rl-cnn", "nas-rl-cnn-strides"] {
            let deep = Space::open(name).unwrap();
            let space = deep.at_depth(depth).unwrap();
            let spread = BigUint::from(rank).pow(9) % space.count();
            let tokens = space.unrank(&spread).unwrap();
            let text = space.format(&tokens);
            prop_assert_eq!(&deep.parse(&text).unwrap(), &tokens);
            prop_assert_eq!(&deep.format(&tokens), &text);
            prop_assert_eq!(deep.describe(&tokens), space.describe(&tokens));
            let graph = deep.build(&tokens, CIFAR, 10).unwrap();
            prop_assert_eq!(&graph, &space.build(&tokens, CIFAR, 10).unwrap());
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,40}|([0-9,]{0,8} ?/ ?){5,7}") {
        let space = Space::open("nas-rl-cnn").unwrap();
        if let Ok(tokens) = space.parse(&text) {
            prop_assert_eq!(space.format(&tokens).replace(' ', ""), text.replace(' ', ""));
        }
    }
}
