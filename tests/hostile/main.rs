//! Whatever a guest is and does, a run of it ends, and is exactly repeatable.
//!
//! `PROPTEST_CASES` sets the number of guests. `HOSTILE_SAVE=FILE` keeps the guest that is being
//! run in a file, for when the process itself dies; `HOSTILE_REPLAY=FILE` and the ignored test
//! `replay` run it again.

mod check;
mod guest;
mod random;

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
            12
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

/// Runs the guest in the file that `HOSTILE_REPLAY` names, and says where its runs part.
#[test]
#[ignore = "needs a saved guest"]
fn replay() {
    let path = std::env::var_os("HOSTILE_REPLAY").expect("HOSTILE_REPLAY names a saved guest");
    let text = std::fs::read_to_string(path).expect("a readable file");
    let guest: Guest = serde_json::from_str(&text).expect("a saved guest");
    for how in [How::Traced, How::Quiet, How::Stepped, How::Accesses] {
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
        let ways = [How::Stepped, How::Accesses, How::Quiet, How::Traced];
        let part = ways.iter().find_map(|how| first_difference(&guest, *how));
        panic!("{what}\n{}", part.unwrap_or_default());
    }
}
