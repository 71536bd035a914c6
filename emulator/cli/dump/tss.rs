//! `--dump tss`: the stacks in the TSS.

use std::fmt::Write as _;

use iretrace::arch::tss;

use super::list::View;
use super::memory::{read_u16, read_u64};

/// Appends them.
pub fn dump(view: View<'_>, out: &mut String) {
    let tr = view.machine.cpu().regs.tr;
    let _ = writeln!(
        out,
        "TSS {:04x} at {:#x}, limit {:#x}",
        tr.selector, tr.base, tr.limit
    );
    let rsp = (0..3).map(|i| (format!("RSP{i}"), tss::rsp_offset(i)));
    let ist = (1..8).map(|i| (format!("IST{i}"), tss::ist_offset(i)));
    for (name, offset) in rsp.chain(ist) {
        let value = if u64::from(offset) + 7 > u64::from(tr.limit) {
            "beyond the limit".to_owned()
        } else {
            match read_u64(view.machine, tr.base.wrapping_add(offset.into())) {
                Some(0) => "0".to_owned(),
                Some(at) => view.place(at),
                None => "not mapped".to_owned(),
            }
        };
        let _ = writeln!(out, "  {name}  {value}");
    }
    let at = tr.base.wrapping_add(tss::IO_MAP_BASE.into());
    let map = match read_u16(view.machine, at) {
        _ if tss::IO_MAP_BASE + 1 > tr.limit => "beyond the limit".to_owned(),
        None => "not mapped".to_owned(),
        // The bitmap ends at the limit; a base there or behind it means that there is none.
        Some(base) if u32::from(base) > tr.limit => format!("{base:#x} (no bitmap)"),
        Some(base) => format!("{base:#x}"),
    };
    let _ = writeln!(out, "  I/O map base  {map}");
}
