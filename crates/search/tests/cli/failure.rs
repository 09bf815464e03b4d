//! What goes wrong on the way, such as a disk that is full or a device that is lost: the search ends
//! with 1 and says how to go on.

use std::process::Command;

use crate::support::{Place, printed};

#[test]
fn a_search_that_fails_on_the_way_is_resumed() {
    let place = Place::new();
    let search = "search --table table.csv --trials 70 --lag 3 --jobs 2";
    // The shell's unit is half a KiB or a whole one; the ledger grows beyond either.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 256; exec {} {search} --out run",
        env!("CARGO_BIN_EXE_nasrl")
    );
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &limited]).current_dir(place.path("")).output().unwrap();
    let said = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["error: ", "Nothing that was finished is lost: nasrl search --resume run"] {
        assert!(said.contains(words), "{words:?} is missing from\n{said}");
    }
    place.expect(0, "search --resume run");
    place.expect(0, &format!("{search} --out whole"));
    assert_eq!(place.trials("run"), place.trials("whole"));
}
