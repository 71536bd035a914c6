//! The architectural state of one CPU, hidden parts included.

use serde::{Deserialize, Serialize};

use super::bits::{cr0, dr6, dr7, efer, rflags};

/// Index of a general register in [`CpuState::gpr`], in encoding order.
#[rustfmt::skip]
#[expect(missing_docs, reason = "register names")]
pub mod gpr {
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
    pub const R11: usize = 11;
    pub const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ];
}

/// A segment register's number, in encoding order (the `sreg` field of ModRM).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[expect(missing_docs, reason = "register names")]
pub enum SegReg {
    Es = 0,
    Cs = 1,
    Ss = 2,
    Ds = 3,
    Fs = 4,
    Gs = 5,
}

/// A segment register with its hidden part (SDM vol. 3, 3.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Limit in bytes, granularity applied.
    pub limit: u32,
    /// The descriptor's second doubleword, bits 8 to 23 in place (type, S, DPL,
    /// P, AVL, L, D/B, G); bits outside are zero. P = 0 here: unusable.
    pub attr: u32,
}

#[rustfmt::skip]
#[expect(missing_docs, reason = "descriptor bits, SDM vol. 3, 3.4.5")]
impl Segment {
    pub const TYPE_SHIFT: u32 = 8;
    pub const ACCESSED: u32 = 1 << 8;
    pub const WRITABLE_READABLE: u32 = 1 << 9;
    pub const CONFORMING_EXPAND: u32 = 1 << 10;
    pub const CODE: u32 = 1 << 11;
    pub const S: u32 = 1 << 12;
    pub const DPL_SHIFT: u32 = 13;
    pub const P: u32 = 1 << 15;
    pub const AVL: u32 = 1 << 20;
    pub const L: u32 = 1 << 21;
    pub const DB: u32 = 1 << 22;
    pub const G: u32 = 1 << 23;
    /// The bits that a hidden part keeps.
    pub const ATTR_MASK: u32 = 0x00f0_ff00;
}

impl Segment {
    /// The fixed flat 64-bit code segment that SYSCALL and SYSRET load.
    #[must_use]
    pub const fn flat_code64(selector: u16, dpl: u8) -> Self {
        Self {
            selector,
            base: 0,
            limit: u32::MAX,
            attr: Self::P
                | Self::S
                | Self::CODE
                | Self::WRITABLE_READABLE
                | Self::ACCESSED
                | Self::L
                | Self::G
                | ((dpl as u32) << Self::DPL_SHIFT),
        }
    }

    /// A flat 32-bit compatibility-mode code segment.
    #[must_use]
    pub const fn flat_code32(selector: u16, dpl: u8) -> Self {
        let c = Self::flat_code64(selector, dpl);
        Self {
            attr: (c.attr & !Self::L) | Self::DB,
            ..c
        }
    }

    /// A flat writable data segment.
    #[must_use]
    pub const fn flat_data(selector: u16, dpl: u8) -> Self {
        Self {
            selector,
            base: 0,
            limit: u32::MAX,
            attr: Self::P
                | Self::S
                | Self::WRITABLE_READABLE
                | Self::ACCESSED
                | Self::DB
                | Self::G
                | ((dpl as u32) << Self::DPL_SHIFT),
        }
    }

    /// An unusable segment that shows `selector` (a null selector).
    #[must_use]
    pub const fn null(selector: u16) -> Self {
        Self {
            selector,
            base: 0,
            limit: 0,
            attr: 0,
        }
    }

    /// The descriptor privilege level in the hidden part.
    #[must_use]
    pub const fn dpl(&self) -> u8 {
        ((self.attr >> Self::DPL_SHIFT) & 3) as u8
    }

    /// Whether the hidden part is usable.
    #[must_use]
    pub const fn usable(&self) -> bool {
        self.attr & Self::P != 0
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TableRegister {
    /// Linear base address.
    pub base: u64,
    /// Offset of the last byte.
    pub limit: u16,
}

/// Model-specific registers that are plain storage to the rules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the manuals' names")]
pub struct Msrs {
    pub efer: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub pat: u64,
    pub tsc_aux: u64,
    /// Added to the counter that RDTSC reads; WRMSR to IA32_TIME_STAMP_COUNTER changes it.
    pub tsc_offset: u64,
    pub tsc_adjust: u64,
    pub misc_enable: u64,
    pub mcg_status: u64,
}

/// Registers of one CPU. FPU and SSE registers stay in the engine.
///
/// `rflags` is complete (status flags and DF computed, bit 1 set). RF in it is
/// exact: it is 1 only at the boundary right after an IRET that loaded it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CpuState {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15 (see [`gpr`]).
    pub gpr: [u64; 16],
    /// The next instruction's address.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    /// ES, CS, SS, DS, FS, GS (see [`SegReg`]). FS.base and GS.base are the MSRs.
    pub seg: [Segment; 6],
    /// LDTR.
    pub ldtr: Segment,
    /// TR.
    pub tr: Segment,
    /// GDTR.
    pub gdtr: TableRegister,
    /// IDTR.
    pub idtr: TableRegister,
    /// CR0.
    pub cr0: u64,
    /// CR2.
    pub cr2: u64,
    /// CR3, bit 63 clear.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// XCR0.
    pub xcr0: u64,
    /// PKRU.
    pub pkru: u32,
    /// DR0 to DR3.
    pub dr: [u64; 4],
    /// DR6.
    pub dr6: u64,
    /// DR7.
    pub dr7: u64,
    /// MSRs.
    pub msr: Msrs,
}

impl CpuState {
    /// A CPU in 64-bit mode at CPL 0 with paging on, flat hidden parts, empty tables
    /// (limits 0) and zero registers.
    #[must_use]
    pub fn long_mode() -> Self {
        let data = Segment::flat_data(0x10, 0);
        Self {
            gpr: [0; 16],
            rip: 0,
            rflags: rflags::FIXED,
            cpl: 0,
            seg: [data, Segment::flat_code64(0x08, 0), data, data, data, data],
            // Present, so that LTR/LLDT-less code has the reset values (SDM vol. 3, table 9-1).
            ldtr: Segment {
                selector: 0,
                base: 0,
                limit: 0xffff,
                attr: Segment::P | (2 << 8),
            },
            tr: Segment {
                selector: 0,
                base: 0,
                limit: 0xffff,
                attr: Segment::P | (11 << 8),
            },
            gdtr: TableRegister::default(),
            idtr: TableRegister::default(),
            cr0: cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::PG,
            cr2: 0,
            cr3: 0,
            cr4: super::bits::cr4::PAE | super::bits::cr4::OSFXSR | super::bits::cr4::OSXMMEXCPT,
            xcr0: 1,
            pkru: 0,
            dr: [0; 4],
            dr6: dr6::FIXED,
            dr7: dr7::FIXED,
            msr: Msrs {
                efer: efer::LME | efer::LMA,
                star: 0,
                lstar: 0,
                cstar: 0,
                sfmask: 0,
                kernel_gs_base: 0,
                sysenter_cs: 0,
                sysenter_esp: 0,
                sysenter_eip: 0,
                pat: 0x0007_0406_0007_0406,
                tsc_aux: 0,
                tsc_offset: 0,
                tsc_adjust: 0,
                misc_enable: 1,
                mcg_status: 0,
            },
        }
    }

    /// The segment register `r`.
    #[must_use]
    pub const fn segment(&self, r: SegReg) -> &Segment {
        &self.seg[r as usize]
    }

    /// The segment register `r`, to change.
    pub const fn segment_mut(&mut self, r: SegReg) -> &mut Segment {
        &mut self.seg[r as usize]
    }

    /// CS.
    #[must_use]
    pub const fn cs(&self) -> &Segment {
        &self.seg[SegReg::Cs as usize]
    }

    /// SS.
    #[must_use]
    pub const fn ss(&self) -> &Segment {
        &self.seg[SegReg::Ss as usize]
    }

    /// RSP.
    #[must_use]
    pub const fn rsp(&self) -> u64 {
        self.gpr[gpr::RSP]
    }

    /// Whether code runs in 64-bit mode (LMA and CS.L), not compatibility mode.
    #[must_use]
    pub const fn is_64bit(&self) -> bool {
        self.msr.efer & efer::LMA != 0 && self.cs().attr & Segment::L != 0
    }

    /// Whether linear addresses have 57 bits.
    #[must_use]
    pub const fn la57(&self) -> bool {
        self.cr4 & super::bits::cr4::LA57 != 0
    }

    /// The I/O privilege level in RFLAGS.
    #[must_use]
    pub const fn iopl(&self) -> u8 {
        ((self.rflags & rflags::IOPL) >> 12) as u8
    }
}
