//! iretrace runs small kernel-like x86-64 binaries on Unicorn, adds the system half that Unicorn
//! lacks (page walks, event delivery, the NMI latch and blocking window, IRET), and traces every
//! fault and NMI precisely.
//!
//! # A machine in ten lines
//! Build a machine, load an image, inject an NMI at an instruction, run it to its end, and read
//! what happened:
//!
//! ```
//! use iretrace::load::{Image, LoadOptions};
//! use iretrace::machine::{Machine, MachineConfig, StopReason, Until};
//! use iretrace::schedule::{Injection, StimulusKind, resolve};
//! use iretrace::trace::{EventKind, SharedEvents, UnblockedBy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let image = Image::open("@nested-nmi", &LoadOptions::default())?;
//! let nmi = Injection::parse(StimulusKind::Nmi, "at=page_fault_entry")?;
//!
//! let mut machine = Machine::new(MachineConfig::default())?;
//! machine.load(&image)?;
//! machine.set_schedule(vec![resolve(nmi, &image.symbols)?]);
//! let events = SharedEvents::default();
//! machine.add_sink(Box::new(events.clone()));
//! let stop = machine.run(Until::Never);
//! assert_eq!(stop, StopReason::GuestExit { value: 0x10, success: true });
//!
//! let events = events.borrow();
//! let place = |wanted: fn(&EventKind) -> bool| events.iter().find(|e| wanted(&e.kind)).map(|e| e.rip);
//! // One NMI was pending already: ours was merged with it, and is lost.
//! let merged = place(|e| matches!(e, EventKind::NmiMerged));
//! assert_eq!(merged, Some(image.resolve("page_fault_entry")?));
//! // And the page fault handler's IRET unblocks NMIs early.
//! let early = place(|e| matches!(e, EventKind::NmiUnblocked { by: UnblockedBy::OtherIret, .. }));
//! assert_eq!(early, Some(image.resolve("page_fault_return")?));
//! # Ok(())
//! # }
//! ```
//!
//! # Shape
//! Data flows one way: [`load`] makes an image of a file; [`machine`] runs it, with [`engine`]
//! (the only user of Unicorn) for ordinary instructions and [`system`] (microcode over the pure
//! rules of [`arch`]) for everything else, [`device`]s around it and a [`schedule`] of injections;
//! [`trace`] takes the events and writes them down; [`check`] turns them into findings; [`sweep`]
//! explores schedules, and [`testing`] is the harness for handlers alone.
//!
//! # Extending it
//! * [`machine::Plugin`] sees every event, and may stop the run, inject, read and write the machine.
//! * [`device::Device`] is a device behind ports or physical memory; [`device::Watchdog`] is there
//!   to be copied.
//! * [`trace::EventSink`] is another format.
//! * [`machine::Machine::unicorn`] gives the Unicorn instance to who wants hooks of his own.

pub mod arch;
pub mod check;
pub mod device;
pub mod engine;
pub mod html;
pub mod load;
pub mod machine;
pub mod matrix;
pub mod printable;
pub mod schedule;
mod suggest;
pub mod sweep;
pub mod system;
pub mod testing;
pub mod trace;
