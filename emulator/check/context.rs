//! What rules see of the machine.

use std::sync::Arc;

use super::{CheckConfig, Frames};
use crate::arch::VirtAddr;
use crate::system::Cpu;
use crate::trace::{Boundary, DeliveryId, Event};

/// Memory, looked at without side effects.
pub trait Look {
    /// Reads linear memory by the page tables in memory. `false`: not all of it is mapped RAM.
    fn peek(&self, at: VirtAddr, buf: &mut [u8]) -> bool;

    /// Whether CPL 3 may reach the page: U/S is set at every level. `None`: it is not mapped.
    fn is_user_page(&self, at: VirtAddr) -> Option<bool>;
}

/// The machine at rest at a boundary.
pub struct Context<'a> {
    /// The boundary.
    pub at: Boundary,
    /// The CPU there.
    pub cpu: &'a Cpu,
    /// Memory there.
    pub memory: &'a dyn Look,
    /// What the checks were told.
    pub config: &'a CheckConfig,
    /// The frames of deliveries.
    pub frames: &'a Frames,
}

impl Context<'_> {
    /// Whether `id` has not been resumed.
    pub(super) fn is_open(&self, id: DeliveryId) -> bool {
        self.cpu.activations.is_open(id)
    }
}

/// An event kept to prove something later. Two of them never make two states differ: what is
/// compared is what the rules will say of the same future.
#[derive(Clone, Debug)]
pub struct Proof(pub(super) Arc<Event>);

impl PartialEq for Proof {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Proof {}

impl Proof {
    pub(super) fn of(event: &Arc<Event>) -> Self {
        Self(Arc::clone(event))
    }

    pub(super) fn event(&self) -> Event {
        (*self.0).clone()
    }
}
