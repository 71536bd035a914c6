//! `@thread`: each strategy, alone and with every other, shows what its mechanism says.
//!
//! Expectations come from how the strategies work: who has a copy of a private entry, and which
//! instruction unblocks NMIs (SDM vol. 3, 6.7.1: IRET does). None is taken from a run.

mod combinations;
mod costs;
mod guest;
mod no_iret;
mod question;
mod strategies;
mod sweeps;
mod twists;

#[path = "../machine/support.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod machine;
