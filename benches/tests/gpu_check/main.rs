//! The blocks of `gpu-check` on the emulator, at sizes that are small: that they run, agree and
//! write what they should, not how fast anything is.

mod profile;
mod search;
mod tiles;

use std::fs;
use std::io;
use std::time::Duration;

use nasrl_benches::case::{Shapes, Work};
use nasrl_benches::gpu_check::{
    self, Block, Budget, CeilingSizes, Ceilings, Check, CheckError, ChildSizes, ConcurrencySizes,
    LaunchSizes, Loops, OperationSizes, ProfileSizes, Profiled, Report, Request, Sampling,
    SearchSizes, Sizes, ceilings, concurrency, doctor, exit_status, instructions, launches,
    operations, parity, run as run_blocks, steps,
};
use nasrl_child::recipe::Precision;
use nasrl_space::Image;
use nasrl_tensor::{Cuda, DType};
use nasrl_tests::emulated;
use serde_json::Value;
use tempfile::TempDir;

/// Of one repeat each.
const SAMPLING: Sampling =
    Sampling { samples: 2, sample: Duration::ZERO, warm_up: Duration::ZERO, recorded: 1 };

/// Two samples of everything.
fn small() -> Sizes {
    let image = Image { height: 8, width: 8, channels: 3 };
    let children = vec!["1,16,3,16,1,16,1,16".to_owned()];
    Sizes {
        sampling: SAMPLING,
        ceilings: CeilingSizes {
            copies: vec![4_000, 64_000],
            cached: vec![20_000],
            loops: Loops { blocks: 3, rounds: 2 },
            products: vec![40],
        },
        launches: LaunchSizes { chains: vec![2, 5], forks: vec![3] },
        operations: OperationSizes { shapes: Shapes::Small, dtypes: vec![DType::F32, DType::BF16] },
        tiles: tiles::small(),
        steps: ChildSizes {
            children: children.clone(),
            image,
            batches: vec![3],
            precisions: vec![Precision::F32, Precision::Bf16],
            pass: 3,
        },
        concurrency: ConcurrencySizes {
            children,
            image,
            batch: 2,
            precision: Precision::Bf16,
            jobs: vec![1, 2],
            steps: 1,
        },
        profile: ProfileSizes {
            profiler: "a profiler that is nowhere".into(),
            kernels: vec![Profiled {
                case: "conv2d fprop 3 of 3x3 16-24 on 16x16 bf16".to_owned(),
                kernel: "regex:^conv2d_gather_".to_owned(),
            }],
        },
        search: SearchSizes { data: "embedded".to_owned(), trials: 2, epochs: 1, jobs: 2 },
    }
}

/// Runs a block on the emulated GPU and returns its result and its lines.
fn run<T>(block: Block, run: impl FnOnce(&mut Check<'_>) -> T) -> Option<(T, Vec<Value>)> {
    let cuda: Cuda = emulated().pop()?;
    let folder = TempDir::new().unwrap();
    let mut report = Report::new(folder.path(), io::sink());
    let (sizes, budget) = (small(), Budget::new(Duration::MAX));
    let mut check = Check { cuda: &cuda, ordinal: 0, sizes: &sizes, report: &mut report, budget };
    let result = run(&mut check);
    Some((result, lines(&folder, block)))
}

fn lines(folder: &TempDir, block: Block) -> Vec<Value> {
    let path = folder.path().join(format!("{}.jsonl", block.name()));
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {line}"))
}

#[test]
fn the_doctor_finds_the_emulator() {
    let Some((findings, lines)) = run(Block::Doctor, |check| doctor(check.report).unwrap()) else {
        return;
    };
    assert_eq!(lines.len(), findings.len());
    for what in ["driver", "GPU", "NVRTC"] {
        let found = findings.iter().find(|finding| finding.what == what).unwrap();
        assert!(found.usable, "{found:?}");
    }
    // Results are committed: they say nothing of the machine's folders.
    assert!(findings.iter().all(|finding| !finding.words.contains('/')), "{findings:?}");
}

#[test]
fn every_instruction_gives_what_it_should() {
    let Some((failures, lines)) = run(Block::Instructions, |check| instructions(check).unwrap())
    else {
        return;
    };
    assert_eq!(failures, 0, "{lines:#?}");
    assert_eq!(lines.len(), 11);
    assert!(lines.iter().all(|line| number(line, "results") >= 64.0), "{lines:#?}");
}

#[test]
fn every_operation_agrees_with_the_processor() {
    let Some((verdicts, lines)) = run(Block::Parity, |check| parity(check).unwrap()) else {
        return;
    };
    let differing: Vec<_> = lines.iter().filter(|line| line["agree"] == false).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!((verdicts.differ, verdicts.skipped), (0, 0));
    // The last line is the sum.
    assert_eq!(lines.len(), verdicts.agree + 1);
    let names: std::collections::BTreeSet<_> =
        lines.iter().filter_map(|line| line["operation"].as_str()).collect();
    let all = nasrl_benches::operations::operations::<Cuda>();
    assert_eq!(names.len(), all.len(), "{names:?}");
}

#[test]
fn ceilings_are_those_of_the_lines() {
    let Some((ceilings, lines)) = run(Block::Ceilings, |check| ceilings(check).unwrap()) else {
        return;
    };
    let of = |what: &str| lines.iter().filter(|line| line["what"] == what).collect::<Vec<_>>();
    assert_eq!((of("copy").len(), of("cache").len(), of("product").len()), (2, 1, 2));
    // Two rounds, and in each block eight warps.
    let flops = 3.0 * 2.0 * 8.0;
    let tiles = [8 * 16 * 8 * 16, 64 * 64 * 64, 64 * 32 * 64, 32 * 64 * 64];
    assert_eq!(of("tensor_cores").len(), tiles.len());
    for (line, tile) in of("tensor_cores").into_iter().zip(tiles) {
        let rate = 2.0 * flops * f64::from(tile) / number(&line["timing"], "median_us") * 1e-3;
        assert!((number(line, "gflop_per_s") / rate - 1.0).abs() < 1e-9, "{line}");
    }
    let (moved, rate) = ceilings.bandwidth[1];
    assert_eq!(moved, 128_000);
    for (rate, line, key) in [
        (Some(rate), of("copy")[1], "gb_per_s"),
        (ceilings.bf16, of("product")[0], "gflop_per_s"),
        (ceilings.f32, of("product")[1], "gflop_per_s"),
    ] {
        // serde_json reads numbers to within a bit.
        assert!((rate.unwrap() / number(line, key) - 1.0).abs() < 1e-12, "{rate:?} {line}");
    }
}

#[test]
fn launches_are_chains_graphs_and_forks() {
    let Some((_, lines)) = run(Block::Launches, |check| launches(check).unwrap()) else { return };
    let found: Vec<_> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    let [chain, fork] = [["stream", "graph", "dependent_graph"].as_slice(), &["fork"]];
    assert_eq!(found, [chain, chain, fork].concat());
    for (line, kernels) in lines.iter().zip([2.0, 2.0, 2.0, 5.0, 5.0, 5.0]) {
        assert_eq!(number(line, "kernels"), kernels);
        let each = number(&line["timing"], "median_us") / kernels;
        assert!((number(line, "us_per_kernel") / each - 1.0).abs() < 1e-9, "{line}");
    }
    assert_eq!(number(&lines[6], "forks"), 3.0);
    assert!(number(&lines[6]["timing"], "median_us") > 0.0);
}

#[test]
fn a_floor_is_the_longer_of_computing_and_moving() {
    let ceilings =
        Ceilings { bandwidth: vec![(1_000, 10.0), (1_000_000, 2.0)], bf16: Some(500.0), f32: None };
    let floor = |dtype, flops, bytes| ceilings.floor_us(dtype, Work { flops, bytes });
    assert_eq!(floor(DType::BF16, 0, 2_000), Some(0.2));
    assert_eq!(floor(DType::BF16, 0, 2_000_000), Some(1_000.0));
    assert_eq!(floor(DType::BF16, 1_000_000, 2_000), Some(2.0));
    assert_eq!(floor(DType::F32, 1, 2_000), None);
    assert_eq!(Ceilings::default().floor_us(DType::BF16, Work { flops: 0, bytes: 1 }), None);
}

#[test]
fn operations_are_timed_against_ceilings() {
    let known = Ceilings { bandwidth: vec![(1_000, 10.0)], bf16: Some(500.0), f32: Some(50.0) };
    let Some((failures, lines)) =
        run(Block::Operations, |check| operations(check, &known).unwrap())
    else {
        return;
    };
    assert_eq!(failures, 0, "{lines:#?}");
    assert!(lines.len() > 100);
    // Some allocate, which cannot be recorded.
    let in_graph = lines.iter().filter(|line| line["graph_us"].as_f64().is_some_and(|us| us > 0.0));
    assert!(10 * in_graph.count() > 9 * lines.len());
    for line in &lines {
        let percent = 100.0 * number(line, "ceiling_us") / number(&line["timing"], "median_us");
        assert!((number(line, "percent_of_ceiling") - percent).abs() <= 1e-9 * percent, "{line}");
        assert_eq!(number(&line["timing"], "samples"), 2.0);
    }
}

#[test]
fn steps_are_timed() {
    let Some((failures, lines)) = run(Block::Steps, |check| steps(check).unwrap()) else { return };
    assert_eq!(failures, 0, "{lines:#?}");
    let precisions: Vec<_> = lines.iter().map(|line| line["precision"].clone()).collect();
    assert_eq!(precisions, ["f32", "bf16"]);
    for line in &lines {
        let images = 3e6 / number(&line["timing"], "median_us");
        assert!((number(line, "images_per_s") / images - 1.0).abs() < 1e-9, "{line}");
    }
}

#[test]
fn children_side_by_side_end_with_the_same_bits() {
    let Some((failures, lines)) = run(Block::Concurrency, |check| concurrency(check).unwrap())
    else {
        return;
    };
    assert_eq!(failures, 0, "{lines:#?}");
    let jobs: Vec<_> = lines.iter().map(|line| number(line, "jobs")).collect();
    assert_eq!(jobs, [1.0, 2.0]);
    assert!(lines.iter().all(|line| line["same_bits"] == true));
}

#[test]
fn what_fails_is_a_line_and_counts() {
    let Some((failures, lines)) = run(Block::Steps, |check| {
        let mut sizes = check.sizes.clone();
        sizes.steps.children.insert(0, "1,16".to_owned());
        steps(&mut Check { sizes: &sizes, report: check.report, ..*check }).unwrap()
    }) else {
        return;
    };
    assert_eq!((failures, lines.len()), (2, 4));
    let problem = lines[0]["problem"].as_str().unwrap();
    assert!(problem.starts_with("child 1,16: "), "{problem}");
}

fn request(blocks: &[Block]) -> Request {
    let budget = Budget::new(Duration::MAX);
    Request { blocks: blocks.to_vec(), ordinal: 0, sizes: small(), data: None, budget }
}

#[test]
fn the_status_tells_what_came_of_it() {
    let Some(cuda) = emulated().pop() else { return };
    let folder = TempDir::new().unwrap();
    let status = |request: &Request, cuda| {
        exit_status(&run_blocks(request, cuda, &mut Report::new(folder.path(), io::sink())))
    };
    let good = request(&[Block::Instructions, Block::Launches]);
    assert_eq!(status(&good, Ok(cuda.new_stream().unwrap())), 0);
    let ends = [Block::Instructions, Block::Launches].map(|block| lines(&folder, block).pop());
    for end in ends.map(Option::unwrap) {
        assert_eq!((number(&end, "failures"), &end["in_time"]), (0.0, &Value::Bool(true)), "{end}");
    }

    // A block that fails as a whole, one whose lines say what failed, and one after them.
    let mut bad = request(&[Block::Search, Block::Steps, Block::Launches]);
    bad.data = Some(folder.path().join("missing"));
    bad.sizes.steps.children = vec!["1,16".to_owned()];
    assert_eq!(status(&bad, Ok(cuda.new_stream().unwrap())), 1);
    let problem = lines(&folder, Block::Search).pop().unwrap();
    assert!(problem["problem"].as_str().unwrap().starts_with("the search: "), "{problem}");
    assert_eq!(number(&lines(&folder, Block::Steps).pop().unwrap(), "failures"), 2.0);
    assert_eq!(lines(&folder, Block::Launches).len(), 8);
    let summary = fs::read_to_string(folder.path().join("summary.md")).unwrap();
    assert!(summary.contains("| steps |") && summary.contains("## Launches"), "{summary}");

    let none = || Err(Cuda::new(usize::MAX).unwrap_err());
    assert_eq!(status(&request(&[Block::Launches]), none()), 2);
    assert_eq!(status(&request(&[Block::Doctor]), none()), 2);
    assert_eq!(exit_status(&Err(CheckError::NoGraph)), 1);
}

/// What a block leaves of its share is the later ones', and all together take no more than there is.
#[test]
fn eight_minutes_are_shared_out() {
    let shares: u32 = Block::ALL.iter().map(|block| block.seconds()).sum();
    assert_eq!(shares, 480);
}

#[test]
fn nothing_is_begun_when_the_time_is_over() {
    let Some(cuda) = emulated().pop() else { return };
    let folder = TempDir::new().unwrap();
    let mut report = Report::new(folder.path(), io::sink());
    let (sizes, budget) = (small(), Budget::new(Duration::ZERO));
    let mut check = Check { cuda: &cuda, ordinal: 0, sizes: &sizes, report: &mut report, budget };
    let verdicts = parity(&mut check).unwrap();
    assert!(verdicts.skipped > 100 && verdicts.agree == 0);
    assert_eq!((steps(&mut check).unwrap(), gpu_check::tiles(&mut check).unwrap()), (0, 0));
    gpu_check::profile(&mut check).unwrap();
    assert_eq!(gpu_check::search(&mut check).unwrap(), 0);
    launches(&mut check).unwrap();
    assert_eq!(ceilings(&mut check).unwrap(), Ceilings::default());
    assert_eq!(lines(&folder, Block::Parity).len(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
