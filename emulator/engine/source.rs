//! What the engine asks of the rest of the machine while guest code runs.

use crate::arch::{PhysAddr, VirtAddr};

/// What native code may do through one cached translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The 4 KiB frame.
    pub phys: PhysAddr,
    /// May read.
    pub read: bool,
    /// May write: only where the cached D bit is set.
    pub write: bool,
    /// May fetch: only where an instruction of this page has been fetched by the rules.
    pub exec: bool,
}

/// Cached translations, and an ear for instructions.
pub trait Source {
    /// What code at `cpl` with RFLAGS.AC = `ac` may do on the page at `page` through what is
    /// cached; never walks. `None`, or too little: the engine stops, and the rules decide.
    fn grant(&self, page: VirtAddr, cpl: u8, ac: bool) -> Option<Grant>;

    /// Called for each instruction that has been executed natively, in order, where
    /// [`RunOptions::trace`](super::RunOptions) is set: its address, its bytes, and how many
    /// instructions had retired before it.
    fn instruction(&mut self, rip: VirtAddr, bytes: &[u8], icount: u64) {
        let _ = (rip, bytes, icount);
    }
}
