//! Running the program, and reading what it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nasrl_tensor::random::{Key, Philox};
use tempfile::TempDir;

/// A place for one test, with a table in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("table.csv"), table()).unwrap();
        Place { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn write_bytes(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The program in this place, with arguments separated by spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasrl"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must end with this code, and returns all it printed.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &str) -> String {
        let output = self.run(arguments);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(code), "nasrl {arguments}\n{printed}");
        assert!(!printed.contains("panicked"), "nasrl {arguments}\n{printed}");
        printed
    }

    /// Runs the program, which must end with this code and say all of these things.
    #[track_caller]
    pub(crate) fn expect_words(&self, code: i32, arguments: &str, words: &[&str]) {
        let printed = self.expect(code, arguments);
        for word in words {
            assert!(printed.contains(word), "{word:?} is missing from\n{printed}");
        }
    }

    /// Starts the program; nobody reads what it prints.
    pub(crate) fn spawn(&self, arguments: &str) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Waits until something is there.
    pub(crate) fn wait_for(&self, name: &str) {
        let started = Instant::now();
        while !self.path(name).exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "no {name}");
            sleep(Duration::from_millis(5));
        }
    }

    /// `trials.csv` of a run without what depends on the clock.
    pub(crate) fn trials(&self, run: &str) -> Vec<Vec<String>> {
        trials(&self.path(run).join("trials.csv"))
    }
}

/// A folder `images` of 96 training and 24 test images of 8x8 in four classes: noise with
/// stripes across, stripes down, a chessboard, or nothing.
pub(crate) fn write_images(place: &Place) {
    fs::create_dir(place.path("images")).unwrap();
    for (part, count, seed) in [("train", 96_u32, 1), ("t10k", 24, 2)] {
        let mut noise = Philox::new(Key::new(seed, 0, "images"));
        let big = |numbers: &[u32]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
        };
        let (mut images, mut labels) = (big(&[0x803, count, 8, 8]), big(&[0x801, count]));
        for image in 0..count {
            let class = image % 4;
            labels.push(class as u8);
            for pixel in 0..64 {
                let (row, column) = (pixel / 8 / 2 % 2, pixel % 8 / 2 % 2);
                let is_bright = [row, column, row ^ column, 0][class as usize] == 1;
                images.push(if is_bright { 120 } else { 0 } + noise.below(100) as u8);
            }
        }
        place.write_bytes(&format!("images/{part}-images-idx3-ubyte"), &images);
        place.write_bytes(&format!("images/{part}-labels-idx1-ubyte"), &labels);
    }
}

/// Everything the program printed.
pub(crate) fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

/// Rows of a `trials.csv`, the header first, without the columns whose names say that they depend
/// on when, where or how fast something ran.
pub(crate) fn trials(path: &Path) -> Vec<Vec<String>> {
    const CLOCK: [&str; 4] = ["_at", "_seconds", "_per_second", "_on"];
    let text = fs::read_to_string(path).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let kept: Vec<usize> = (0..records[0].len())
        .filter(|&column| !CLOCK.iter().any(|suffix| records[0][column].ends_with(suffix)))
        .collect();
    let row =
        |record: &csv::StringRecord| kept.iter().map(|&column| record[column].to_owned()).collect();
    records.iter().map(row).collect()
}

/// The values of a column of what [`trials`] returns.
pub(crate) fn column(trials: &[Vec<String>], name: &str) -> Vec<String> {
    let index = trials[0].iter().position(|column| column == name).unwrap();
    trials[1..].iter().map(|row| row[index].clone()).collect()
}

/// 4 x 3 x 4 x 3 architectures with additive rewards and an interaction.
fn table() -> String {
    let mut text = "width,depth,kernel,pool,reward,cost\n".to_owned();
    for width in 0..4 {
        for depth in 1..4 {
            for kernel in [1, 3, 5, 7] {
                for pool in ["max", "average", "none"] {
                    let bonus = if pool == "max" && kernel == 3 { 0.125 } else { 0.0 };
                    let reward =
                        f64::from(width) / 16.0 + f64::from(depth) / 8.0 + bonus + 1.0 / 32.0;
                    text +=
                        &format!("{width},{depth},{kernel},{pool},{reward},{}\n", width * depth);
                }
            }
        }
    }
    text
}
