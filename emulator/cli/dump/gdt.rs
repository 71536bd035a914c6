//! `--dump gdt`: the descriptors of the GDT.

use std::fmt::Write as _;

use iretrace::arch::descriptor::{Descriptor, SystemDescriptor, system_type};
use iretrace::arch::{Gate, Selector};

use super::descriptor;
use super::list::View;
use super::memory::read_u64;

/// Appends them: all that are in the limit, but null ones only at selector 0.
pub fn dump(view: View<'_>, out: &mut String) {
    let r = &view.machine.cpu().regs;
    let table = r.gdtr;
    let _ = writeln!(out, "GDT at {:#x}, limit {:#x}", table.base, table.limit);
    let size = u64::from(table.limit) + 1;
    let mut offset = 0;
    while offset + 8 <= size {
        let at = table.base.wrapping_add(offset);
        let Some(low) = read_u64(view.machine, at).map(Descriptor) else {
            let _ = writeln!(out, "  {offset:04x}  not mapped");
            // Nothing else of this page is, either.
            offset = (offset + 8).max(((at | 0xfff).wrapping_add(1)).wrapping_sub(table.base));
            continue;
        };
        let system = low.is_system() && low.0 != 0;
        let wide = system && low.kind() != 0 && offset + 16 <= size;
        if wide {
            let high = read_u64(view.machine, at.wrapping_add(8)).unwrap_or(0);
            let words = system_words(view, SystemDescriptor { low, high });
            let _ = writeln!(out, "  {offset:04x}  {:016x} {high:016x}  {words}", low.0);
            offset += 16;
            continue;
        }
        if low.0 != 0 {
            let _ = writeln!(
                out,
                "  {offset:04x}  {:016x}  {}  base {:#x} limit {:#x}{}",
                low.0,
                descriptor::words(low.attr()),
                low.base(),
                low.limit(),
                users(view, offset)
            );
        } else if offset == 0 {
            let _ = writeln!(out, "  0000  null");
        }
        offset += 8;
    }
}

fn system_words(view: View<'_>, d: SystemDescriptor) -> String {
    let words = descriptor::words(d.low.attr());
    match d.low.kind() {
        system_type::CALL_GATE => {
            let gate = Gate {
                low: d.low.0,
                high: d.high,
            };
            let Selector(cs) = gate.selector();
            format!("{words} to {cs:04x}:{}", view.place(gate.offset()))
        }
        _ => format!("{words}  base {:#x} limit {:#x}", d.base(), d.low.limit()),
    }
}

/// Which segment registers hold this selector now.
fn users(view: View<'_>, offset: u64) -> String {
    let names = ["ES", "CS", "SS", "DS", "FS", "GS"];
    let r = &view.machine.cpu().regs;
    let used: Vec<&str> = names
        .into_iter()
        .zip(&r.seg)
        .filter(|(_, s)| {
            let selector = Selector(s.selector);
            !selector.is_local() && selector.offset() == offset
        })
        .map(|(name, _)| name)
        .collect();
    if used.is_empty() {
        String::new()
    } else {
        format!("  in {}", used.join(" "))
    }
}
