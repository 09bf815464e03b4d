//! A search whose children and controller compute on the emulated GPU.

use std::fs;
use std::path::Path;

use nasrl_search::config::{Config, Layers};
use nasrl_search::problem::Problem;
use nasrl_search::run::{Existing, Recorder, RunDirectory};
use nasrl_search::search::search;
use nasrl_search::{Status, Stop, Trial};
use nasrl_tests::{Inputs, emulated};

const SPACE: &str = "
name = \"tiny\"
[layers]
count = 2
kernel = [1, 3]
filters = [4, 8]
stride = 2
batch_norm = [\"off\", \"on\"]
";

const SIDE: usize = 8;

/// Images of two classes, the one brighter than the other, as IDX files.
fn write_images(folder: &Path) {
    let mut inputs = Inputs::new(1);
    for (name, count) in [("train", 64), ("t10k", 16)] {
        let labels: Vec<u8> = (0..count).map(|index| (index % 2) as u8).collect();
        let pixels = inputs.indices(count * SIDE * SIDE, 128);
        let pixels = pixels.into_iter().enumerate().map(|(index, pixel)| {
            let label = labels[index / (SIDE * SIDE)];
            pixel as u8 + 96 * label
        });
        let header = |magic: u32, extents: &[usize]| -> Vec<u8> {
            let extents = extents.iter().map(|&extent| extent as u32);
            std::iter::once(magic).chain(extents).flat_map(u32::to_be_bytes).collect()
        };
        let images = [header(0x803, &[count, SIDE, SIDE]), pixels.collect()].concat();
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        let labels = [header(0x801, &[count]), labels].concat();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// The trials of a search of six with these settings.
fn trials(folder: &Path, device: &str, jobs: usize) -> Vec<Trial> {
    let mut layers = Layers::new();
    for (key, value) in [
        ("space", folder.join("tiny.toml").display().to_string()),
        ("data", folder.display().to_string()),
        ("device", device.to_owned()),
    ] {
        layers.set(key, value, "the test").unwrap();
    }
    for assignment in ["trials=6", "recipe.epochs=2", "recipe.batch=16", "baseline=none", "lag=1"] {
        layers.assignment(assignment).unwrap();
    }
    layers.assignment(&format!("jobs={jobs}")).unwrap();
    let mut config: Config = layers.resolve().unwrap();
    let problem = Problem::open(&mut config).unwrap();
    let path = folder.join(format!("{}-{jobs}", device.replace(':', "-")));
    let run = RunDirectory::create(&path, &config, &problem, Existing::Refuse).unwrap();
    let opened = Recorder::open(&run, run.ledger().unwrap(), problem.space(), 0);
    let (mut recorder, known) = opened.unwrap();
    let stop = Stop::new();
    search(&config, &problem, (&mut recorder, known), &stop, &mut ()).unwrap().trials
}

#[test]
fn a_search_finds_on_the_gpu_what_it_finds_on_the_processor() {
    if emulated().is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), SPACE).unwrap();
    write_images(folder.path());
    let expected = trials(folder.path(), "cpu", 1);
    assert_eq!(expected.len(), 6);
    for (device, jobs) in [("cuda", 1), ("cuda", 2), ("cuda:all", 2)] {
        let found = trials(folder.path(), device, jobs);
        for (found, expected) in found.iter().zip(&expected) {
            let of = |trial: &Trial| (trial.status, trial.proposed.tokens.clone(), trial.reward);
            assert_eq!(of(found), of(expected), "{device}, {jobs} jobs");
            assert_eq!(found.status, Status::Done);
            let device = found.clock.evaluated_on.as_deref().unwrap();
            assert!(device.starts_with("cuda:"), "{device}");
        }
        assert_eq!(found.len(), expected.len());
    }
}
