//! The event model: everything that a trace can say, whatever its format.

use serde::{Deserialize, Serialize};

use crate::arch::{AccessKind, EventType, Hex, PhysAddr, Vector, VirtAddr};

/// A place between two instructions. `icount` instructions have retired since reset; `sub`
/// counts REP iterations and deliveries since then. Written `1234` or `1234.2`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Boundary {
    /// Retired instructions.
    pub icount: u64,
    /// REP iterations and deliveries at this `icount`.
    pub sub: u32,
}

impl std::fmt::Display for Boundary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sub {
            0 => write!(f, "{}", self.icount),
            sub => write!(f, "{}.{sub}", self.icount),
        }
    }
}

/// One event of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When; serialised as `icount` and `sub` beside the other fields.
    #[serde(flatten)]
    pub at: Boundary,
    /// RIP before the event: the instruction, or the boundary's next instruction.
    pub rip: VirtAddr,
    /// CPL before the event.
    pub cpl: u8,
    /// How many deliveries are unresumed (after this event for a delivery, before it for a return).
    pub depth: u16,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Names one delivery: its number in the run (from 1), and its number among those of its vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeliveryId {
    /// Number among all deliveries, from 1.
    pub serial: u64,
    /// The vector.
    pub vector: Vector,
    /// Number among the deliveries of this vector, from 1: the 2 of `NMI#2`.
    pub nth: u64,
}

impl std::fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.vector.mnemonic() {
            Some(m) => write!(f, "{m}#{}", self.nth),
            None => write!(f, "INT {:#x}#{}", self.vector.0, self.nth),
        }
    }
}

/// The five values that delivery pushes and IRET pops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FrameValues {
    /// Saved RIP.
    pub rip: VirtAddr,
    /// Saved CS selector (as popped: 64 bits).
    pub cs: Hex,
    /// Saved RFLAGS.
    pub rflags: Hex,
    /// Saved RSP.
    pub rsp: VirtAddr,
    /// Saved SS selector.
    pub ss: Hex,
}

/// A completed delivery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name.
    pub id: DeliveryId,
    /// External, NMI, fault, trap, software.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The pushed error code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<u32>,
    /// For #PF: CR2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cr2: Option<VirtAddr>,
    /// For #DB: DR6 after it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dr6: Option<Hex>,
    /// The gate's IST index; 0: none.
    pub ist: u8,
    /// The handler's first instruction.
    pub handler: VirtAddr,
    /// RSP after the pushes: the frame's lowest address.
    pub frame: VirtAddr,
    /// What was pushed.
    pub pushed: FrameValues,
    /// CPL after.
    pub new_cpl: u8,
}

/// One level of a page walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WalkStep {
    /// 5 (PML5E) down to 1 (PTE).
    pub level: u8,
    /// Where the entry lies.
    pub entry_at: PhysAddr,
    /// Its value as read.
    pub entry: Hex,
    /// Its value after setting A or D, if it changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated: Option<Hex>,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum WalkOutcome {
    /// The translation.
    Mapped {
        /// Physical address of the byte that was asked for.
        phys: PhysAddr,
        /// 4096, 2097152 or 1073741824.
        page_size: u64,
    },
    /// #PF with this error code.
    PageFault {
        /// The error code.
        error_code: u32,
    },
}

/// One page walk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Walk {
    /// The linear address.
    pub address: VirtAddr,
    /// Read, write or fetch.
    pub access: AccessKind,
    /// Made with user privilege.
    pub user: bool,
    /// Made by the processor for itself: IDT, GDT, LDT, TSS.
    pub implicit: bool,
    /// The entries, from the root.
    pub steps: Vec<WalkStep>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: WalkOutcome,
}

/// Who raised an NMI or an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The schedule of the run.
    Schedule,
    /// The local APIC (ICR).
    Apic,
    /// The local APIC's timer.
    Timer,
    /// Another device.
    Device,
    /// A plugin, or the host program.
    Host,
}

/// Why a raised NMI or interrupt was not delivered at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldBy {
    /// NMIs are blocked.
    Blocked,
    /// The MOV SS shadow.
    MovSsShadow,
    /// The STI shadow.
    StiShadow,
    /// An event of higher priority at the same boundary.
    Priority,
}

/// What cleared the NMI-blocking bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnblockedBy {
    /// The IRET that returned from the NMI that had set it.
    NmiReturn,
    /// Another IRET: unblocked early.
    OtherIret,
    /// An IRET that faulted (Intel).
    FaultingIret,
}

/// What an IRET-like return did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Return {
    /// The instruction: `iretq`, `iretd`, `iretw`.
    pub mnemonic: String,
    /// Where the frame was popped from.
    pub frame: VirtAddr,
    /// What was popped.
    pub popped: FrameValues,
    /// The delivery that last wrote the frame's bytes, if one did and software has not changed them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of: Option<DeliveryId>,
    /// The delivery whose interrupted context is reached: (RIP, CS, RSP) agree by value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resumes: Option<DeliveryId>,
    /// CPL after.
    pub new_cpl: u8,
}

/// What invalidated cached translations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Invalidation {
    /// INVLPG of one address.
    Invlpg {
        /// The operand.
        address: VirtAddr,
    },
    /// INVPCID.
    Invpcid {
        /// 0 address, 1 single context, 2 all, 3 all but global.
        kind: u8,
        /// The PCID in the descriptor.
        pcid: u16,
        /// The address in the descriptor.
        address: VirtAddr,
    },
    /// MOV to CR3.
    Cr3 {
        /// The new value, bit 63 as written.
        value: Hex,
    },
    /// A change of CR0 or CR4 that invalidates.
    ControlRegister,
    /// The model of cached translations was full.
    Capacity,
}

/// Direction of a transfer, as the CPU sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the device or memory to the CPU.
    Read,
    /// From the CPU.
    Write,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// An NMI arrives at the CPU.
    NmiRaised {
        /// Who raised it.
        source: Source,
    },
    /// It stays pending: it cannot be taken at this boundary.
    NmiLatched {
        /// Why not.
        held_by: HeldBy,
    },
    /// It arrives while one is pending: it is lost.
    NmiMerged,
    /// NMIs become blocked: delivery of an NMI begins.
    NmiBlocked,
    /// NMIs become unblocked.
    NmiUnblocked {
        /// By what; `other-iret` is the early unblock.
        by: UnblockedBy,
        /// The delivery whose handler executed the IRET: the innermost unresumed one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        in_handler: Option<DeliveryId>,
        /// The NMI that had blocked them.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        blocked_by: Option<DeliveryId>,
    },
    /// A maskable interrupt arrives (at the CPU or in the APIC's IRR).
    IrqRaised {
        /// Its vector.
        vector: Vector,
        /// Who raised it.
        source: Source,
    },
    /// The schedule injects an exception.
    ExceptionInjected {
        /// Its vector.
        vector: Vector,
    },
    /// An exception is recognised; its delivery begins.
    Exception {
        /// Its vector.
        vector: Vector,
        /// Fault, trap, software...
        #[serde(rename = "type")]
        kind: EventType,
        /// Its error code.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error_code: Option<u32>,
        /// For #PF: the address in CR2.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        cr2: Option<VirtAddr>,
    },
    /// An event was delivered.
    Delivered(Delivery),
    /// A delivery raised another exception.
    DeliveryFailed {
        /// What was being delivered.
        vector: Vector,
        /// What that raised.
        raised: Vector,
        /// Its error code.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error_code: Option<u32>,
        /// For #PF: the address.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        address: Option<VirtAddr>,
        /// What is delivered now: `raised`, #DF; `None`: shutdown.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        then: Option<Vector>,
    },
    /// A delivery wrote over the frame of one that has not been resumed.
    FrameOverwritten {
        /// Whose frame is gone.
        frame: DeliveryId,
        /// Whose delivery wrote over it.
        by: DeliveryId,
    },
    /// A page walk.
    Walk(Walk),
    /// IRET succeeded.
    Iret(Return),
    /// A delivery was resumed by something else than an IRET (popf and ret, SYSRET, a jump).
    Resumed {
        /// Which.
        id: DeliveryId,
    },
    /// SYSCALL.
    Syscall {
        /// LSTAR.
        target: VirtAddr,
    },
    /// SYSRET.
    Sysret {
        /// RCX.
        target: VirtAddr,
        /// CPL after (3).
        new_cpl: u8,
    },
    /// HLT: waiting.
    Halted,
    /// An event ends the wait.
    Woken,
    /// A control or debug register was written by the guest.
    ControlWrite {
        /// `cr0`, `cr2`, `cr3`, `cr4`, `cr8`, `dr0`..`dr7`, `xcr0`.
        register: String,
        /// Before.
        old: Hex,
        /// After.
        new: Hex,
    },
    /// CR2 was read by the guest.
    Cr2Read {
        /// Its value.
        value: VirtAddr,
    },
    /// An MSR was read or written by the guest.
    Msr {
        /// Which.
        number: Hex,
        /// Direction.
        direction: Direction,
        /// The value.
        value: Hex,
    },
    /// SWAPGS.
    Swapgs {
        /// GS.base after.
        gs_base: Hex,
        /// IA32_KERNEL_GS_BASE after.
        kernel_gs_base: Hex,
    },
    /// Cached translations were invalidated.
    TlbInvalidated(Invalidation),
    /// A port was read or written.
    Io {
        /// The port.
        port: u16,
        /// 1, 2 or 4 bytes.
        size: u8,
        /// Direction.
        direction: Direction,
        /// The value.
        value: Hex,
    },
    /// A device register in memory, or physical memory that is not there, was accessed.
    Mmio {
        /// The physical address.
        address: PhysAddr,
        /// Bytes.
        size: u8,
        /// Direction.
        direction: Direction,
        /// The value.
        value: Hex,
        /// The device; `None`: nothing answers there (reads give ones, writes are dropped).
        #[serde(skip_serializing_if = "Option::is_none", default)]
        device: Option<String>,
    },
    /// The guest wrote to its console: a whole line, or what there was of it.
    Console {
        /// `serial` or `debugcon`.
        device: String,
        /// The text, without the line's end.
        text: String,
    },
    /// One instruction is about to execute (verbose).
    Insn {
        /// Its bytes, in hex.
        bytes: String,
        /// Disassembly.
        text: String,
    },
    /// One data access of an instruction (verbose).
    Mem {
        /// Linear address.
        address: VirtAddr,
        /// Bytes.
        size: u8,
        /// Direction.
        direction: Direction,
        /// The value, little-endian, for sizes up to 8.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        value: Option<Hex>,
    },
    /// The run ends.
    Stop {
        /// The short name of the machine's stop reason, in kebab case.
        reason: String,
        /// In words.
        text: String,
    },
}

bitflags::bitflags! {
    /// Kinds of events, as `--events` names them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct EventClass: u32 {
        /// NMI state: raised, latched, merged, blocked, unblocked.
        const NMI = 1 << 0;
        /// Exceptions, and failures of their delivery.
        const FAULT = 1 << 1;
        /// Maskable interrupts and software interrupts.
        const IRQ = 1 << 2;
        /// Page walks.
        const WALK = 1 << 3;
        /// IRET and other resumptions.
        const IRET = 1 << 4;
        /// SYSCALL, SYSRET.
        const SYSCALL = 1 << 5;
        /// Control registers, MSRs, SWAPGS.
        const REG = 1 << 6;
        /// Invalidations of cached translations.
        const TLB = 1 << 7;
        /// Ports and device memory.
        const IO = 1 << 8;
        /// Console lines.
        const CONSOLE = 1 << 9;
        /// HLT and waking.
        const HALT = 1 << 10;
        /// Instructions.
        const INSN = 1 << 11;
        /// Data accesses.
        const MEM = 1 << 12;
        /// The end of the run; always on.
        const STOP = 1 << 13;
    }
}

impl EventKind {
    /// Its class for filters. A delivery belongs to the class of its event type.
    #[must_use]
    pub fn class(&self) -> EventClass {
        match self {
            Self::NmiRaised { .. }
            | Self::NmiLatched { .. }
            | Self::NmiMerged
            | Self::NmiBlocked
            | Self::NmiUnblocked { .. } => EventClass::NMI,
            Self::FrameOverwritten { .. } => EventClass::NMI.union(EventClass::FAULT),
            Self::IrqRaised { .. } => EventClass::IRQ,
            Self::ExceptionInjected { .. }
            | Self::Exception { .. }
            | Self::DeliveryFailed { .. } => EventClass::FAULT,
            Self::Delivered(d) => match d.kind {
                EventType::Nmi => EventClass::NMI,
                EventType::External | EventType::SoftwareInterrupt => EventClass::IRQ,
                _ => EventClass::FAULT,
            },
            Self::Walk(_) => EventClass::WALK,
            Self::Iret(_) | Self::Resumed { .. } => EventClass::IRET,
            Self::Syscall { .. } | Self::Sysret { .. } => EventClass::SYSCALL,
            Self::Halted | Self::Woken => EventClass::HALT,
            Self::ControlWrite { .. }
            | Self::Cr2Read { .. }
            | Self::Msr { .. }
            | Self::Swapgs { .. } => EventClass::REG,
            Self::TlbInvalidated(_) => EventClass::TLB,
            Self::Io { .. } | Self::Mmio { .. } => EventClass::IO,
            Self::Console { .. } => EventClass::CONSOLE,
            Self::Insn { .. } => EventClass::INSN,
            Self::Mem { .. } => EventClass::MEM,
            Self::Stop { .. } => EventClass::STOP,
        }
    }
}
