//! The corpus of the fuzzer (`tests/fuzz/corpus`) is read in every test run, whole and cut short.

#[path = "../fuzz/src/targets.rs"]
#[expect(
    clippy::unwrap_used,
    reason = "a target that cannot go on has found something, and the panic says where"
)]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn what_the_fuzzer_keeps_is_read_without_harm() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, _) in targets::ALL {
        let dir = corpora.join(name);
        let inputs = fs::read_dir(&dir).map_or_else(
            |error| panic!("{}: {error}", dir.display()),
            |entries| entries.map(|entry| entry.map(|entry| entry.path())),
        );
        let inputs: Vec<_> = inputs.collect::<Result<_, _>>().unwrap_or_default();
        assert!(!inputs.is_empty(), "{} is empty", dir.display());
        for input in inputs {
            let Ok(bytes) = fs::read(&input) else {
                panic!("{} cannot be read", input.display());
            };
            println!("{}", input.display());
            for end in 0..=bytes.len() {
                targets::run(name, &bytes[..end]);
            }
        }
    }
}
