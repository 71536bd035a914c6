//! One test of a file: it is run, and what came of it is judged.

use super::outcome::Outcome;
use super::run::Options;
use crate::machine::StopReason;
use crate::testing::directive::Ready;
use crate::testing::error::TestError;
use crate::testing::expect::Expectation;
use crate::testing::session::End;

/// Runs a test; `instructions` becomes the number of those of the code under test.
pub(super) fn execute(
    ready: Ready,
    options: &Options,
    instructions: &mut u64,
) -> Result<Outcome, TestError> {
    let Ready {
        case,
        golden,
        fails,
    } = ready;
    let mut run = case.run()?;
    *instructions = run.seen().instructions;
    if let End::Stopped(stop @ StopReason::NotModelled { .. }) = run.end() {
        return Ok(Outcome::NotModelled(stop.to_string()));
    }
    let mut expected = case.expectations().to_vec();
    if !expected.iter().any(|e| !e.is_about_the_end()) {
        expected.push(Expectation::Sound);
    }
    let mut blessed = false;
    if let Some(path) = &golden {
        let unusable = |e: std::io::Error, what: &str| {
            TestError::setup(format!("golden {}", path.display()), format!("{what}: {e}"))
        };
        if options.bless {
            let text = run.trace();
            if run.session().tape.left_out() != 0 {
                // That it is not all of the trace is said below.
                expected.push(Expectation::Golden(text));
            } else if std::fs::read_to_string(path).ok().as_deref() != Some(text.as_str()) {
                std::fs::write(path, text).map_err(|e| unusable(e, "cannot be written"))?;
                blessed = true;
            }
        } else {
            let text = std::fs::read_to_string(path)
                .map_err(|e| unusable(e, "cannot be read (--bless writes it)"))?;
            expected.push(Expectation::Golden(text));
        }
    }
    let failure = run.check_all(&expected)?;
    Ok(match failure {
        None if fails.is_empty() => {
            if blessed {
                Outcome::Blessed
            } else {
                Outcome::Passed
            }
        }
        None => Outcome::Failed {
            headline: "it passes, although it must fail".to_owned(),
            text: format!("{} passes, although it must fail: {fails:?}", case.name()),
            golden: false,
        },
        Some(failure) => {
            let text = failure.to_string();
            let missing = fails.iter().find(|f| !text.contains(f.as_str()));
            match missing {
                None if !fails.is_empty() => Outcome::Passed,
                Some(words) => Outcome::Failed {
                    headline: format!("it fails, but its message has not {words:?}"),
                    text: format!(
                        "{} fails as it must, but its message has not {words:?}:\n{text}",
                        case.name()
                    ),
                    golden: false,
                },
                None => Outcome::Failed {
                    headline: failure.headline(),
                    golden: failure.problems.iter().all(|p| p.expected == "golden"),
                    text,
                },
            }
        }
    })
}
