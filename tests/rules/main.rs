//! Event delivery and IRET against a second statement of the manuals' step lists, over random
//! tables, stacks, contexts and frames.
//!
//! `PROPTEST_CASES` sets the number of cases of each property, `PROPTEST_RNG_SEED` where they
//! begin. `--nocapture` shows how often each step was reached; the tests fail if one was not.

mod bus;
mod compare;
mod coverage;
mod generate;
mod manual;
mod pages;
mod properties;
mod round_trip;
mod stimulus;
mod tables;
mod world;
