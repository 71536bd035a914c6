//! Fetching: page ends, code that changes (SDM vol. 3, "Handling Self- and Cross-Modifying Code";
//! "Page-Fault Exceptions").

use iretrace::arch::{PhysAddr, Vendor};
use iretrace::machine::Until;
use iretrace::trace::{Event, EventClass, EventKind};

use crate::support::*;

const MOVABS: &str = "mov word ptr [page_b - 4], 0xb848\nmov word ptr [page_b - 2], 0\n";

/// CR2 is the second page, the saved RIP the instruction. I/D is set with NXE only.
#[test]
fn an_instruction_that_reaches_into_an_absent_page() {
    for (nxe, code) in [
        ("", 0),
        ("mov ecx, 0xc0000080\nrdmsr\nbts eax, 11\nwrmsr\n", 0x10),
    ] {
        let body = format!(
            "{MOVABS}{nxe}unmap page_b\ninvlpg [page_b]\nmov eax, offset page_b - 4\njmp rax"
        );
        let (b, d) = Bench::new(&body, "").fail();
        assert_page_fault(&d, code, b.at("page_b"));
        assert_eq!(d.pushed.rip.0, b.at("page_b") - 4);
    }
}

/// It goes on when the page is there.
#[test]
fn an_instruction_across_a_page_end_is_retried() {
    let body = format!(
        "{MOVABS}mov dword ptr [page_b], 0x11223344\nmov word ptr [page_b + 4], 0x5566\nmov byte ptr [page_b + 6], 0xc3
        gate PF, pf_entry\nunmap page_b\ninvlpg [page_b]\nmov eax, offset page_b - 4\ncall rax\nmov [saved], rax"
    );
    let rest = "pf_entry: pte page_b, PRESENT + WRITE\nadd rsp, 8\niretq";
    let b = Bench::new(&body, rest).succeed();
    assert_eq!(b.frames(), [(PF, b.at("page_b") - 4)]);
    assert_eq!(b.quad("saved"), 0x5566_1122_3344_0000);
}

/// Instructions that end at the page's end do not touch the next page.
#[test]
fn code_that_ends_at_a_page_end() {
    let body = "mov dword ptr [page_b - 4], 0xc3909090\nunmap page_b\ninvlpg [page_b]
        mov eax, offset page_b - 4\ncall rax";
    Bench::new(body, "").succeed();
    let body = body.replace("0xc3909090", "0x90909090");
    let (b, d) = Bench::new(&body, "").fail();
    assert_page_fault(&d, 0, b.at("page_b"));
    assert_eq!(d.pushed.rip.0, b.at("page_b"));
}

/// A store into the next instruction is seen by it.
#[test]
fn self_modifying_code() {
    let body = "mov ebx, 3
        again: mov byte ptr [here + 1], bl
        here: mov eax, 0
        add [saved], rax
        dec ebx\njnz again";
    assert_eq!(Bench::new(body, "").succeed().quad("saved"), 6);
}

/// Data beside code, in its page.
#[test]
fn code_and_data_share_a_page() {
    let body = "mov ebx, 100\nagain: inc qword ptr [beside]\nadd [saved], ebx\ndec ebx\njnz again
        jmp over\n.balign 8\nbeside: .quad 0\nover: nop";
    let b = Bench::new(body, "").succeed();
    assert_eq!((b.quad("beside"), b.quad("saved")), (100, 5050));
}

/// What the host writes between runs is executed, even where the code has run before.
#[test]
fn code_that_the_host_changes() {
    let body =
        "mov ebx, 2\nagain: nop\nhere: mov eax, 1\nadd [saved], rax\nlast: dec ebx\njnz again";
    let mut b = Bench::new(body, "");
    b.run_to("last");
    let at = PhysAddr(b.at("here") + 1);
    assert!(b.machine.write_physical(at, &[7]));
    let b = b.succeed();
    assert_eq!(b.quad("saved"), 8);
    // Just before the changed instruction, too.
    let mut b = Bench::new(body, "");
    b.run_to("here");
    assert!(b.machine.write_physical(at, &[5]));
    assert_eq!(b.succeed().quad("saved"), 10);
}

/// Two addresses for one frame: a store through one changes the code at the other.
#[test]
fn code_under_two_addresses() {
    let body = "mov dword ptr [page_a], 0x000001b8\nmov word ptr [page_a + 4], 0xc300
        mov eax, offset page_a\ncall rax\nadd [saved], rax
        mov eax, offset page_b\nshr eax, 12
        mov qword ptr [low_pt + rax * 8], offset page_a + PRESENT + WRITE\ninvlpg [page_b]
        mov byte ptr [page_b + 1], 6
        mov eax, offset page_a\ncall rax\nadd [saved], rax";
    assert_eq!(Bench::new(body, "").succeed().quad("saved"), 7);
}

/// The icount counts what retires: no faulting instruction, a string instruction once.
#[test]
fn the_instruction_count() {
    let mut b = Bench::new(
        "gate BP, bp_entry\ngate PF, pf_entry\nunmap page_a\ninvlpg [page_a]\nmov edi, offset page_a\nmov ecx, 4
        first: nop
        int3
        rep stosb
        xchg rax, rbx
        last: nop",
        "bp_entry: iretq
        pf_entry: mov dword ptr [rsp - 64], 1\nadd rsp, 8\npush rcx\npte page_a, PRESENT + WRITE\npop rcx\niretq",
    );
    let first = b.run_to("first");
    let last = b.run_to("last");
    // NOP, INT3, IRETQ; the #PF's handler: MOV, ADD, PUSH, the five of pte, POP, IRETQ; STOSB; XCHG.
    assert_eq!(last - first, 3 + 10 + 2);
    assert_eq!(
        b.machine.run(Until::Icount(last)),
        iretrace::machine::StopReason::Until
    );
}

/// A CALL to itself that comes to push over its own bytes: that push counts once, and what it leaves, the
/// low byte of a return address, runs next (SDM vol. 2, CALL; vol. 3, "Handling Self- and
/// Cross-Modifying Code"). Here it is INT3.
#[test]
fn a_call_to_itself_overwrites_itself() {
    let body = "mov rsp, offset here + 24\njmp here";
    let rest = ".balign 0x1000\n.skip 0xcc - 5\nhere: call here";
    for step in [false, true] {
        let mut b = Bench::new(body, rest);
        let first = b.run_to("here");
        let here = b.at("here");
        for n in 1..=3 {
            if step {
                b.machine.run(Until::Icount(first + n));
                assert_eq!(b.machine.cpu().regs.rsp(), here + 24 - 8 * n);
                assert_eq!(b.machine.cpu().regs.rip, here);
            }
        }
        let (b, d) = b.fail();
        assert_eq!(b.quad("here"), here + 5);
        assert_eq!((d.id.vector.0, d.pushed.rip.0), (3, here + 1));
        assert_eq!(d.pushed.rsp.0, here);
        // INT3 retires with its delivery.
        let bp = |e: &Event| matches!(&e.kind, EventKind::Delivered(d) if d.id.vector.0 == 3);
        let delivered = b.events().into_iter().find(bp).expect("a delivery");
        assert_eq!(delivered.at.icount, first + 3);
    }
}

/// `48 40` is one instruction with REX.W in 64-bit code, and DEC EAX and INC EAX in 32-bit code. HLT at
/// CPL 3 faults and is not told.
#[test]
fn an_instruction_is_told_in_the_mode_of_its_code() {
    let image = assemble(
        "allow_user user_start\nallow_user user_stack
    iret_to user_start, USER_CS32, 2, user_stack_top, USER_DS",
        ".balign 4096\nuser_start: .byte 0x48, 0x40\nhlt\n.balign 4096",
    );
    let (b, _) = Bench::of_image(image, of(Vendor::Intel), EventClass::all()).fail();
    let at_cpl_3 = b.events().into_iter().filter(|e| e.cpl == 3);
    let texts: Vec<String> = at_cpl_3
        .filter_map(|e| match e.kind {
            EventKind::Insn { text, .. } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["dec %eax", "inc %eax"]);
}
