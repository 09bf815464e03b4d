//! What the program says of the machine it is on.

use crate::support::Place;

#[test]
fn doctor_tells_what_is_there_and_what_is_missing() {
    let place = Place::new();
    let words = ["instruction sets portable", "CUDA driver", "NVRTC", "--device cpu"];
    place.expect_words(0, "doctor", &words);
    let missing = place.command("doctor").env("NASRL_NVRTC", "nowhere.so").output().unwrap();
    let printed = String::from_utf8_lossy(&missing.stdout);
    assert!(missing.status.success());
    assert!(printed.contains("nowhere.so") && printed.contains("NASRL_NVRTC"), "{printed}");
}
