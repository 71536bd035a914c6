//! Registers by name.

use std::fmt;
use std::str::FromStr;

use super::error::TestError;
use crate::arch::state::SegReg;
use crate::arch::{CpuState, Vector};
use crate::suggest::Nearest;

macro_rules! registers {
    ($($id:ident $name:literal)*) => {
        /// A register that a test can set and compare.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[expect(missing_docs, reason = "the manuals' names")]
        pub enum Register { $($id),* }

        impl Register {
            /// All, in the order in which differences are shown.
            pub const ALL: &'static [Self] = &[$(Self::$id),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name),* }
            }
        }
    };
}

registers! {
    Rax "rax" Rcx "rcx" Rdx "rdx" Rbx "rbx" Rsp "rsp" Rbp "rbp" Rsi "rsi" Rdi "rdi"
    R8 "r8" R9 "r9" R10 "r10" R11 "r11" R12 "r12" R13 "r13" R14 "r14" R15 "r15"
    Rip "rip" Rflags "rflags" Cs "cs" Ss "ss" Ds "ds" Es "es" Fs "fs" Gs "gs"
    FsBase "fs_base" GsBase "gs_base" KernelGsBase "kernel_gs_base"
    Cr0 "cr0" Cr2 "cr2" Cr3 "cr3" Cr4 "cr4"
    Dr0 "dr0" Dr1 "dr1" Dr2 "dr2" Dr3 "dr3" Dr6 "dr6" Dr7 "dr7"
}

/// Why [`Register::set`] refuses.
pub(super) const SELECTOR: &str = "a selector cannot be set by itself";

const SEGMENTS: [(Register, SegReg); 6] = [
    (Register::Cs, SegReg::Cs),
    (Register::Ss, SegReg::Ss),
    (Register::Ds, SegReg::Ds),
    (Register::Es, SegReg::Es),
    (Register::Fs, SegReg::Fs),
    (Register::Gs, SegReg::Gs),
];

impl Register {
    /// Its value; a segment register's is its selector.
    #[must_use]
    pub fn get(self, regs: &CpuState) -> u64 {
        let n = self as usize;
        if n < 16 {
            return regs.gpr[n];
        }
        if let Some((_, s)) = SEGMENTS.iter().find(|s| s.0 == self) {
            return regs.segment(*s).selector.into();
        }
        match self {
            Self::Rip => regs.rip,
            Self::Rflags => regs.rflags,
            Self::FsBase => regs.segment(SegReg::Fs).base,
            Self::GsBase => regs.segment(SegReg::Gs).base,
            Self::KernelGsBase => regs.msr.kernel_gs_base,
            Self::Cr0 => regs.cr0,
            Self::Cr2 => regs.cr2,
            Self::Cr3 => regs.cr3,
            Self::Cr4 => regs.cr4,
            Self::Dr0 => regs.dr[0],
            Self::Dr1 => regs.dr[1],
            Self::Dr2 => regs.dr[2],
            Self::Dr3 => regs.dr[3],
            Self::Dr6 => regs.dr6,
            _ => regs.dr7,
        }
    }

    /// Sets it. `false`: a selector, which is not set without its hidden part.
    pub fn set(self, regs: &mut CpuState, value: u64) -> bool {
        let n = self as usize;
        if n < 16 {
            regs.gpr[n] = value;
            return true;
        }
        match self {
            Self::Rip => regs.rip = value,
            Self::Rflags => regs.rflags = value | crate::arch::bits::rflags::FIXED,
            Self::FsBase => regs.segment_mut(SegReg::Fs).base = value,
            Self::GsBase => regs.segment_mut(SegReg::Gs).base = value,
            Self::KernelGsBase => regs.msr.kernel_gs_base = value,
            Self::Cr0 => regs.cr0 = value,
            Self::Cr2 => regs.cr2 = value,
            Self::Cr3 => regs.cr3 = value,
            Self::Cr4 => regs.cr4 = value,
            Self::Dr0 => regs.dr[0] = value,
            Self::Dr1 => regs.dr[1] = value,
            Self::Dr2 => regs.dr[2] = value,
            Self::Dr3 => regs.dr[3] = value,
            Self::Dr6 => regs.dr6 = value | crate::arch::bits::dr6::FIXED,
            Self::Dr7 => regs.dr7 = value | crate::arch::bits::dr7::FIXED,
            _ => return false,
        }
        true
    }

    /// Sets it, or says that the test is wrong.
    pub(super) fn arrange(self, regs: &mut CpuState, value: u64) -> Result<(), TestError> {
        if self.set(regs, value) {
            return Ok(());
        }
        Err(TestError::setup(self.name(), SELECTOR))
    }

    /// Whether the event itself may change it: CR2 by a #PF, DR6 (and DR7.GD) by a #DB.
    #[must_use]
    pub fn is_changed_by(self, vector: Vector) -> bool {
        match vector {
            Vector::PF => self == Self::Cr2,
            Vector::DB => matches!(self, Self::Dr6 | Self::Dr7),
            _ => false,
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Register {
    type Err = String;

    /// What is wrong, with the register that was probably meant.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(r) = Self::ALL.iter().find(|r| r.name() == text) {
            return Ok(*r);
        }
        let mut nearest = Nearest::to(text);
        Self::ALL.iter().for_each(|r| nearest.offer(r.name()));
        Err(match nearest.into_best() {
            Some(near) => format!("no such register '{text}': did you mean '{near}'?"),
            None => format!("no such register '{text}': write rax, rflags, cr2, gs_base, ..."),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read() {
        let mut regs = CpuState::long_mode();
        for (n, r) in Register::ALL.iter().enumerate() {
            assert_eq!(r.name().parse(), Ok(*r));
            let value = 0xffff_0ff0 | 0x402 | (n as u64) << 40;
            if r.set(&mut regs, value) {
                assert_eq!(r.get(&regs), value, "{r}");
            }
        }
        assert_eq!(Register::R15 as usize, 15);
        assert!("rxa".parse::<Register>().unwrap_err().contains("rax"));
    }
}
