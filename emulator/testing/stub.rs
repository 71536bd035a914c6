//! Stubs: guest code that stands for what the code under test calls and nobody defines.

use super::layout::STUB_SIZE;
use crate::trace::Boundary;

/// What a stub does to the machine before it returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stub {
    /// What it returns in RAX.
    pub returns: u64,
    /// It returns its first argument, as handlers do that are given a frame and return one to go on
    /// with.
    pub returns_first: bool,
    /// Whether it overwrites the registers that a function may (System V ABI, 3.2.1): RCX, RDX, RSI,
    /// RDI, R8 to R11.
    pub clobbers: bool,
    /// Whether it leaves another address in CR2, as a fault in the function would; `None`: if the
    /// case is about a #PF.
    pub clobbers_cr2: Option<bool>,
}

impl Default for Stub {
    fn default() -> Self {
        Self {
            returns: 0,
            returns_first: false,
            clobbers: true,
            clobbers_cr2: None,
        }
    }
}

/// What a stub leaves in CR2.
pub const CLOBBERED_CR2: u64 = 0xffff_cccc_cccc_c000;

/// What it leaves in the register with this number.
#[must_use]
pub const fn clobbered(register: u8) -> u64 {
    0xdead_0000_0000_0000 | (register as u64) << 8 | 0xcc
}

/// RCX, RDX, RSI, RDI, R8 to R11, by encoding; RAX is the result.
const CALLER_SAVED: [u8; 8] = [1, 2, 6, 7, 8, 9, 10, 11];

/// The call of a stub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// When it was entered.
    pub at: Boundary,
    /// The instruction that entered it.
    pub from: u64,
    /// RDI, RSI, RDX, RCX, R8, R9 (System V ABI, 3.2.3).
    pub arguments: [u64; 6],
    /// RSP at its entry, where the return address is.
    pub rsp: u64,
    /// CPL.
    pub cpl: u8,
}

/// MOV r64, imm64 (SDM vol. 2, MOV: REX.W + B8+ rd).
fn load(code: &mut Vec<u8>, register: u8, value: u64) {
    code.extend([0x48 | register >> 3, 0xb8 | register & 7]);
    code.extend(value.to_le_bytes());
}

impl Stub {
    /// Its code; `page_fault`: the case is about a #PF.
    #[must_use]
    pub fn code(&self, page_fault: bool) -> Vec<u8> {
        let mut code = Vec::with_capacity(STUB_SIZE as usize);
        if self.clobbers_cr2.unwrap_or(page_fault) {
            load(&mut code, 0, CLOBBERED_CR2);
            // MOV CR2, RAX
            code.extend([0x0f, 0x22, 0xd0]);
        }
        if self.returns_first {
            // MOV RAX, RDI
            code.extend([0x48, 0x89, 0xf8]);
        } else {
            load(&mut code, 0, self.returns);
        }
        if self.clobbers {
            for r in CALLER_SAVED {
                load(&mut code, r, clobbered(r));
            }
        }
        code.push(0xc3);
        debug_assert!(code.len() as u64 <= STUB_SIZE);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Mnemonic, Register};

    #[test]
    fn stubs_are_what_they_say() {
        let stub = Stub {
            returns: 7,
            clobbers_cr2: Some(true),
            ..Stub::default()
        };
        let code = stub.code(false);
        assert!(code.len() as u64 <= STUB_SIZE);
        let insns: Vec<_> = Decoder::new(64, &code, DecoderOptions::NONE)
            .iter()
            .map(|i| (i.mnemonic(), i.op0_register(), i.immediate64()))
            .collect();
        let loads = |n: usize, register, value| {
            assert_eq!(insns[n], (Mnemonic::Mov, register, value));
        };
        loads(0, Register::RAX, CLOBBERED_CR2);
        assert_eq!(insns[1].1, Register::CR2);
        loads(2, Register::RAX, 7);
        loads(3, Register::RCX, clobbered(1));
        loads(10, Register::R11, clobbered(11));
        assert_eq!(insns[11].0, Mnemonic::Ret);
        assert_eq!(insns.len(), 12);
        let first = Stub {
            returns_first: true,
            clobbers: false,
            ..Stub::default()
        };
        assert_eq!(first.code(false), [0x48, 0x89, 0xf8, 0xc3]);
    }
}
