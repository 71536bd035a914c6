//! `--dump idt`: the present gates of the IDT.

use std::fmt::Write as _;

use iretrace::arch::gate::GATE_SIZE;
use iretrace::arch::{Gate, Vector};

use super::list::View;
use super::memory::read_u64;

/// Appends them, and says how many there are besides. Neighbours that are the same gate, of
/// vectors without a name, are one row.
pub fn dump(view: View<'_>, out: &mut String) {
    let table = view.machine.cpu().regs.idtr;
    let _ = writeln!(out, "IDT at {:#x}, limit {:#x}", table.base, table.limit);
    let gates = ((u64::from(table.limit) + 1) / GATE_SIZE).min(256);
    let (mut absent, mut unmapped) = (0, 0);
    let mut rows: Vec<(Vector, Vector, Gate)> = Vec::new();
    for n in (0..=255_u8).take(gates as usize) {
        let at = table.base.wrapping_add(u64::from(n) * GATE_SIZE);
        let low = read_u64(view.machine, at);
        let high = read_u64(view.machine, at.wrapping_add(8));
        let Some((low, high)) = low.zip(high) else {
            unmapped += 1;
            continue;
        };
        let gate = Gate { low, high };
        if !gate.present() {
            absent += 1;
            continue;
        }
        match rows.last_mut() {
            Some((_, last, of))
                if *of == gate
                    && last.0.checked_add(1) == Some(n)
                    && last.mnemonic().is_none()
                    && Vector(n).mnemonic().is_none() =>
            {
                *last = Vector(n);
            }
            _ => rows.push((Vector(n), Vector(n), gate)),
        }
    }
    for (first, last, gate) in rows {
        row(view, out, first, last, gate);
    }
    let _ = writeln!(
        out,
        "  {absent} not present, {unmapped} not mapped, {} beyond the limit",
        256 - gates
    );
}

fn row(view: View<'_>, out: &mut String, first: Vector, last: Vector, gate: Gate) {
    let vectors = if first == last {
        format!("{:02x} {}", first.0, first.mnemonic().unwrap_or(""))
    } else {
        format!("{:02x}..{:02x}", first.0, last.0)
    };
    let kind = match (gate.is_interrupt(), gate.is_interrupt_or_trap()) {
        (true, _) => "interrupt".to_owned(),
        (_, true) => "trap".to_owned(),
        _ => format!("bad type {:#x}", (gate.low >> 40) & 0x1f),
    };
    let ist = match gate.ist() {
        0 => String::new(),
        i => format!("IST{i}"),
    };
    let _ = writeln!(
        out,
        "  {vectors:<7} {kind:<9} DPL {} {ist:<4} to {:04x}:{}",
        gate.dpl(),
        gate.selector().0,
        view.place(gate.offset())
    );
}
