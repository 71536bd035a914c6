//! Page walks, level by level.

use super::page::Page;
use super::palette::Tone;
use super::words::page_fault_reason;
use crate::arch::AccessKind;
use crate::arch::bits::pte;
use crate::trace::event::{Walk, WalkOutcome, WalkStep};

/// Names of the levels, from 1 (SDM vol. 3, 4.5).
const LEVELS: [&str; 5] = ["PTE", "PDE", "PDPTE", "PML4E", "PML5E"];

/// PAT in an entry that maps 4 KiB, and in one that maps more (SDM vol. 3, table 4-19, 4-20).
const PAT_SMALL: u64 = 1 << 7;
const PAT_LARGE: u64 = 1 << 12;

/// One walk: a row, and a line a level for a walk that faults or when `full`.
pub(super) fn walk(page: &mut Page<'_, '_>, walk: &Walk, full: bool) {
    let faulted = match walk.outcome {
        WalkOutcome::Mapped { .. } => {
            page.tone(Tone::Quiet);
            false
        }
        WalkOutcome::PageFault { .. } => {
            page.tone(Tone::Fault);
            true
        }
    };
    page.s("walk: ");
    if walk.implicit {
        page.s("implicit ");
    } else if walk.user {
        page.s("user ");
    }
    page.s(match walk.access {
        AccessKind::Read => "read ",
        AccessKind::Write => "write ",
        AccessKind::Fetch => "fetch ",
    });
    page.hex(walk.address.0);
    match walk.outcome {
        WalkOutcome::Mapped { phys, page_size } => {
            page.s(" -> ").hex(phys.0).s(" (");
            match page_size {
                0x1000 => page.s("4 KiB"),
                0x20_0000 => page.s("2 MiB"),
                0x4000_0000 => page.s("1 GiB"),
                other => page.hex(other).s(" bytes"),
            };
            page.s(")");
        }
        WalkOutcome::PageFault { error_code } => {
            page.s(": #PF, ").s(page_fault_reason(error_code));
        }
    }
    for step in &walk.steps {
        if faulted || full || step.updated.is_some() {
            show_step(page, step);
        }
    }
}

/// `PDPTE  0x2000         0x3007             P W U      -> 0x3027 (A set)`
fn show_step(page: &mut Page<'_, '_>, step: &WalkStep) {
    page.detail();
    match usize::from(step.level)
        .checked_sub(1)
        .and_then(|i| LEVELS.get(i))
    {
        Some(name) => page.s(name),
        None => page.s("level ").dec(step.level),
    };
    page.tab(8).hex(step.entry_at.0);
    page.tab(23).hex(step.entry.0);
    page.tab(41);
    let entry = step.entry.0;
    if entry & pte::P == 0 {
        page.s(" not present");
    } else {
        flags(page, step.level, entry);
    }
    if let Some(updated) = step.updated {
        let set = updated.0 & !entry;
        page.s(match (set & pte::A != 0, set & pte::D != 0) {
            (true, true) => "  (A and D set)",
            (true, false) => "  (A set)",
            (false, true) => "  (D set)",
            (false, false) => "  (rewritten)",
        });
    }
}

/// The letters of a present entry's bits (SDM vol. 3, tables 4-15 to 4-20).
fn flags(page: &mut Page<'_, '_>, level: u8, entry: u64) {
    let large = matches!(level, 2 | 3) && entry & pte::PS != 0;
    let leaf = level == 1 || large;
    let letters: [(bool, &str); 11] = [
        (true, " P"),
        (entry & pte::W != 0, " W"),
        (entry & pte::U != 0, " U"),
        (entry & pte::PWT != 0, " PWT"),
        (entry & pte::PCD != 0, " PCD"),
        (entry & pte::A != 0, " A"),
        (leaf && entry & pte::D != 0, " D"),
        (large, " PS"),
        (
            (large && entry & PAT_LARGE != 0) || (level == 1 && entry & PAT_SMALL != 0),
            " PAT",
        ),
        (leaf && entry & pte::G != 0, " G"),
        (entry & pte::XD != 0, " XD"),
    ];
    for (set, letter) in letters {
        if set {
            page.s(letter);
        }
    }
    let key = (entry >> 59) & 15;
    if leaf && key != 0 {
        page.s(" PK").dec(key);
    }
}
