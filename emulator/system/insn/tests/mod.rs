//! Each group against the manuals, instruction by instruction, from encoded bytes.

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::{Outcome, execute};
use crate::arch::{Exception, SegReg, Segment, Trap};
use crate::system::testing::{Rig, place, sel};

mod barrier;
mod cache;
mod control;
mod cpuid;
mod data_access;
mod debug;
mod far;
mod flags;
mod hostile;
mod intercept;
mod msr;
mod near_branch;
mod operand;
mod port_io;
mod segment;
mod system_segment;

/// Decodes `bytes` at `rip`.
fn decode(bitness: u32, rip: u64, bytes: &[u8]) -> Instruction {
    Decoder::with_ip(bitness, bytes, rip, DecoderOptions::NONE).decode()
}

/// A page of data that any CPL may use.
const DATA: u64 = place::USER_STACK - 0x1000;

/// The first address beyond the lower half, with 4-level paging.
const HOLE: u64 = 0x0000_8000_0000_0000;

impl Rig {
    /// Executes one instruction at RIP.
    fn run(&mut self, bytes: &[u8]) -> Result<Outcome, Trap> {
        let bitness = if self.cpu.regs.is_64bit() { 64 } else { 32 };
        let insn = decode(bitness, self.cpu.regs.rip, bytes);
        execute(&mut self.cpu, &mut self.bus, &insn)
    }

    /// Executes one instruction that must complete and move RIP past itself.
    #[track_caller]
    fn done(&mut self, bytes: &[u8]) -> Outcome {
        let next = self.cpu.regs.rip + bytes.len() as u64;
        let outcome = self.run(bytes).expect("completes");
        assert_eq!(self.cpu.regs.rip, next, "RIP after the instruction");
        outcome
    }

    /// Executes one instruction that must fault and change no register.
    #[track_caller]
    fn faults(&mut self, bytes: &[u8], expected: Exception) {
        let before = self.cpu.regs.clone();
        assert_eq!(self.run(bytes), Err(Trap::Exception(expected)));
        assert_eq!(self.cpu.regs, before, "registers after a fault");
    }

    /// Executes one instruction that must stop the run, and change no register.
    #[track_caller]
    fn refuses(&mut self, bytes: &[u8]) -> String {
        let before = self.cpu.regs.clone();
        let Err(Trap::NotModelled(text)) = self.run(bytes) else {
            panic!("must not be modelled");
        };
        assert_eq!(self.cpu.regs, before);
        text
    }

    /// Goes to compatibility mode at CPL 3.
    fn compatibility(&mut self) {
        self.user();
        *self.cpu.regs.segment_mut(SegReg::Cs) = Segment::flat_code32(sel::USER_CS32, 3);
    }

    fn gpr(&mut self, index: usize) -> &mut u64 {
        &mut self.cpu.regs.gpr[index]
    }
}

const GP0: Exception = Exception::gp(0);
const UD: Exception = Exception::ud();
