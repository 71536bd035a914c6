//! `--dump tlb`: the cached translations.

use std::fmt::Write as _;

use super::list::View;
use super::tables::size_name;

/// Appends them.
pub fn dump(view: View<'_>, out: &mut String) {
    let entries = view.machine.cpu().tlb.entries();
    let _ = writeln!(out, "cached translations: {}", entries.len());
    for (pcid, at, t) in entries {
        let whose = if t.global {
            "global   ".to_owned()
        } else {
            format!("pcid {pcid:<4}")
        };
        let mut rights = String::new();
        for (on, word) in [
            (t.rights.writable, " W"),
            (t.rights.user, " U"),
            (t.rights.executable, " X"),
            (t.dirty, " dirty"),
            (t.fetched, " fetched"),
        ] {
            if on {
                rights.push_str(word);
            }
        }
        if t.key != 0 {
            let _ = write!(rights, " PK{}", t.key);
        }
        let _ = writeln!(
            out,
            "  {whose} {:016x} -> {:012x}  {}{rights}",
            at.0,
            t.frame.0,
            size_name(t.page_size)
        );
    }
}
