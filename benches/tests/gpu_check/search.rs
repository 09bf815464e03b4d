//! A search, and what its files tell of the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nasrl_benches::gpu_check::{Block, Check, Report, Request, Verdict, run as run_blocks, search};
use nasrl_tests::emulated;
use tempfile::TempDir;

use crate::{number, request, run};

#[test]
fn a_search_tries_its_children() {
    let data = TempDir::new().unwrap();
    write_images(data.path(), "train", 20);
    write_images(data.path(), "t10k", 4);
    let Some((failures, lines)) = run(Block::Search, |check| {
        let mut sizes = check.sizes.clone();
        sizes.search.data = data.path().to_str().unwrap().to_owned();
        search(&mut Check { sizes: &sizes, report: check.report, ..*check }).unwrap()
    }) else {
        return;
    };
    assert_eq!(failures, 0, "{lines:#?}");
    assert_eq!((lines.len(), number(&lines[0], "trials")), (1, 2.0));
    assert!((0.0..=1.0).contains(&number(&lines[0], "best_reward")), "{lines:?}");
}

/// Results are committed: no file of a run says where the machine has its images, or anything else.
#[test]
fn results_name_no_folder_of_the_machine() {
    let Some(cuda) = emulated().pop() else { return };
    let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let images = data.path().join("some-images");
    fs::create_dir(&images).unwrap();
    write_images(&images, "train", 20);
    write_images(&images, "t10k", 4);
    let request = Request { data: Some(images), ..request(&[Block::Search]) };
    let mut report = Report::new(folder.path(), io::sink());
    assert_eq!(run_blocks(&request, Ok(cuda), &mut report).unwrap(), Verdict::Good);
    let names = [data.path(), folder.path()].map(|path| path.to_str().unwrap().to_owned());
    let files = files(folder.path());
    assert!(files.len() > 3, "{files:?}");
    for file in &files {
        let bytes = fs::read(file).unwrap();
        for name in &names {
            let found = bytes.windows(name.len()).any(|window| window == name.as_bytes());
            let text = String::from_utf8_lossy(&bytes);
            assert!(!found, "{name} is in {}: {text}", file.display());
        }
    }
    let config = fs::read_to_string(folder.path().join("search/config.toml")).unwrap();
    assert!(config.contains("some-images"), "{config}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Grey images of 8x8 and labels of two classes, as IDX files.
fn write_images(folder: &Path, part: &str, count: u32) {
    let side = 8_u32;
    let header =
        |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let mut images = header(&[0x0803, count, side, side]);
    images.extend((0..count * side * side).map(|pixel| (pixel * 37 % 251) as u8));
    let mut labels = header(&[0x0801, count]);
    labels.extend((0..count).map(|image| (image % 2) as u8));
    fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
    fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
}
