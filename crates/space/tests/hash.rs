//! The identity of an architecture: what it ignores, and what it must tell apart.

use std::collections::{HashMap, HashSet};

use nasrl_space::{
    Activation, ArchitectureHash, Conv2d, ConvolutionKind, Dense, Dropout, Extent, GraphBuilder,
    Image, NodeId, Op, Padding, Pool, PoolKind, Sides, Space,
};

const IMAGE: Image = Image { height: 9, width: 9, channels: 4 };
const RELU: Op = Op::Activation(Activation::Relu);

const CONV: Conv2d = Conv2d {
    kind: ConvolutionKind::Full { filters: 4 },
    kernel: Extent::square(3),
    stride: Extent::square(1),
    dilation: Extent::square(1),
    padding: Padding::Same,
    bias: true,
};

/// The hash of a graph written as operations and the positions of their inputs; 0 is the input
/// image, 1 the first operation, and so on. The last is the output.
fn hash(nodes: &[(Op, &[usize])]) -> ArchitectureHash {
    let mut builder = GraphBuilder::new(IMAGE).unwrap();
    let mut ids = vec![builder.input()];
    for (op, inputs) in nodes {
        let inputs: Vec<_> = inputs.iter().map(|&input| ids[input]).collect();
        ids.push(builder.add(format!("node{}", ids.len()), *op, &inputs).unwrap());
    }
    builder.finish(ids[ids.len() - 1]).hash()
}

fn single(op: Op) -> ArchitectureHash {
    hash(&[(op, &[0])])
}

fn conv(change: impl FnOnce(&mut Conv2d)) -> Op {
    let mut conv = CONV;
    change(&mut conv);
    Op::Conv2d(conv)
}

fn pool(size: usize, stride: usize) -> Op {
    let (size, stride) = (Extent::square(size), Extent::square(stride));
    Op::Pool(Pool { kind: PoolKind::Average, size, stride, padding: Padding::Same })
}

#[test]
fn names_do_not_matter() {
    let named = |name: &str| {
        let mut builder = GraphBuilder::new(IMAGE).unwrap();
        let node = builder.add(name, RELU, &[builder.input()]).unwrap();
        builder.finish(node).hash()
    };
    assert_eq!(named("a"), named("b"));
}

#[test]
fn every_option_matters() {
    let ops = [
        Op::Conv2d(CONV),
        conv(|c| c.kind = ConvolutionKind::Full { filters: 5 }),
        conv(|c| c.kind = ConvolutionKind::Depthwise),
        conv(|c| c.kernel = Extent { height: 3, width: 5 }),
        conv(|c| c.kernel = Extent { height: 5, width: 3 }),
        conv(|c| c.stride = Extent { height: 2, width: 1 }),
        conv(|c| c.stride = Extent { height: 1, width: 2 }),
        conv(|c| c.dilation = Extent { height: 2, width: 1 }),
        conv(|c| c.dilation = Extent { height: 1, width: 2 }),
        conv(|c| c.padding = Padding::Valid),
        conv(|c| c.padding = Padding::Explicit(Sides { top: 2, bottom: 0, left: 1, right: 1 })),
        conv(|c| c.padding = Padding::Explicit(Sides { top: 0, bottom: 2, left: 1, right: 1 })),
        conv(|c| c.padding = Padding::Explicit(Sides { top: 1, bottom: 1, left: 2, right: 0 })),
        conv(|c| c.bias = false),
        RELU,
        Op::Activation(Activation::Tanh),
        Op::Activation(Activation::Sigmoid),
        Op::BatchNorm,
        pool(3, 1),
        pool(2, 1),
        pool(3, 2),
        Op::Pool(Pool {
            kind: PoolKind::Max,
            size: Extent::square(3),
            stride: Extent::square(1),
            padding: Padding::Same,
        }),
        Op::GlobalAveragePool,
        Op::Dense(Dense { units: 2 }),
        Op::Dense(Dense { units: 3 }),
        Op::Dropout(Dropout { rate: 0.1 }),
        Op::Dropout(Dropout { rate: 0.2 }),
        Op::ZeroPad(Sides { top: 1, bottom: 0, left: 0, right: 0 }),
        Op::ZeroPad(Sides { top: 0, bottom: 1, left: 0, right: 0 }),
        Op::ZeroPad(Sides { top: 0, bottom: 0, left: 1, right: 0 }),
        Op::ZeroPad(Sides { top: 0, bottom: 0, left: 0, right: 1 }),
    ];
    let distinct: HashSet<_> = ops.into_iter().map(single).collect();
    assert_eq!(distinct.len(), ops.len());
    let chained = hash(&[(RELU, &[0]), (Op::Conv2d(CONV), &[1])]);
    assert_ne!(chained, hash(&[(Op::Conv2d(CONV), &[0]), (RELU, &[1])]));
}

#[test]
fn options_without_effect_do_not_matter() {
    let point = |change: fn(&mut Conv2d)| {
        conv(|c| {
            c.kernel = Extent::square(1);
            change(c);
        })
    };
    assert_eq!(single(point(|_| {})), single(point(|c| c.dilation = Extent::square(3))));
    assert_eq!(single(point(|_| {})), single(point(|c| c.padding = Padding::Valid)));
    let around = Padding::Explicit(Sides { top: 1, bottom: 1, left: 1, right: 1 });
    assert_eq!(single(Op::Conv2d(CONV)), single(conv(|c| c.padding = around)));
    let whole = |stride| {
        conv(|c| {
            c.kernel = Extent::square(9);
            c.padding = Padding::Valid;
            c.stride = Extent::square(stride);
        })
    };
    assert_eq!(single(whole(1)), single(whole(5)));
    // Of two rows below, windows of stride 2 reach only the first.
    let below = |bottom| {
        conv(|c| {
            c.stride = Extent::square(2);
            c.padding = Padding::Explicit(Sides { top: 1, bottom, left: 1, right: 1 });
        })
    };
    assert_eq!(single(below(1)), single(below(2)));
}

#[test]
fn steps_that_change_nothing_do_not_matter() {
    let plain = hash(&[(RELU, &[0]), (Op::Conv2d(CONV), &[1])]);
    for nothing in [
        Op::Dropout(Dropout { rate: 0.0 }),
        pool(1, 1),
        Op::Add,
        Op::Concat,
        Op::ZeroPad(Sides::default()),
    ] {
        let nodes: [(Op, &[usize]); 3] = [(RELU, &[0]), (nothing, &[1]), (Op::Conv2d(CONV), &[2])];
        assert_eq!(hash(&nodes), plain, "{nothing}");
        assert_eq!(single(nothing), hash(&[(Op::Add, &[0])]), "{nothing}");
    }
    let twice = hash(&[(Op::GlobalAveragePool, &[0]), (Op::GlobalAveragePool, &[1])]);
    assert_eq!(single(Op::GlobalAveragePool), twice);
    assert_ne!(single(pool(1, 2)), single(pool(1, 1)));
}

#[test]
fn additions_are_unordered_and_concatenations_where_weights_follow() {
    let two = |op, inputs: &[usize], last: &[Op]| {
        let mut nodes = vec![(Op::Conv2d(CONV), vec![0]), (RELU, vec![0]), (op, inputs.to_vec())];
        for (place, &op) in last.iter().enumerate() {
            let inputs = if op == Op::Add { vec![3 + place; 2] } else { vec![3 + place] };
            nodes.push((op, inputs));
        }
        hash(&nodes.iter().map(|(op, inputs)| (*op, inputs.as_slice())).collect::<Vec<_>>())
    };
    let dense = Op::Dense(Dense { units: 3 });
    let norm = Op::BatchNorm;
    assert_eq!(two(Op::Add, &[1, 2], &[norm]), two(Op::Add, &[2, 1], &[norm]));
    assert_ne!(two(Op::Add, &[1, 2], &[norm]), two(Op::Add, &[1, 1], &[norm]));
    assert_ne!(two(Op::Concat, &[1, 2], &[norm]), two(Op::Concat, &[2, 1], &[norm]));
    assert_eq!(two(Op::Concat, &[1, 2], &[norm, dense]), two(Op::Concat, &[2, 1], &[norm, dense]));
    let added = [norm, Op::Add, dense];
    assert_ne!(two(Op::Concat, &[1, 2], &added), two(Op::Concat, &[2, 1], &added));
}

#[test]
fn one_set_of_weights_used_twice_is_not_two() {
    let conv = Op::Conv2d(CONV);
    let shared = hash(&[(conv, &[0]), (Op::Concat, &[1, 1])]);
    let separate = hash(&[(conv, &[0]), (conv, &[0]), (Op::Concat, &[1, 2])]);
    assert_ne!(shared, separate);
    // The same nodes and as many parameters: only who reads whom differs.
    let first = hash(&[
        (conv, &[0]),
        (conv, &[0]),
        (conv, &[1]),
        (conv, &[1]),
        (Op::Concat, &[1, 2, 3, 4]),
    ]);
    let second = hash(&[
        (conv, &[0]),
        (conv, &[0]),
        (conv, &[1]),
        (conv, &[2]),
        (Op::Concat, &[1, 2, 3, 4]),
    ]);
    assert_ne!(first, second);
    let mask = Op::Dropout(Dropout { rate: 0.5 });
    let shared = hash(&[(mask, &[0]), (Op::Add, &[1, 1])]);
    assert_ne!(shared, hash(&[(mask, &[0]), (mask, &[0]), (Op::Add, &[1, 2])]));
}

#[test]
fn computing_the_same_twice_is_computing_it_once() {
    let once = hash(&[(RELU, &[0]), (Op::Conv2d(CONV), &[1]), (Op::Add, &[1, 2])]);
    let twice = hash(&[(RELU, &[0]), (RELU, &[0]), (Op::Conv2d(CONV), &[2]), (Op::Add, &[1, 3])]);
    assert_eq!(once, twice);
}

#[test]
fn the_input_and_the_written_form() {
    let space = Space::reference();
    let tokens = space.parse("1,16,1,16,1,16,1,16").unwrap();
    let of = |height, classes| {
        space.build(&tokens, Image { height, width: 32, channels: 3 }, classes).unwrap().hash()
    };
    assert_ne!(of(32, 10), of(28, 10));
    assert_ne!(of(32, 10), of(32, 11));
    let text = of(32, 10).to_string();
    assert_eq!((text.len(), text.parse()), (16, Ok(of(32, 10))));
    let all: HashSet<_> =
        space.iter().map(|tokens| space.build(&tokens, IMAGE, 10).unwrap().hash()).collect();
    assert_eq!(all.len(), 1296);
}

#[test]
fn tokens_that_build_one_network_are_one_architecture() {
    let text = "name = 'x'\n[layers]\ncount = 1\nkernel = [1, 3]\nfilters = 4\n\
                padding = ['same', 'valid']";
    let space = Space::from_toml(text, "x").unwrap();
    let hashes: Vec<_> =
        space.iter().map(|tokens| space.build(&tokens, IMAGE, 10).unwrap().hash()).collect();
    assert_eq!(hashes[0], hashes[1], "padding of a kernel of one pixel");
    assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 3);
}

/// A step of the exhaustive test: a convolution of one earlier result, or the sum of two.
#[derive(Clone, Copy)]
enum Step {
    Conv(usize),
    Add(usize, usize),
}

/// Every graph of up to five convolutions and additions, against an identity computed by brute
/// force: number the convolutions in every possible way, write the output as a formula with sorted
/// sums, take the smallest. Equal hashes and equal formulas have to be the same thing.
#[test]
fn hashes_agree_with_brute_force_on_all_small_graphs() {
    let mut by_formula = HashMap::new();
    let mut by_hash = HashMap::new();
    let mut graphs = vec![Vec::new()];
    for length in 1..=5 {
        graphs = graphs.iter().flat_map(|steps| extensions(steps)).collect();
        assert_eq!(graphs.len(), [2, 10, 90, 1260, 25200][length - 1]);
        for steps in &graphs {
            let (formula, hash) = (smallest_formula(steps), hash_of_steps(steps));
            assert_eq!(*by_formula.entry(formula.clone()).or_insert(hash), hash, "{formula}");
            assert_eq!(by_hash.entry(hash).or_insert_with(|| formula.clone()), &formula);
        }
    }
    assert!(by_formula.len() > 1000);
}

fn extensions(steps: &[Step]) -> Vec<Vec<Step>> {
    let inputs = steps.len() + 1;
    let sums = (0..inputs).flat_map(|a| (0..=a).map(move |b| Step::Add(a, b)));
    let next = (0..inputs).map(Step::Conv).chain(sums);
    next.map(|step| [steps, &[step]].concat()).collect()
}

fn hash_of_steps(steps: &[Step]) -> ArchitectureHash {
    let mut builder = GraphBuilder::new(IMAGE).unwrap();
    let mut ids: Vec<NodeId> = vec![builder.input()];
    for step in steps {
        let (op, inputs) = match *step {
            Step::Conv(input) => (Op::Conv2d(CONV), vec![ids[input]]),
            Step::Add(a, b) => (Op::Add, vec![ids[a], ids[b]]),
        };
        ids.push(builder.add(format!("{}", ids.len()), op, &inputs).unwrap());
    }
    builder.finish(ids[ids.len() - 1]).hash()
}

fn smallest_formula(steps: &[Step]) -> String {
    let mut used = vec![false; steps.len() + 1];
    used[steps.len()] = true;
    for (i, step) in steps.iter().enumerate().rev() {
        if used[i + 1] {
            match *step {
                Step::Conv(input) => used[input] = true,
                Step::Add(a, b) => (used[a], used[b]) = (true, true),
            }
        }
    }
    let convs: Vec<_> =
        (0..steps.len()).filter(|&i| used[i + 1] && matches!(steps[i], Step::Conv(_))).collect();
    let formula = |labels: &[usize]| {
        let mut formulas = vec!["x".to_owned()];
        for (i, step) in steps.iter().enumerate() {
            formulas.push(match *step {
                Step::Conv(input) => {
                    let label = convs.iter().position(|&conv| conv == i).map(|at| labels[at]);
                    format!("{}({})", label.unwrap_or(steps.len()), formulas[input])
                }
                Step::Add(a, b) => {
                    let (a, b) = (&formulas[a], &formulas[b]);
                    format!("[{}+{}]", a.min(b), a.max(b))
                }
            });
        }
        formulas.pop().unwrap()
    };
    permutations(convs.len()).iter().map(|labels| formula(labels)).min().unwrap()
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![vec![]] };
    let shorter = permutations(last);
    let inserted = |at: usize| {
        shorter.iter().map(move |rest| {
            let mut all = rest.clone();
            all.insert(at, last);
            all
        })
    };
    (0..count).flat_map(inserted).collect()
}
