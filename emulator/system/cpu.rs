//! One CPU: registers, the NMI state machine, shadows, cached translations.

use super::activation::Activations;
use super::tlb::TranslationCache;
use crate::arch::{CpuModel, CpuState};

/// The two architectural bits of NMI handling, and what we know of them (reference 1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NmiState {
    /// One NMI is latched.
    pub pending: bool,
    /// NMIs are blocked until the next IRET.
    pub blocked: bool,
    /// Serial number of the delivery that set `blocked`; `None` if that delivery failed.
    pub blocked_by: Option<u64>,
}

/// The interrupt shadow at the current boundary (reference 1.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InterruptShadow {
    /// None.
    #[default]
    None,
    /// After an STI that set IF.
    Sti,
    /// After MOV SS or POP SS.
    MovSs,
}

/// Everything of a CPU except FPU and SSE registers, which the engine keeps.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// Registers.
    pub regs: CpuState,
    /// NMI latch and blocking bit.
    pub nmi: NmiState,
    /// The shadow that holds at the current boundary.
    pub shadow: InterruptShadow,
    /// #DB conditions (DR6 bits) that wait for the end of a MOV SS shadow or for this boundary.
    pub pending_db: u64,
    /// HLT (or MWAIT) waits for an event.
    pub halted: bool,
    /// Cached translations.
    pub tlb: TranslationCache,
    /// Deliveries that have not been resumed.
    pub activations: Activations,
    /// Which CPU this is.
    pub model: CpuModel,
}

impl Cpu {
    /// A CPU in the state `regs`.
    #[must_use]
    pub fn new(regs: CpuState, model: CpuModel) -> Self {
        Self {
            regs,
            nmi: NmiState::default(),
            shadow: InterruptShadow::None,
            pending_db: 0,
            halted: false,
            tlb: TranslationCache::default(),
            activations: Activations::default(),
            model,
        }
    }
}
