//! Graphs as drawings.

use nasrl_space::{Image, Space};

fn sketch(space: &str, tokens: &str) -> String {
    let space = Space::open(space).unwrap();
    let tokens = space.parse(tokens).unwrap();
    space.build(&tokens, Image { height: 32, width: 32, channels: 3 }, 10).unwrap().sketch()
}

/// The drawing without its columns of numbers.
fn rails(drawing: &str) -> Vec<String> {
    let line = |line: &str| line.split("conv").next().unwrap().trim_end().to_owned();
    drawing.lines().skip(1).map(line).collect()
}

#[test]
fn rails_run_from_a_layer_to_those_that_read_it() {
    let drawing = sketch(
        "nas-rl-cnn",
        "3,3,24 / 3,5,36,1 / 7,1,48,01 / 1,1,24,101 / 3,3,64,1110 / 5,5,24,01010",
    );
    let expected =
        "         layer   operations                          shape  parameters      FLOPs
●        input                                     32x32x3
●        layer1  conv 3x3 24 + batch norm + relu  32x32x24         696    1327104
├─●      layer2  conv 3x5 36 + batch norm + relu  32x32x36       13032   26542080
│ ├─●    layer3  conv 7x1 48 + batch norm + relu  32x32x48       12192   24772608
├─│─┼─●  layer4  conv 1x1 24 + batch norm + relu  32x32x24        1776    3538944
●─┼─╯ │  layer5  conv 3x3 64 + batch norm + relu  32x32x64       62336  127401984
│ ●───╯  layer6  conv 5x5 24 + batch norm + relu  32x32x24       36048   73728000
●─╯      head    global average pool + dense 10     1x1x10         890       1760
";
    assert_eq!(drawing, expected);
}

#[test]
fn a_chain_is_one_rail_and_loose_ends_meet_in_the_head() {
    let chain = rails(&sketch("reference", "3,64,3,64,3,32,3,64"));
    assert_eq!(chain[1..4], ["●  layer1", "●  layer2", "●  layer3"]);
    let loose = rails(&sketch("nas-rl-cnn", &loose_layers()));
    assert_eq!(loose[5], "├─│─│─│─│─●  layer5");
    assert_eq!(loose[6], "● │ │ │ │ │  layer6");
    assert!(loose[7].starts_with("●─┴─┴─┴─┴─╯  head "), "{}", loose[7]);
}

fn loose_layers() -> String {
    let layer = |index: usize| format!("3,3,24,{}", "0".repeat(index));
    let layers: Vec<String> = (1..6).map(layer).collect();
    format!("3,3,24 / {}", layers.join(" / "))
}

#[test]
fn a_block_is_drawn_convolution_by_convolution() {
    let tokens = "3,3,12 / 3,3,12,1 / 3,3,12,01 / 3,3,12,001 / 3,3,12,0001 / 3,3,12,11111";
    let drawing = sketch("nas-rl-cnn-pooling", tokens);
    let rails: Vec<&str> = drawing.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(rails[1..6], ["●", "├─●", "├─┼─●", "●─┼─┤", "●─┴─╯"]);
    assert!(drawing.lines().any(|line| line.contains("layer6.block  concat ")), "{drawing}");
}
