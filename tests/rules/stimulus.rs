//! Events, of every kind.

use iretrace::arch::{EventType, Exception, Vector, VirtAddr};
use iretrace::system::{Cpu, PendingEvent, SoftwareInterrupt, software_interrupt};
use proptest::prelude::*;
use proptest::sample::select;

/// What is to be delivered.
#[derive(Clone, Copy, Debug)]
pub enum Stimulus {
    /// A fault that pushes no error code.
    Fault(u8),
    /// A fault with an error code.
    Coded(u8, u32),
    PageFault(u32, u64),
    /// A vector that one vendor has.
    OfVendor(u32),
    /// #DB for the instruction breakpoints of these bits.
    InstructionBreakpoint(u64),
    GeneralDetect,
    /// #DB after an instruction.
    DebugTrap(u64),
    DoubleFault,
    MachineCheck,
    Nmi(bool),
    External(u8, bool),
    /// An instruction and its length.
    Software(SoftwareInterrupt, u8),
}

impl Stimulus {
    pub fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            2 => select(vec![0u8, 5, 6, 7, 16, 18, 19]).prop_map(Self::Fault),
            3 => (select(vec![10u8, 11, 12, 13, 17, 21]), 0u32..0x1_0000)
                .prop_map(|(v, c)| Self::Coded(v, if v == 17 { 0 } else { c })),
            4 => (0u32..0x40, any::<u64>()).prop_map(|(c, a)| Self::PageFault(c, a)),
            1 => (0u32..0x100).prop_map(Self::OfVendor),
            1 => (1u64..16).prop_map(Self::InstructionBreakpoint),
            1 => Just(Self::GeneralDetect),
            1 => prop_oneof![1u64..16, Just(1 << 14), Just(1 << 14 | 3)].prop_map(Self::DebugTrap),
            2 => Just(Self::DoubleFault),
            1 => Just(Self::MachineCheck),
            4 => any::<bool>().prop_map(Self::Nmi),
            3 => (any::<u8>(), any::<bool>()).prop_map(|(v, b)| Self::External(v, b)),
            4 => any::<u8>().prop_map(|v| Self::Software(SoftwareInterrupt::Int(v), 2)),
            1 => (8u8..15).prop_map(|v| Self::Software(SoftwareInterrupt::Int(v), 2)),
            2 => Just(Self::Software(SoftwareInterrupt::Int3, 1)),
            1 => Just(Self::Software(SoftwareInterrupt::Into, 1)),
            2 => Just(Self::Software(SoftwareInterrupt::Int1, 1)),
        ]
    }

    pub fn vector(self, amd: bool) -> u8 {
        match self {
            Self::Fault(v) | Self::Coded(v, _) | Self::External(v, _) => v,
            Self::PageFault(..) => 14,
            // #VC and #SX, #VE.
            Self::OfVendor(code) if amd => 29 + (code & 1) as u8,
            Self::OfVendor(_) => 20,
            Self::InstructionBreakpoint(_) | Self::GeneralDetect | Self::DebugTrap(_) => 1,
            Self::DoubleFault => 8,
            Self::MachineCheck => 18,
            Self::Nmi(_) => 2,
            Self::Software(SoftwareInterrupt::Int(v), _) => v,
            Self::Software(SoftwareInterrupt::Int3, _) => 3,
            Self::Software(SoftwareInterrupt::Into, _) => 4,
            Self::Software(SoftwareInterrupt::Int1, _) => 1,
        }
    }

    /// What the counts call it, if its vector alone makes it a case of its own.
    pub fn name(self, amd: bool) -> Option<&'static str> {
        match self {
            Self::OfVendor(_) if amd => Some("event #VC, #SX"),
            Self::OfVendor(_) => Some("event #VE"),
            Self::PageFault(..) => Some("event #PF"),
            Self::DoubleFault => Some("event #DF"),
            Self::MachineCheck => Some("event #MC"),
            Self::InstructionBreakpoint(_) => Some("event instruction breakpoint"),
            Self::GeneralDetect => Some("event general detect"),
            _ => None,
        }
    }

    pub fn is_instruction_breakpoint(self) -> bool {
        matches!(self, Self::InstructionBreakpoint(_))
    }

    /// The event, by the emulator's constructors; `None`: there is none (INTO without OF).
    pub fn event(self, cpu: &Cpu, amd: bool) -> Option<PendingEvent> {
        let rip = cpu.regs.rip;
        let fault = |e: Exception| PendingEvent::exception(&e, rip);
        let repeat = |e: PendingEvent, between: bool| {
            if between { e.between_iterations() } else { e }
        };
        Some(match self {
            Self::Fault(v) => fault(Exception::fault(Vector(v))),
            Self::Coded(v, code) => fault(Exception::with_code(Vector(v), code)),
            Self::PageFault(code, at) => fault(Exception::pf(code, VirtAddr(at))),
            Self::OfVendor(code) if amd => {
                fault(Exception::with_code(Vector(self.vector(amd)), code))
            }
            Self::OfVendor(_) => fault(Exception::fault(Vector(20))),
            Self::InstructionBreakpoint(bits) => PendingEvent::instruction_breakpoint(bits, rip),
            Self::GeneralDetect => fault(Exception {
                dr6: 1 << 13,
                ..Exception::fault(Vector(1))
            }),
            Self::DebugTrap(bits) => PendingEvent::debug_trap(bits, rip),
            Self::DoubleFault => PendingEvent::double_fault(rip),
            Self::MachineCheck => PendingEvent {
                kind: EventType::Abort,
                ..fault(Exception::fault(Vector(18)))
            },
            Self::Nmi(between) => repeat(PendingEvent::nmi(rip), between),
            Self::External(v, between) => repeat(PendingEvent::external(Vector(v), rip), between),
            Self::Software(instruction, len) => {
                let next = rip.wrapping_add(u64::from(len));
                match software_interrupt(cpu, instruction, next) {
                    Ok(event) => event?,
                    Err(e) => fault(e),
                }
            }
        })
    }
}
