//! MOV to and from DR0 to DR7 (SDM vol. 2, MOV DR; vol. 3, 17.2).

use iced_x86::{Instruction, Register};

use super::checks::{require, require_cpl0};
use super::control::control_written;
use super::operand::{register, set_register};
use crate::arch::bits::{cr4, dr6, dr7};
use crate::arch::{Exception, Trap};
use crate::system::debug::general_detect;
use crate::system::{Bus, Cpu};

/// The DR6 bits that software writes: B0 to B3, BD, BS, BT.
const DR6_BITS: u64 = 0xf | dr6::BD | dr6::BS | dr6::BT;

/// The DR7 bits that software writes: L0 to G3, LE, GE, GD, R/W0 to LEN3.
const DR7_BITS: u64 = 0xffff_0000 | dr7::GD | 0x3ff;

/// The register's number, DR4 and DR5 resolved, after all checks that need no value.
fn checked(cpu: &Cpu, r: Register) -> Result<usize, Exception> {
    if !r.is_dr() || r.number() > 7 {
        return Err(Exception::ud());
    }
    let number = match r.number() {
        4 | 5 if cpu.regs.cr4 & cr4::DE != 0 => return Err(Exception::ud()),
        n @ (4 | 5) => n + 2,
        n => n,
    };
    require_cpl0(&cpu.regs)?;
    match general_detect(&cpu.regs) {
        Some(detected) => Err(detected),
        None => Ok(number),
    }
}

/// MOV r, DRn.
///
/// # Errors
/// #UD for DR4 and DR5 with CR4.DE; #GP(0) at CPL > 0; #DB with BD if DR7.GD.
pub fn mov_from_dr(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Trap> {
    let value = match checked(cpu, insn.op1_register())? {
        6 => cpu.regs.dr6,
        7 => cpu.regs.dr7,
        n => cpu.regs.dr[n & 3],
    };
    set_register(&mut cpu.regs, insn.op0_register(), value);
    Ok(())
}

/// MOV DRn, r.
///
/// # Errors
/// As [`mov_from_dr`]; #GP(0) if bits 63:32 of a value for DR6 or DR7 are not 0.
pub fn mov_to_dr(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let number = checked(cpu, insn.op0_register())?;
    let value = register(&cpu.regs, insn.op1_register());
    let regs = &mut cpu.regs;
    let (name, slot, new) = match number {
        6 => ("dr6", &mut regs.dr6, value & DR6_BITS | dr6::FIXED),
        7 => ("dr7", &mut regs.dr7, value & DR7_BITS | dr7::FIXED),
        n => {
            let name = ["dr0", "dr1", "dr2", "dr3"][n & 3];
            (name, &mut regs.dr[n & 3], value)
        }
    };
    require(number < 6 || value >> 32 == 0, 0)?;
    let old = std::mem::replace(slot, new);
    control_written(bus, name, old, new);
    if number != 6 && old != new {
        // Pages with an armed data breakpoint are not given to the engine.
        bus.flush_engine_tlb();
    }
    Ok(())
}
