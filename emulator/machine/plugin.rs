//! Code of the user's that looks on and takes part.

use super::Machine;
use crate::trace::Event;

/// Sees every event of a run, except `insn` and `mem`, and may act on the machine.
///
/// It is called at the first boundary after the event, in order, with the machine at rest there:
/// it may read and change registers and memory, inject, or end the run.
pub trait Plugin {
    /// One event has happened.
    fn event(&mut self, machine: &mut Machine, event: &Event) -> Control;
}

/// What a plugin wants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Control {
    /// Go on.
    #[default]
    Continue,
    /// End the run with [`StopReason::Plugin`](super::StopReason::Plugin) and this reason.
    Stop(String),
}
