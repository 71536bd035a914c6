//! Page faults at exact bytes, A and D bits, and cached translations (SDM vol. 3, "Page-Fault
//! Exceptions", "Accessed and Dirty Flags", "Caching Translation Information").

use crate::support::*;

/// The instruction at `here` faults with this error code, and CR2 is `at`.
#[track_caller]
fn faults(body: &str, rest: &str, error_code: u32, at: &str) -> Bench {
    let (b, d) = Bench::new(body, rest).fail();
    assert_page_fault(&d, error_code, b.at(at));
    assert_eq!(d.pushed.rip.0, b.at("here"), "{body}");
    assert_eq!(d.pushed.rflags.0 & RF, RF, "{body}");
    b
}

const B_ABSENT: &str = "unmap page_b\ninvlpg [page_b]\nmov eax, -1\n";

/// A read-modify-write is a write, with LOCK and without.
#[test]
fn a_read_modify_write_faults_as_a_write() {
    for insn in [
        "lock add [page_b], eax",
        "add [page_b], eax",
        "inc byte ptr [page_b]",
        "xchg [page_b], rax",
        "lock cmpxchg [page_b], rcx",
        "bts dword ptr [page_b], 3",
    ] {
        faults(&format!("{B_ABSENT}here: {insn}"), "", 2, "page_b");
    }
    for insn in [
        "mov eax, [page_b]",
        "cmp [page_b], eax",
        "test byte ptr [page_b], 1",
    ] {
        faults(&format!("{B_ABSENT}here: {insn}"), "", 0, "page_b");
    }
}

/// CR2 is the first byte in the page that faults, and nothing is written in the page before it.
#[test]
fn a_store_across_a_page_end_writes_all_or_nothing() {
    for (insn, back) in [
        ("mov [page_b - 4], rax", 4),
        ("movups [page_b - 8], xmm0", 8),
        ("movups [page_b - 15], xmm0", 15),
        ("add [page_b - 1], rax", 1),
        ("mov [page_b - 3], eax", 3),
        ("mov [page_b - 1], ax", 1),
    ] {
        let body = format!("{B_ABSENT}pcmpeqd xmm0, xmm0\nmov rax, -1\nhere: {insn}");
        let b = faults(&body, "", 2, "page_b");
        let end = b.quad("page_b-8");
        assert_eq!(
            (end, b.quad("page_b-16")),
            (0, 0),
            "{insn}, {back} bytes before"
        );
    }
    faults(
        &format!("{B_ABSENT}here: mov rax, [page_b - 4]"),
        "",
        0,
        "page_b",
    );
}

/// A crossing store whose first page faults: CR2 is the first byte of the access.
#[test]
fn a_store_whose_first_page_is_absent() {
    let body = "unmap page_a\ninvlpg [page_a]\nmov rax, -1\nhere: mov [page_b - 4], rax";
    let b = faults(body, "", 2, "page_b-4");
    assert_eq!(b.quad("page_b"), 0);
}

#[test]
fn a_push_and_a_call_into_an_absent_page() {
    for insn in ["push rax", "call finish", "pushfq"] {
        let body = format!(
            "gate PF, unexpected, ist=4\nunmap page_a\ninvlpg [page_a]\nmov rsp, offset page_b\nhere: {insn}\nfinish:"
        );
        let b = faults(&body, "", 2, "page_b-8");
        assert_eq!(b.deliveries()[0].pushed.rsp.0, b.at("page_b"), "{insn}");
    }
}

fn pte_of(b: &Bench, page: &str) -> u64 {
    b.quad(&format!("low_pt+{:#x}", b.at(page) >> 12 << 3))
}

const ACCESSED: u64 = 0x20;
const DIRTY: u64 = 0x40;

/// A read sets A; the first write sets D, although the translation is cached.
#[test]
fn a_write_sets_dirty_after_a_read() {
    let mut b = Bench::new(
        "mov eax, [page_a]\nafter_read: mov [page_a], al\nafter_write: nop",
        "",
    );
    b.run_to("after_read");
    assert_eq!(pte_of(&b, "page_a") & 0xfff, 3 | ACCESSED);
    b.run_to("after_write");
    assert_eq!(pte_of(&b, "page_a") & 0xfff, 3 | ACCESSED | DIRTY);
}

/// The D bit that software clears is set again only after an invalidation.
#[test]
fn dirty_is_cached_until_invlpg() {
    let clear = "mov eax, offset page_a\nshr eax, 12\nand qword ptr [low_pt + rax * 8], ~0x60\n";
    for (invalidate, bits) in [("", 0), ("invlpg [page_a]", ACCESSED | DIRTY)] {
        let body = format!("mov [page_a], al\n{clear}{invalidate}\nmov [page_a], al");
        let b = Bench::new(&body, "").succeed();
        assert_eq!(pte_of(&b, "page_a") & 0x60, bits, "{invalidate}");
    }
}

/// A walk that faults leaves the leaf's A bit alone.
#[test]
fn a_refused_write_marks_nothing() {
    let b = faults(
        "pte page_a, PRESENT\ninvlpg [page_a]\nhere: mov [page_a], al",
        "",
        3,
        "page_a",
    );
    assert_eq!(pte_of(&b, "page_a") & 0xfff, 1);
}

/// An absent translation is never cached.
#[test]
fn a_page_that_becomes_present_needs_no_invalidation() {
    let b = Bench::new(
        "gate PF, pf_entry\nunmap page_a\ninvlpg [page_a]\nhere: mov byte ptr [page_a], 7",
        "pf_entry: pte page_a, PRESENT + WRITE\nadd rsp, 8\niretq",
    )
    .succeed();
    assert_eq!(b.frames(), [(PF, b.at("here"))]);
    assert_eq!(b.quad("page_a"), 7);
}

/// A stale translation is used until it is invalidated; a run takes the manual's "may" as yes.
#[test]
fn a_page_that_becomes_absent_stays_until_it_is_invalidated() {
    let stale = "mov eax, [page_a]\nunmap page_a\nmov eax, [page_a]\n";
    Bench::new(stale, "").succeed();
    for invalidate in ["invlpg [page_a]", "mov rax, cr3\nmov cr3, rax"] {
        faults(
            &format!("{stale}{invalidate}\nhere: mov eax, [page_a]"),
            "",
            0,
            "page_a",
        );
    }
}

/// Neither delivery nor IRET invalidates anything.
#[test]
fn an_nmi_handler_uses_the_stale_translation_too() {
    Bench::new(
        "gate NMI, handler\nmov eax, [page_a]\nunmap page_a\nhere: nop\nmov eax, [page_a]",
        "handler: mov eax, [page_a]\niretq",
    )
    .schedule(&["--nmi at=here"])
    .succeed();
}

/// A remapped page: the old frame until INVLPG.
#[test]
fn a_page_that_moves() {
    let body = "mov qword ptr [page_b], 2\nmov qword ptr [page_a], 1
        mov eax, offset page_a\nshr eax, 12
        mov qword ptr [low_pt + rax * 8], offset page_b + PRESENT + WRITE
        mov rbx, [page_a]\nmov [saved], rbx
        invlpg [page_a]
        mov rbx, [page_a]\nmov [saved + 8], rbx";
    let b = Bench::new(body, "").succeed();
    assert_eq!((b.quad("saved"), b.quad("saved+8")), (1, 2));
}

/// MOV to CR3 keeps global translations; INVLPG and a change of CR4.PGE drop them.
#[test]
fn global_pages() {
    let stale = "set_bits cr4, CR4_PGE\npte page_a, PRESENT + WRITE + GLOBAL\ninvlpg [page_a]
        mov eax, [page_a]\nunmap page_a\nmov rax, cr3\nmov cr3, rax\nmov eax, [page_a]\n";
    Bench::new(stale, "").succeed();
    for invalidate in ["invlpg [page_a]", "clear_bits cr4, CR4_PGE"] {
        faults(
            &format!("{stale}{invalidate}\nhere: mov eax, [page_a]"),
            "",
            0,
            "page_a",
        );
    }
}

/// With CR4.PCIDE, bit 63 of the operand keeps what is cached for the PCID; another PCID does not
/// see it, and finds it again later.
#[test]
fn process_context_identifiers() {
    let stale = "set_bits cr4, CR4_PCIDE\nmov ebx, offset kernel_pml4\nmov rdx, 1 << 63
        mov eax, [page_a]\nunmap page_a\nor rbx, rdx\n";
    Bench::new(&format!("{stale}mov cr3, rbx\nmov eax, [page_a]"), "").succeed();
    Bench::new(
        &format!("{stale}lea rcx, [rbx + 1]\nmov cr3, rcx\nmov cr3, rbx\nmov eax, [page_a]"),
        "",
    )
    .succeed();
    for switch in [
        "lea rcx, [rbx + 1]\nmov cr3, rcx",
        "btr rbx, 63\nmov cr3, rbx",
    ] {
        faults(
            &format!("{stale}{switch}\nhere: mov eax, [page_a]"),
            "",
            0,
            "page_a",
        );
    }
}

/// A #PF drops the translations of its address, so more rights need no INVLPG for the retry.
#[test]
fn a_page_fault_makes_more_rights_visible() {
    let b = Bench::new(
        "gate PF, pf_entry\npte page_a, PRESENT\ninvlpg [page_a]\nmov eax, [page_a]
        here: mov byte ptr [page_a], 9",
        "pf_entry: pte page_a, PRESENT + WRITE\nadd rsp, 8\niretq",
    )
    .succeed();
    assert_eq!(b.frames(), [(PF, b.at("here"))]);
    assert_page_fault(&b.deliveries()[0], 3, b.at("page_a"));
    assert_eq!(b.quad("page_a"), 9);
}

/// A reserved bit above goes before an absent page below: P and RSVD.
#[test]
fn reserved_bits() {
    faults(
        "bts qword ptr [kernel_pml4 + 8], 7\nbts qword ptr [kernel_pml4 + 8], 0\nmov rbx, 1 << 39\nhere: mov rax, [rbx]",
        "",
        9,
        "0x8000000000",
    );
    // Bit 63 with EFER.NXE = 0.
    faults(
        "pte page_a, \"(1 << 63) + PRESENT + WRITE\"\ninvlpg [page_a]\nhere: mov eax, [page_a]",
        "",
        9,
        "page_a",
    );
}
