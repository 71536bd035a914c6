//! The known differences: `differences.md` names each with its reason, and `reach` has what it explains.

use iretrace::load::Image;

use crate::attempt::Attempt;
use crate::compare::Mismatch;
use crate::reach::{accesses, delivery, instructions, returns, sums, traps};

const LIST: &str = include_str!("differences.md");

/// What follows from a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// The sides go on alike: the rest of the case is compared.
    GoOn,
    /// They do not.
    Apart,
}

/// Whether a row explains a mismatch: what is equal but for it.
type Explains = fn(&Mismatch, &Image) -> bool;

/// Code for each row of the list.
const ROWS: &[(&str, Then, Explains)] = &[
    ("idt-code", Then::GoOn, delivery::idt_code),
    ("ext", Then::GoOn, delivery::ext),
    ("reserved-p", Then::GoOn, accesses::reserved_p),
    ("rmw-read", Then::GoOn, accesses::rmw_read),
    ("rmw-order", Then::GoOn, accesses::rmw_order),
    ("fault-flags", Then::Apart, accesses::fault_flags),
    ("iretd-sp", Then::Apart, returns::iretd_sp),
    ("cr0-pe", Then::Apart, instructions::cr0_pe),
    ("mov-ss-again", Then::Apart, traps::mov_ss_again),
    ("ss-vector", Then::Apart, delivery::ss_vector),
    ("branch-commits", Then::Apart, instructions::branch_commits),
    ("sysret-rcx", Then::Apart, returns::sysret_rcx),
    ("syscall-flags", Then::Apart, instructions::syscall_flags),
    ("int1", Then::Apart, traps::int1),
    ("iret-rip", Then::Apart, returns::iret_rip),
    ("iret-privilege", Then::Apart, returns::iret_privilege),
    ("iret-null-ss", Then::Apart, returns::iret_null_ss),
    ("iret-ss-p", Then::Apart, returns::iret_ss_p),
    ("iret-l-d", Then::Apart, returns::iret_l_d),
    ("mov-ss-null", Then::Apart, instructions::mov_ss_null),
    ("push-class", Then::Apart, delivery::push_class),
    ("sti-step", Then::Apart, traps::sti_step),
    ("cmps-fault", Then::Apart, accesses::cmps_fault),
    ("mov-ss-step", Then::Apart, traps::mov_ss_step),
    ("xsetbv-ud", Then::Apart, instructions::xsetbv),
    ("gate-offset", Then::Apart, delivery::gate_offset),
    ("canonical-end", Then::Apart, accesses::canonical_end),
    ("cmps-order", Then::GoOn, accesses::cmps_order),
    ("accessed", Then::GoOn, accesses::accessed),
];

/// Rows of which frames keep a trace, and so the memory below a stack in the test pages.
const IN_FRAMES: [&str; 6] = ["rf", "ss-null", "idt-code", "ext", "reserved-p", "rmw-read"];

/// Whether an event at `rip` interrupts a handler that has not yet taken out of its frame what is
/// the peer's own there.
fn frame_stays(rip: u64, image: &Image) -> bool {
    let at = |name: &str| image.resolve(name).map_or(0, |a| a.0);
    let within = |from: &str, to: &str| (at(from)..at(to)).contains(&rip);
    within("handler", "handler_cleaned") || within("stub_0", "stub_67")
}

/// Differences that leave traces in later events, which are taken out before sides are compared.
pub fn normalise(
    ours: &Attempt,
    peer: &mut Attempt,
    before: Option<&Attempt>,
    seen: &mut Vec<&'static str>,
) {
    const R11: usize = 11;
    const R13: usize = 13;
    const RF: u64 = 1 << 16;
    // The handlers keep the pushed RF in r11.
    if ours.gpr[R11] == RF && peer.gpr[R11] == 0 {
        peer.gpr[R11] = RF;
        seen.push("rf");
    }
    if before.is_some_and(|b| b.software) && ours.gpr[R11] == 0 && peer.gpr[R11] == RF {
        peer.gpr[R11] = 0;
        seen.push("rf");
    }
    // SS of a frame that was pushed while SS was null is in r13.
    const SS: u64 = 0x10 << 32;
    if ours.gpr[R13] ^ peer.gpr[R13] == SS && peer.gpr[R13] & (0xffff << 32) == 0 {
        peer.gpr[R13] = ours.gpr[R13];
        seen.push("ss-null");
    }
    if ours.cpl == 0 && peer.cpl == 0 && ours.ss == 0x10 && peer.ss == 0 {
        peer.ss = 0x10;
        seen.push("ss-null");
    }
}

/// The row that explains `m`.
pub fn explain(
    m: &Mismatch,
    image: &Image,
    earlier: &[Attempt],
    rows: &[&'static str],
) -> Option<(&'static str, Then)> {
    let kept = earlier.iter().any(|a| frame_stays(a.rip, image));
    if kept && sums(m) && rows.iter().any(|row| IN_FRAMES.contains(row)) {
        return Some(("frame-values", Then::Apart));
    }
    if sums(m) && earlier.iter().any(|a| accesses::half_stored(a, image)) {
        return Some(("wide-store", Then::Apart));
    }
    ROWS.iter()
        .find(|(_, _, explains)| explains(m, image))
        .map(|(name, then, _)| (*name, *then))
}

/// The rows of the list, by name.
pub fn listed() -> Vec<&'static str> {
    LIST.lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// The names that the code knows.
pub fn known() -> Vec<&'static str> {
    let mut all: Vec<_> = ROWS.iter().map(|r| r.0).collect();
    all.extend(["rf", "ss-null", "frame-values", "wide-store"]);
    all
}
