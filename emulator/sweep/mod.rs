//! Sweeps: an event at every boundary of a run, and a verdict for each.
//!
//! The *undisturbed run* ([`Baseline`]) is followed once, instruction by instruction: its boundaries,
//! and who reads and writes which bytes. Then a machine goes along the window, and at each boundary
//! forks: it marks the moment (registers, and pages as they change), injects, follows what comes of it
//! to a [`Verdict`], and goes back. With several levels the same is done at every boundary of what
//! the first event caused. Virtual time stands still while a handler runs, with
//! [`TimeMode::Frozen`](crate::machine::TimeMode::Frozen); if it goes on, it is a difference as long as
//! the undisturbed run still looks at a clock or has a timer armed.
//!
//! A boundary in an interrupt shadow is none where nothing that is injected can be taken there: NMIs and
//! interrupts cannot, a fault of the next instruction can. (Whether STI holds NMIs is the processor's
//! choice: a machine without [`sti_shadow_blocks_nmi`](crate::arch::Knobs::sti_shadow_blocks_nmi) takes
//! them there.) The boundary at which a guest has ended the run is none either.
//!
//! # What is not run
//!
//! Three reductions leave out what is known. [`Plan::reduce`] switches all of them off; a test shows
//! that the verdicts of every built-in program stay the same.
//!
//! * *Rejoining*: when the delivery has been resumed, the machine is compared with the fork. If
//!   nothing is different that the rest of the undisturbed run reads before it writes it, that run
//!   is what follows. Compared are all registers, NMI and shadow state, devices, virtual time, unresumed
//!   deliveries (but for their numbers), what the checks wait for, cached translations, and memory. Inside a handler a difference may
//!   change how that goes on (an NMI that asks for a repetition): then the comparison is made again
//!   where the handler around is resumed, and in the end with the undisturbed run's end. What handlers
//!   print is no difference; what is printed after them is.
//! * *Dead bytes*: bytes that differ and are overwritten before they are read are no difference.
//!   Those that are never touched again are listed ([`Verdict::SameExcept`]). The A and D bits of an
//!   entry that is never read as data may differ. A cached translation that only one of the runs has
//!   must agree with memory, and its entries must not be written any more. There is no rule that what
//!   lies below RSP is dead.
//! * *Spans*: while an event is held (NMIs blocked, IF clear), it does not matter when it arrives. The
//!   span is one case, which counts for each of its boundaries; the last one names it.
//!
//! States are not looked up by their hashes: in an undisturbed run that ends no state comes twice, and
//! at deeper levels the frames on the stacks tell the forks apart.
//!
//! # How long
//!
//! A case costs what its handler runs, a few stops of Unicorn for each fault and return in it, and two
//! flushes of Unicorn's TLB; the window's length enters linearly. Memory holds the undisturbed run's
//! accesses (words, and changes between reading and writing), and results by instruction and class.

mod baseline;
mod checkpoint;
mod code;
mod driver;
mod error;
mod explore;
mod fork;
mod inputs;
mod judge;
mod liveness;
mod merge;
mod plan;
mod record;
mod report;
mod schema;
mod tally;
mod verdict;
mod weigh;

pub use baseline::{Baseline, Place};
pub use checkpoint::Checkpoint;
pub use code::Code;
pub use driver::{MakeMachine, OnPart, PART, Sweep, part_size};
pub use error::SweepError;
pub use inputs::inputs;
pub use liveness::{Fate, Liveness};
pub use merge::merge;
pub use plan::{Bound, Oracle, Plan, ResolvedShot, Shot};
pub use record::{CheckpointHeader, PartRecord, SWEEP_MARK};
pub use report::{ClassReport, Column, Line, REPORT_VERSION, RangeReport, Report};
pub use schema::REPORT_SCHEMA;
pub use tally::{Class, Counts, Key, Spot, Tally, TallyRecord};
pub use verdict::{Outcome, Verdict};
