//! Tests of the whole machine: the engine, the rules and the run loop together.
//!
//! Each assembles a short kernel and compares what the run tells with what the manuals say.

mod boundaries;
mod breakpoints;
mod code;
mod devices;
mod faults;
mod futures;
mod nmi;
mod paging;
mod repeat;
mod replaced;
mod rights;
mod saved;
mod schedules;
mod shadows;
mod stale;
mod support;
mod syscalls;
mod traced_later;
mod trap_flag;
