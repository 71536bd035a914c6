//! Whatever a guest is and does, a run of it ends, and is exactly repeatable.
//!
//! `PROPTEST_CASES` sets the number of guests. `HOSTILE_SAVE=FILE` keeps the guest that is being
//! run in a file, for when the process itself dies; `HOSTILE_REPLAY=FILE` and the ignored test
//! `replay` run it again. What broke a rule is kept in `tests/hostile/guests`, and always run.
//!
//! For long, one seed after the other:
//!
//! ```text
//! for seed in $(seq 100 200); do PROPTEST_RNG_SEED=$seed PROPTEST_CASES=150 \
//!     PROPTEST_MAX_SHRINK_ITERS=40 cargo test --release --test hostile any_guest; done
//! ```

mod check;
mod guest;
mod instruction;
mod random;
mod templates;
mod values;

use check::{How, check, first_difference};
use guest::Guest;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, RngSeed};

fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            given.cases
        } else {
            32
        },
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(0x1e7),
            fixed => fixed,
        },

        ..given
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_guest(guest in random::guest()) {
        if let Err(what) = check(&guest) {
            return Err(TestCaseError::fail(format!(
                "{what}\n{}", serde_json::to_string(&guest).unwrap()
            )));
        }
    }
}

fn read(path: &std::path::Path) -> Guest {
    let text = std::fs::read_to_string(path).expect("a readable file");
    serde_json::from_str(&text).expect("a saved guest")
}

/// Guests that broke a rule once, each the smallest that did.
#[test]
fn saved_guests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/guests");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        if let Err(what) = check(&read(&path)) {
            panic!("{}: {what}", path.display());
        }
    }
}

/// Runs the guest in the file that `HOSTILE_REPLAY` names, and says where its runs part, in events and in state.
#[test]
#[ignore = "needs a saved guest"]
fn replay() {
    let path = std::env::var_os("HOSTILE_REPLAY").expect("HOSTILE_REPLAY names a saved guest");
    let guest = read(path.as_ref());
    for how in [
        How::Traced,
        How::Quiet,
        How::Stepped,
        How::Accesses,
        How::Checked,
    ] {
        let started = std::time::Instant::now();
        let end = check::run(&guest, how, 0);
        println!(
            "{how:?}: {:?}, {}, {:?}, {:?}",
            started.elapsed(),
            end.at,
            end.stop,
            end.told
        );
    }
    if let Err(what) = check(&guest) {
        let ways = [
            How::Stepped,
            How::Accesses,
            How::Checked,
            How::Quiet,
            How::Traced,
        ];
        let part = ways.iter().find_map(|how| first_difference(&guest, *how));
        println!("{what}\n{}", part.unwrap_or_default());
        let (mut good, mut bad) = (0, guest.max_insns);
        while bad - good > 1 {
            let max_insns = good.midpoint(bad);
            match check(&Guest {
                max_insns,
                ..guest.clone()
            }) {
                Ok(()) => good = max_insns,
                Err(_) => bad = max_insns,
            }
        }
        let max_insns = bad;
        let short = Guest { max_insns, ..guest };
        let last = check::run(&short, How::Traced, 1 << 20).first;
        println!("{}", last[last.len().saturating_sub(40)..].join("\n"));
        panic!("after {bad} instructions: {:?}", check(&short));
    }
}
