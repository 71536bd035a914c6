//! Rights that change between accesses to one page: CPL, AC, CR0.WP, SMAP, SMEP, keys (SDM vol. 3,
//! "Determination of Access Rights", "Protection Keys").

use iretrace::arch::{Vector, VirtAddr};
use iretrace::machine::{StopReason, Until};
use iretrace::trace::EventKind;

use crate::support::*;

#[track_caller]
fn faults(body: &str, rest: &str, error_code: u32, at: &str) {
    let (b, d) = Bench::new(body, rest).fail();
    assert_page_fault(&d, error_code, b.at(at));
    assert_eq!(d.pushed.rip.0, b.at("here"), "{body}");
}

/// WP = 0 lets the supervisor write to a read-only page, and no translation remembers it.
#[test]
fn write_protection() {
    let body = "pte page_a, PRESENT\ninvlpg [page_a]
        clear_bits cr0, CR0_WP\nmov [page_a], al
        set_bits cr0, CR0_WP\nmov eax, [page_a]
        here: mov [page_a], al";
    faults(body, "", 3, "page_a");
    Bench::new(&body.replace("set_bits cr0, CR0_WP", "nop"), "").succeed();
}

/// SMAP follows AC, which STAC and CLAC change; WP = 0 does not override it.
#[test]
fn supervisor_mode_access_prevention() {
    let open = "pte page_a, PRESENT + USER\ninvlpg [page_a]\nset_bits cr4, CR4_SMAP
        clear_bits cr0, CR0_WP\nstac\nmov [page_a], al\nmov eax, [page_a]\n";
    Bench::new(open, "").succeed();
    faults(
        &format!("{open}clac\nhere: mov [page_a], al"),
        "",
        3,
        "page_a",
    );
    faults(
        &format!("{open}clac\nhere: mov eax, [page_a]"),
        "",
        1,
        "page_a",
    );
    // Closed, open, closed.
    faults(
        &format!("{open}clac\nstac\nmov eax, [page_a]\npush 2\npopfq\nhere: mov eax, [page_a]"),
        "",
        1,
        "page_a",
    );
    // The page is not the user's.
    let kernel = open.replace("PRESENT + USER", "PRESENT");
    Bench::new(&format!("{kernel}clac\nmov eax, [page_a]"), "").succeed();
}

/// Turning SMAP on takes effect at once, for cached translations too.
#[test]
fn smap_that_is_turned_on() {
    faults(
        "pte page_a, PRESENT + USER + WRITE\ninvlpg [page_a]\nmov [page_a], al
        set_bits cr4, CR4_SMAP\nhere: mov eax, [page_a]",
        "",
        1,
        "page_a",
    );
}

/// A page that the kernel has used is refused at CPL 3: P and U.
#[test]
fn cpl_3_does_not_inherit_the_kernels_translations() {
    let user =
        |insn: &str| format!(".balign 4096\nuser_start: mov eax, 1\nhere: {insn}\n.balign 4096");
    let body = "mov [page_a], al\nmov eax, [page_a]\nenter_user";
    faults(body, &user("mov eax, [page_a]"), 5, "page_a");
    faults(body, &user("mov [page_a], eax"), 7, "page_a");
}

/// CPL 3 in kernel code: a fetch. The I/D bit needs NXE or SMEP.
#[test]
fn user_mode_fetches() {
    let rest =
        ".balign 4096\nuser_start: mov eax, offset page_a\njmp rax\n.balign 4096\nhere = page_a";
    faults("mov byte ptr [page_a], 0x90\nenter_user", rest, 5, "page_a");
    faults(
        "mov byte ptr [page_a], 0x90\nset_bits cr4, CR4_SMEP\nenter_user",
        rest,
        0x15,
        "page_a",
    );
}

/// SMEP: the supervisor must not execute the user's pages.
#[test]
fn supervisor_mode_execution_prevention() {
    let body = "allow_user page_a\nmov byte ptr [page_a], 0xc3\nmov eax, offset page_a\ncall rax\n";
    Bench::new(body, "").succeed();
    faults(
        &format!("{body}set_bits cr4, CR4_SMEP\nmov eax, offset page_a\ncall rax"),
        "here = page_a",
        0x11,
        "page_a",
    );
}

/// Implicit accesses to the GDT are the supervisor's whatever CPL is, and AC does not open SMAP
/// for them. SYSRET reads no descriptors, so CPL 3 can be reached with that GDT.
#[test]
fn descriptor_reads_are_implicit_supervisor_accesses() {
    let prepare = "init_syscall\nallow_user user_start\nallow_user gdt\nset_bits cr4, CR4_SMAP\nmov ebx, USER_DS\n";
    let kernel = format!("{prepare}stac\nhere: mov ds, ebx");
    let user = format!(
        "{prepare}mov rcx, offset user_start\nmov r11, RFLAGS_AC + 2\nstac\nsysretq\nhere:"
    );
    for (body, place) in [(kernel, "here"), (user, "user_start")] {
        let rest = "entry_syscall: nop\n.balign 4096\nuser_start: mov ds, ebx\n.balign 4096";
        let mut b = Bench::new(&body, rest);
        // Delivery reads the GDT too.
        assert_eq!(b.machine.run(Until::Never), StopReason::TripleFault);
        let first = b
            .events()
            .into_iter()
            .find(|e| matches!(e.kind, EventKind::Exception { .. }))
            .expect("an exception");
        let EventKind::Exception {
            vector,
            error_code,
            cr2,
            ..
        } = first.kind
        else {
            unreachable!()
        };
        assert_eq!((vector, error_code), (Vector::PF, Some(1)), "{place}");
        assert_eq!(cr2, Some(VirtAddr(b.at("gdt") + 0x20)), "{place}");
        assert_eq!(first.rip.0, b.at(place));
    }
}

/// Opens all keys, then closes key 1 with `PKRU`.
fn keyed(pte: &str, pkru: u32, then: &str) -> String {
    format!(
        "set_bits cr4, CR4_PKE\npte page_a, \"(1 << 59) + {pte}\"\ninvlpg [page_a]
        xor ecx, ecx\nxor edx, edx\nxor eax, eax\nwrpkru
        mov eax, [page_a]
        xor ecx, ecx\nmov eax, {pkru}\nwrpkru
        {then}"
    )
}

const AD: u32 = 1 << 2;
const WD: u32 = 2 << 2;

/// Keys protect the user's pages from the supervisor too, but not fetches.
#[test]
fn protection_keys_and_the_supervisor() {
    let page = "PRESENT + USER + WRITE";
    faults(
        &keyed(page, AD, "here: mov eax, [page_a]"),
        "",
        0x21,
        "page_a",
    );
    faults(
        &keyed(page, WD, "here: mov [page_a], eax"),
        "",
        0x23,
        "page_a",
    );
    Bench::new(&keyed(page, WD, "mov eax, [page_a]"), "").succeed();
    Bench::new(
        &keyed(page, WD, "clear_bits cr0, CR0_WP\nmov [page_a], eax"),
        "",
    )
    .succeed();
    // Closed and open again.
    let open = "xor eax, eax\nwrpkru\nmov [page_a], eax";
    Bench::new(&keyed(page, AD, open), "").succeed();
    let run = "mov eax, offset page_a\ncall rax";
    let code = format!("mov byte ptr [page_a], 0xc3\n{}", keyed(page, AD, run));
    Bench::new(&code, "").succeed();
    // Pages of the supervisor have no keys.
    Bench::new(&keyed("PRESENT + WRITE", !0, "mov [page_a], eax"), "").succeed();
}

/// The key is told even if R/W refuses as well.
#[test]
fn protection_keys_and_the_user() {
    let rest = ".balign 4096\nuser_start: nop\nhere: mov [page_a], eax\n.balign 4096";
    faults(
        &keyed("PRESENT + USER", WD, "enter_user"),
        rest,
        0x27,
        "page_a",
    );
    faults(
        &keyed("PRESENT + USER + WRITE", WD, "enter_user"),
        rest,
        0x27,
        "page_a",
    );
    faults(
        &keyed("PRESENT + USER + WRITE", AD, "enter_user"),
        rest,
        0x27,
        "page_a",
    );
    faults(&keyed("PRESENT + USER", 0, "enter_user"), rest, 7, "page_a");
}

/// A look from outside is no access: neither SMAP nor a key keeps it from a page of the user's.
#[test]
fn a_peek_has_no_rights_to_respect() {
    let key = "set_bits cr4, CR4_PKE\nxor ecx, ecx\nxor edx, edx\nmov eax, 3\nwrpkru";
    for (protect, error_code) in [("set_bits cr4, CR4_SMAP", 1), (key, 0x21)] {
        let body = format!(
            "mov byte ptr [page_a], 7\npte page_a, \"PRESENT + USER\"\ninvlpg [page_a]
            {protect}\nhere: mov al, [page_a]"
        );
        let mut b = Bench::new(&body, "");
        b.run_to("here");
        let (mut byte, at) = ([0], VirtAddr(b.at("page_a")));
        assert!(b.machine.peek_linear(at, &mut byte), "{protect}");
        assert_eq!(byte, [7]);
        let (_, d) = b.fail();
        assert_page_fault(&d, error_code, at.0);
    }
}
