//! An event that is about to be delivered.

use super::Cpu;
use crate::arch::bits::{cr4, dr6};
use crate::arch::{EventType, Exception, Vector, VirtAddr};

/// MCG_STATUS.MCIP (SDM vol. 3, 15.3.1.2).
const MCIP: u64 = 1 << 2;

/// An event that is about to be delivered, with the RIP that its frame will hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PendingEvent {
    /// Its vector.
    pub vector: Vector,
    /// Interrupt, fault, trap, software.
    pub kind: EventType,
    /// The error code it pushes.
    pub error_code: Option<u32>,
    /// For #PF: what goes to CR2.
    pub address: Option<VirtAddr>,
    /// For #DB: the conditions that go to DR6; 0 leaves DR6 as it is (INT1).
    pub dr6: u64,
    /// The pushed RIP: the instruction for a fault, the next one for a software interrupt
    /// (RIP itself still is at the instruction), the boundary for the rest.
    pub saved_rip: VirtAddr,
    /// The boundary lies between two iterations of a REP instruction.
    pub between_iterations: bool,
}

impl PendingEvent {
    const fn new(vector: Vector, kind: EventType, saved_rip: u64) -> Self {
        Self {
            vector,
            kind,
            error_code: None,
            address: None,
            dr6: 0,
            saved_rip: VirtAddr(saved_rip),
            between_iterations: false,
        }
    }

    /// `exception`, raised by the instruction, or at the boundary, `saved_rip`.
    #[must_use]
    pub const fn exception(exception: &Exception, saved_rip: u64) -> Self {
        Self {
            error_code: exception.error_code,
            address: exception.address,
            dr6: exception.dr6,
            ..Self::new(exception.vector, exception.kind, saved_rip)
        }
    }

    /// The NMI.
    #[must_use]
    pub const fn nmi(saved_rip: u64) -> Self {
        Self::new(Vector::NMI, EventType::Nmi, saved_rip)
    }

    /// A maskable external interrupt.
    #[must_use]
    pub const fn external(vector: Vector, saved_rip: u64) -> Self {
        Self::new(vector, EventType::External, saved_rip)
    }

    /// #DB after an instruction, for the conditions `bits` of DR6.
    #[must_use]
    pub const fn debug_trap(bits: u64, saved_rip: u64) -> Self {
        Self {
            dr6: bits,
            ..Self::new(Vector::DB, EventType::Trap, saved_rip)
        }
    }

    /// The #DB that the conditions in [`Cpu::pending_db`] make, which it empties.
    #[must_use]
    pub fn take_debug_trap(cpu: &mut Cpu) -> Option<Self> {
        match std::mem::take(&mut cpu.pending_db) {
            0 => None,
            bits => Some(Self::debug_trap(bits, cpu.regs.rip)),
        }
    }

    /// #DB before the instruction at `saved_rip`, for the instruction breakpoints `bits`.
    #[must_use]
    pub const fn instruction_breakpoint(bits: u64, saved_rip: u64) -> Self {
        Self {
            dr6: bits,
            ..Self::new(Vector::DB, EventType::Fault, saved_rip)
        }
    }

    /// A software interrupt of `kind`, whose instruction ends at `next_rip`.
    #[must_use]
    pub const fn software(vector: Vector, kind: EventType, next_rip: u64) -> Self {
        Self::new(vector, kind, next_rip)
    }

    /// #DF(0), for the boundary or instruction `saved_rip`.
    #[must_use]
    pub const fn double_fault(saved_rip: u64) -> Self {
        Self {
            error_code: Some(0),
            ..Self::new(Vector::DF, EventType::Abort, saved_rip)
        }
    }

    /// #MC at the current boundary; sets MCG_STATUS.MCIP. `None`: with CR4.MCE = 0 or MCIP
    /// already set, the processor shuts down instead (SDM vol. 3, 6.15, Interrupt 18).
    #[must_use]
    pub fn machine_check(cpu: &mut Cpu) -> Option<Self> {
        let status = &mut cpu.regs.msr.mcg_status;
        if cpu.regs.cr4 & cr4::MCE == 0 || *status & MCIP != 0 {
            return None;
        }
        *status |= MCIP;
        Some(Self::new(Vector::MC, EventType::Abort, cpu.regs.rip))
    }

    /// The same event, taken between two iterations of a REP instruction.
    #[must_use]
    pub const fn between_iterations(self) -> Self {
        Self {
            between_iterations: true,
            ..self
        }
    }

    /// Whether this is a #DB that hardware or INT1 raised (not INT 1, CD 01).
    #[must_use]
    pub const fn is_debug_exception(&self) -> bool {
        self.vector.0 == Vector::DB.0
            && matches!(
                self.kind,
                EventType::Fault | EventType::Trap | EventType::PrivilegedSoftwareException
            )
    }

    /// RF in the pushed RFLAGS, when the register holds `current` (SDM vol. 3, 17.3.1.1).
    #[must_use]
    pub const fn pushed_rf(&self, current: bool) -> bool {
        match self.kind {
            // A #DB fault is an instruction breakpoint, unless BD says general detect.
            EventType::Fault if self.vector.0 == Vector::DB.0 && self.dr6 & dr6::BD == 0 => current,
            EventType::Fault => true,
            EventType::Abort if self.vector.0 == Vector::DF.0 => true,
            EventType::Abort | EventType::External | EventType::Nmi | EventType::Trap => {
                current || self.between_iterations
            }
            EventType::SoftwareInterrupt
            | EventType::SoftwareException
            | EventType::PrivilegedSoftwareException => false,
        }
    }
}
