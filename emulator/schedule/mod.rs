//! Schedules: what is injected into a run, and when.
//!
//! An injection *raises the line* at a boundary. Whether the NMI or interrupt is delivered,
//! latched or merged is the machine's answer.
//!
//! | words | when |
//! | --- | --- |
//! | `at=nmi_entry+0x1a` | at the first arrival at that address |
//! | `at=memcpy#3`, `at=0xffffffff80001000#3` | at the third arrival |
//! | `icount=1234`, `icount=1234.2` | at that boundary |
//! | `after=page-fault#2` | at the first boundary of the handler of the second #PF |
//! | `before=iret#1` | at the boundary before the first IRET |
//! | `every=100`, `every=100,from=5000` | at every 100th instruction |
//! | `storm=4`, `storm=4,from=main` | up to four NMIs, each as soon as it can be latched |
//!
//! An *arrival* at an address (or at an IRET) is a boundary whose next instruction is there. REP
//! iterations, and a boundary that is looked at again after something was latched there, belong
//! to the same arrival; control that comes back, from a handler or round a loop, arrives anew.
//!
//! `from=` takes an icount, an address or a symbol. An NMI needs no more; the others name what
//! they inject: `--irq 0x21@at=main`, `--mce @icount=500`,
//! `--exception page-fault@at=main,ec=0x2,addr=0x1000`. `addr=`, the CR2 of a page fault, takes an
//! address (also in decimal) or a symbol: `addr=jiffies+0x8`.

pub mod error;
pub mod injection;
mod parse;
pub mod queue;
pub mod resolve;
pub mod vector;

pub use error::ScheduleError;
pub use injection::{Injection, Origin, Place, Stimulus, StimulusKind, Trigger};
pub use queue::{BoundaryContext, ScheduleState};
pub use resolve::{
    ResolveError, ResolvedInjection, ResolvedOrigin, ResolvedTrigger, SymbolResolver, resolve,
    resolve_stimulus,
};
pub use vector::{parse as parse_vector, pushes_error_code, vector_name};
