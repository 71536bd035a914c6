//! `--dump idt`: the present gates of the IDT.

use std::fmt::Write as _;

use iretrace::arch::gate::GATE_SIZE;
use iretrace::arch::{Gate, Vector};

use super::list::View;
use super::memory::read_u64;

/// Appends them, and says how many there are besides.
pub fn dump(view: View<'_>, out: &mut String) {
    let table = view.machine.cpu().regs.idtr;
    let _ = writeln!(out, "IDT at {:#x}, limit {:#x}", table.base, table.limit);
    let size = u64::from(table.limit) + 1;
    let gates = (size / GATE_SIZE).min(256);
    let (mut absent, mut unmapped) = (0, 0);
    for n in 0..=255_u8 {
        let offset = u64::from(n) * GATE_SIZE;
        if u64::from(n) >= gates {
            break;
        }
        let at = table.base.wrapping_add(offset);
        let halves = read_u64(view.machine, at).zip(read_u64(view.machine, at.wrapping_add(8)));
        let Some((low, high)) = halves else {
            unmapped += 1;
            continue;
        };
        let gate = Gate { low, high };
        if gate.present() {
            row(view, out, n, gate);
        } else {
            absent += 1;
        }
    }
    let _ = writeln!(
        out,
        "  {absent} not present, {unmapped} not mapped, {} beyond the limit",
        256 - gates
    );
}

fn row(view: View<'_>, out: &mut String, n: u8, gate: Gate) {
    let name = Vector(n).mnemonic().unwrap_or("");
    let kind = match (gate.is_interrupt(), gate.is_interrupt_or_trap()) {
        (true, _) => "interrupt".to_owned(),
        (_, true) => "trap".to_owned(),
        _ => format!("bad type {:#x}", (gate.low >> 40) & 0x1f),
    };
    let ist = match gate.ist() {
        0 => "    ".to_owned(),
        i => format!("IST{i}"),
    };
    let _ = writeln!(
        out,
        "  {n:02x} {name:<4} {kind:<9} DPL {} {ist} to {:04x}:{}",
        gate.dpl(),
        gate.selector().0,
        view.place(gate.offset())
    );
}
