//! A search of six small children on 64 images of 8x8, in a folder of its own.

use std::fs;
use std::path::Path;

use nasrl_search::config::{Config, Layers};
use nasrl_search::problem::Problem;
use nasrl_search::run::{Existing, Recorder, RunDirectory};
use nasrl_search::scheduler::{Ending, Listener, SearchError};
use nasrl_search::search::search;
use nasrl_search::{Stop, Trial};
use nasrl_tests::Inputs;

const SIDE: usize = 8;

/// Writes the images and the space that [`run`] needs into a folder.
pub(crate) fn prepare(folder: &Path, filters: [usize; 2]) {
    write_images(folder);
    let space = format!(
        "name = \"tiny\"\n[layers]\ncount = 2\nkernel = [1, 3]\nfilters = {filters:?}\nstride = 2\n\
         batch_norm = [\"off\", \"on\"]\n"
    );
    fs::write(folder.join("tiny.toml"), space).unwrap();
}

/// Searches on a device with so many jobs, in the run of a name, which is gone on with if there is
/// one.
pub(crate) fn run(
    (folder, name): (&Path, &str),
    (device, jobs): (&str, usize),
    listener: &mut dyn Listener,
) -> Result<Ending, SearchError> {
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
    let path = folder.join(name);
    let run = match path.exists() {
        true => RunDirectory::open(&path).unwrap(),
        false => RunDirectory::create(&path, &config, &problem, Existing::Refuse).unwrap(),
    };
    let opened = Recorder::open(&run, run.ledger().unwrap(), problem.space(), 0);
    let (mut recorder, known) = opened.unwrap();
    search(&config, &problem, (&mut recorder, known), &Stop::new(), listener)
}

/// The trials of a search that comes to its end.
pub(crate) fn trials(run_of: (&Path, &str), on: (&str, usize)) -> Vec<Trial> {
    run(run_of, on, &mut ()).unwrap().trials
}

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
