//! What each instruction invalidates of the cached translations, and what stays: beyond
//! [`paging`](crate::paging) (SDM vol. 3, 4.10.4.1), and with no translation cached at all.

use iretrace::arch::Vendor;
use iretrace::machine::{MachineConfig, TlbMode};

use crate::support::*;

/// Runs to its end: every `read` finds something.
#[track_caller]
fn stale(body: &str) {
    Bench::new(body, "").succeed();
}

/// The read at `here` finds `page_a` absent, and everything before it ran.
#[track_caller]
fn gone(body: &str) {
    let (b, d) = Bench::new(&format!("{body}\nhere: mov eax, [page_a]"), "").fail();
    assert_page_fault(&d, 0, b.at("page_a"));
    assert_eq!(d.pushed.rip.0, b.at("here"), "{body}");
}

/// `page_a` is cached, and then unmapped.
const STALE: &str = "mov eax, [page_a]\nunmap page_a\nmov eax, [page_a]\n";
/// The same, as a global page.
const GLOBAL: &str = "set_bits cr4, CR4_PGE\npte page_a, PRESENT + WRITE + GLOBAL
    invlpg [page_a]\nmov eax, [page_a]\nunmap page_a\nmov eax, [page_a]\n";
const READ: &str = "\nmov eax, [page_a]";

/// INVLPG drops one page's translations, wherever in the page its operand lies; a non-canonical
/// operand is a NOP (SDM vol. 2, INVLPG).
#[test]
fn invlpg_of_one_page() {
    stale(&format!("{STALE}invlpg [page_b]{READ}"));
    gone(&format!("{STALE}invlpg [page_a + 0xfff]"));
    let other = "mov rbx, 1 << 63\nadd rbx, offset page_a\ninvlpg [rbx]";
    stale(&format!("{STALE}{other}{READ}"));
}

/// A change of CR4.PGE in either direction drops everything.
#[test]
fn page_global_enable() {
    gone(&format!("{STALE}set_bits cr4, CR4_PGE"));
    gone(&format!(
        "set_bits cr4, CR4_PGE\n{STALE}clear_bits cr4, CR4_PGE"
    ));
    gone(&format!(
        "{GLOBAL}clear_bits cr4, CR4_PGE\nset_bits cr4, CR4_PGE"
    ));
    // The same value again changes nothing.
    stale(&format!("{GLOBAL}mov rax, cr4\nmov cr4, rax{READ}"));
}

/// G means nothing while CR4.PGE = 0: MOV to CR3 drops the page.
#[test]
fn global_without_page_global_enable() {
    gone(
        "pte page_a, PRESENT + WRITE + GLOBAL\ninvlpg [page_a]
        mov eax, [page_a]\nunmap page_a\nmov eax, [page_a]\nmov rax, cr3\nmov cr3, rax",
    );
}

/// CR4.PCIDE from 1 to 0: everything. From 0 to 1: nothing. CR4.SMEP from 0 to 1: the current
/// PCID's. SMAP, PKE, CR0.WP: nothing, the rights are looked at again.
#[test]
fn other_control_bits() {
    gone(&format!(
        "set_bits cr4, CR4_PCIDE\n{STALE}clear_bits cr4, CR4_PCIDE"
    ));
    gone(&format!(
        "set_bits cr4, CR4_PCIDE\n{GLOBAL}clear_bits cr4, CR4_PCIDE"
    ));
    stale(&format!("{STALE}set_bits cr4, CR4_PCIDE{READ}"));
    gone(&format!("{STALE}set_bits cr4, CR4_SMEP"));
    stale(&format!(
        "set_bits cr4, CR4_SMEP\n{STALE}clear_bits cr4, CR4_SMEP{READ}"
    ));
    for kept in [
        "set_bits cr4, CR4_SMAP",
        "set_bits cr4, CR4_PKE",
        "clear_bits cr0, CR0_WP",
        "clts",
        "mov rax, cr0\nlmsw ax",
    ] {
        stale(&format!("{STALE}{kept}{READ}"));
    }
}

/// `page_a` is cached for PCIDs 0 and 1, `page_b` globally, and all is unmapped; PCID 0 is current.
/// RBX is CR3 of PCID 0 that keeps, RCX that of PCID 1.
const PCIDS: &str = "set_bits cr4, CR4_PGE + CR4_PCIDE
    pte page_b, PRESENT + WRITE + GLOBAL\ninvlpg [page_b]
    mov ebx, offset kernel_pml4\nbts rbx, 63\nlea rcx, [rbx + 1]
    mov eax, [page_b]\nmov eax, [page_a]
    mov cr3, rcx\nmov eax, [page_a]\nmov cr3, rbx
    mov r8, rcx\nunmap page_a\nunmap page_b\nmov rcx, r8\n";

/// The three translations after `insn`: of PCID 0, of PCID 1, the global one.
#[track_caller]
fn survive(insn: &str, want: [bool; 3]) {
    let reads = [
        "here: mov eax, [page_a]",
        "mov cr3, rcx\nhere: mov eax, [page_a]",
        "here: mov eax, [page_b]",
    ];
    let rest = ".section .data\n.balign 16\ndescriptor: .quad 0, 0\n.text";
    for (read, kept) in reads.into_iter().zip(want) {
        let body = format!("{PCIDS}{insn}\n{read}");
        if kept {
            Bench::new(&body, rest).succeed();
        } else {
            let (b, d) = Bench::new(&body, rest).fail();
            let page = if read.ends_with("[page_b]") {
                "page_b"
            } else {
                "page_a"
            };
            assert_page_fault(&d, 0, b.at(page));
            assert_eq!(d.pushed.rip.0, b.at("here"), "{body}");
        }
    }
}

fn invpcid(kind: u8, pcid: u16, page: &str) -> String {
    format!(
        "mov qword ptr [descriptor], {pcid}\nmov qword ptr [descriptor + 8], offset {page}
        mov edx, {kind}\ninvpcid rdx, [descriptor]"
    )
}

/// SDM vol. 2, INVPCID: 0, one address of one PCID, not globally; 1, one PCID, not globally;
/// 2, everything; 3, everything but global translations.
#[test]
fn invpcid_types() {
    survive("", [true, true, true]);
    survive(&invpcid(0, 0, "page_a"), [false, true, true]);
    survive(&invpcid(0, 1, "page_a"), [true, false, true]);
    survive(&invpcid(0, 0, "page_b"), [true, true, true]);
    survive(&invpcid(1, 0, "page_b"), [false, true, true]);
    survive(&invpcid(1, 1, "0"), [true, false, true]);
    survive(&invpcid(2, 0, "0"), [false, false, false]);
    survive(&invpcid(3, 0, "0"), [false, false, true]);
}

/// INVLPG and MOV to CR3 look at the current PCID alone; INVLPG drops global translations too.
#[test]
fn the_current_pcid() {
    survive("invlpg [page_a]", [false, true, true]);
    survive("invlpg [page_b]", [true, true, false]);
    survive("btr rbx, 63\nmov cr3, rbx", [false, true, true]);
    // To PCID 1 with a flush, and back with none.
    survive(
        "btr rcx, 63\nmov cr3, rcx\nmov cr3, rbx\nbts rcx, 63",
        [true, false, true],
    );
    survive(
        "clear_bits cr4, CR4_PGE\nset_bits cr4, CR4_PGE",
        [false, false, false],
    );
}

/// A large page is one translation: INVLPG anywhere in it drops it all, and until then the entry
/// may be split or gone.
#[test]
fn large_pages() {
    let cached = "mov rbx, 0x400000\nmov eax, [rbx]\nand qword ptr [low_pd + 16], ~1\n";
    stale(&format!("{cached}mov eax, [rbx + 0x1ff000]"));
    stale(&format!(
        "{cached}invlpg [rbx + 0x200000]\ninvlpg [rbx - 1]\nmov eax, [rbx]"
    ));
    let body = format!("{cached}invlpg [rbx + 0x123456]\nhere: mov eax, [rbx + 0x1000]");
    let (b, d) = Bench::new(&body, "").fail();
    assert_page_fault(&d, 0, 0x40_1000);
    assert_eq!(d.pushed.rip.0, b.at("here"));
}

/// An upper level's change shows page by page, as each is invalidated; absent to present and
/// reserved to good need nothing, at any level.
#[test]
fn upper_levels() {
    // A second way to the first 2 MiB, at 1 GiB, through tables of its own.
    let alias = "mov qword ptr [low_pdpt + 8], offset alias_pd + TABLE
        mov qword ptr [alias_pd], offset low_pt + TABLE
        mov ebx, 0x40000000 + offset page_a\n";
    let rest = ".section .bss\n.balign 4096\nalias_pd: .skip 4096\n.text";
    let cached =
        format!("{alias}mov eax, [rbx]\nmov eax, [rbx + 0x1000]\nmov qword ptr [alias_pd], 0\n");
    Bench::new(&format!("{cached}mov eax, [rbx]"), rest).succeed();
    Bench::new(
        &format!("{cached}invlpg [rbx + 0x1000]\nmov eax, [rbx]"),
        rest,
    )
    .succeed();
    let (b, d) = Bench::new(&format!("{cached}invlpg [rbx]\nhere: mov eax, [rbx]"), rest).fail();
    assert_page_fault(&d, 0, 0x4000_0000 + b.at("page_a"));
    // The walk of the other page comes to the PDE too, unless it is cached still.
    for (bad, error_code) in [(0, 0), (1u64 << 50 | 7, 9)] {
        let body = format!(
            "gate PF, pf_entry\n{alias}mov rax, {bad}\nmov qword ptr [alias_pd], rax\nhere: mov eax, [rbx]"
        );
        let handler =
            "pf_entry: mov qword ptr [alias_pd], offset low_pt + TABLE\nadd rsp, 8\niretq\n";
        let b = Bench::new(&body, &format!("{handler}{rest}")).succeed();
        assert_eq!(b.frames(), [(PF, b.at("here"))]);
        assert_page_fault(&b.deliveries()[0], error_code, 0x4000_0000 + b.at("page_a"));
    }
}

/// Fewer rights show after an invalidation alone: writes to a page that became read-only, code on
/// one that became XD.
#[test]
fn rights_that_are_taken_away() {
    let read_only = "mov [page_a], al\npte page_a, PRESENT\nmov [page_a], al\n";
    stale(read_only);
    let body = format!("{read_only}invlpg [page_a]\nhere: mov [page_a], al");
    let (b, d) = Bench::new(&body, "").fail();
    assert_page_fault(&d, 3, b.at("page_a"));
    let disabled = "mov ecx, 0xc0000080\nrdmsr\nor eax, 1 << 11\nwrmsr
        mov byte ptr [page_a], 0xc3\nmov ebx, offset page_a\ncall rbx
        pte page_a, \"(1 << 63) + PRESENT + WRITE\"\ncall rbx\n";
    stale(disabled);
    let (b, d) = Bench::new(&format!("{disabled}invlpg [page_a]\ncall rbx"), "").fail();
    assert_page_fault(&d, 0x11, b.at("page_a"));
}

/// A fetch uses the stale translation too: of the old frame.
#[test]
fn code_that_moves() {
    let body = "mov byte ptr [page_a], 0xb0\nmov word ptr [page_a + 1], 0xc301
        mov byte ptr [page_b], 0xb0\nmov word ptr [page_b + 1], 0xc302
        mov ebx, offset page_a\nxor eax, eax\ncall rbx\nmov [saved], al
        mov eax, offset page_a\nshr eax, 12
        mov qword ptr [low_pt + rax * 8], offset page_b + PRESENT + WRITE
        call rbx\nmov [saved + 1], al\ninvlpg [page_a]\ncall rbx\nmov [saved + 2], al";
    let b = Bench::new(body, "").succeed();
    assert_eq!(b.quad("saved").to_le_bytes()[..3], [1, 1, 2]);
}

/// CPL 3 uses what CPL 0 left, and the frame of its next exception goes through a stale
/// translation of the stack.
#[test]
fn across_privilege_levels_and_deliveries() {
    let rest = "handler: cmp dword ptr [page_a], 77\njne unexpected\niretq
        .balign 4096\nuser_start: mov eax, [page_a]\ncmp eax, 77\njne wrong\nud2
        wrong: int3\n.balign 4096
        ud_entry: mov al, EXIT_SUCCESS\njmp debug_exit";
    let body = "gate UD, ud_entry, ist=4\nallow_user page_a\nmov dword ptr [page_a], 77
        mov eax, [spare_stack]\nmov [spare_stack], eax\nunmap spare_stack\nunmap page_a\nenter_user";
    Bench::new(body, rest).succeed();
    // Without the stack's translation: #PF of the delivery, at the first slot.
    let body = body.replace("unmap page_a", "unmap page_a\ninvlpg [spare_stack]");
    let (b, d) = Bench::new(&body, rest).fail();
    assert_page_fault(&d, 2, b.at("spare_stack_top-8"));
}

fn forgetful() -> MachineConfig {
    MachineConfig {
        tlb: TlbMode::None,
        ..of(Vendor::Intel)
    }
}

/// With [`TlbMode::None`] a change shows at once, to natively running code and to microcode: one
/// that is absent now, read-only now, elsewhere now, and one whose A and D bits are clear.
#[test]
fn no_translation_outlives_its_instruction() {
    let absent = "mov [page_a], al\nunmap page_a\nhere: ";
    let read_only = "mov [page_a], al\npte page_a, PRESENT\nhere: ";
    for (body, insn, error_code) in [
        (absent, "mov eax, [page_a]", 0),
        (absent, "mov [page_a], al", 2),
        (absent, "lidt [page_a]", 0),
        (absent, "push [page_a]", 0),
        (read_only, "mov [page_a], al", 3),
        (read_only, "sidt [page_a]", 3),
    ] {
        let body = format!("{body}{insn}");
        let (b, d) = Bench::with(&body, "", forgetful()).fail();
        assert_page_fault(&d, error_code, b.at("page_a"));
        assert_eq!(d.pushed.rip.0, b.at("here"), "{body}");
        if insn != "lidt [page_a]" {
            Bench::new(&body, "").succeed();
        }
    }
    let moves = "mov qword ptr [page_b], 2\nmov qword ptr [page_a], 1
        mov eax, offset page_a\nshr eax, 12
        mov qword ptr [low_pt + rax * 8], offset page_b + PRESENT + WRITE
        mov rbx, [page_a]\nmov [saved], rbx\nmov ecx, [low_pt + rax * 8]\nand ecx, 0x60
        mov [saved + 8], rcx";
    let b = Bench::with(moves, "", forgetful()).succeed();
    // A of the new entry is set by the read.
    assert_eq!((b.quad("saved"), b.quad("saved+8")), (2, 0x20));
    let b = Bench::new(moves, "").succeed();
    assert_eq!((b.quad("saved"), b.quad("saved+8")), (1, 0));
}

/// The first iteration of a REP MOVSQ unmaps its own source, and the second sees it.
#[test]
fn no_translation_outlives_its_iteration() {
    let body = "mov ebx, offset page_a\nshr ebx, 12\nlea rdi, [low_pt + rbx * 8]
        mov qword ptr [page_a], 0\nmov rax, [rdi + 8]\nmov [page_a + 8], rax
        mov esi, offset page_a\nmov ecx, 2\nhere: rep movsq";
    Bench::new(body, "").succeed();
    let (b, d) = Bench::with(body, "", forgetful()).fail();
    assert_page_fault(&d, 0, b.at("page_a+8"));
    assert_eq!(d.pushed.rip.0, b.at("here"));
    assert_eq!(b.machine.cpu().regs.gpr[1], 1, "one iteration is left");
    assert_eq!(d.pushed.rflags.0 & RF, RF);
}

/// Code is fetched anew for each instruction: a page of code that unmaps itself ends there.
#[test]
fn code_that_unmaps_itself() {
    let rest =
        ".balign 4096\nisland: mov qword ptr [low_pt + rbx * 8], 0\nhere: nop\nret\n.balign 4096";
    let body = "mov ebx, offset island\nshr ebx, 12\ncall island";
    Bench::new(body, rest).succeed();
    let (b, d) = Bench::with(body, rest, forgetful()).fail();
    assert_page_fault(&d, 0, b.at("here"));
    assert_eq!(d.pushed.rip.0, b.at("here"));
}
