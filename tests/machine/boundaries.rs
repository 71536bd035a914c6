//! What a boundary's frame says: RF (SDM vol. 3, "Instruction-Breakpoint Exception Condition"),
//! priorities, software interrupts (SDM vol. 2, INT n/INTO/INT3/INT1).

use crate::support::*;

/// IRET loads RF; the next instruction that completes clears it.
#[test]
fn rf_lasts_for_one_instruction() {
    let body = "gate NMI, nmi_entry
        iret_to target, KERNEL_CS, 0x10002, kernel_stack_top, KERNEL_DS
        target: nop\nafter: nop\nlast: nop";
    for (place, rf) in [("target", RF), ("after", 0), ("last", 0)] {
        let b = Bench::new(body, "").schedule(&[&format!("--nmi at={place}")]);
        let d = &b.succeed().deliveries()[0];
        assert_eq!(d.pushed.rflags.0 & RF, rf, "{place}");
    }
}

/// PUSHFQ stores RFLAGS with RF = 0 (SDM vol. 2, PUSHF).
#[test]
fn pushf_stores_no_rf() {
    let b = Bench::new(
        "iret_to target, KERNEL_CS, 0x10002, kernel_stack_top, KERNEL_DS
        target: pushfq\npop rax\nmov [saved], rax",
        "",
    )
    .succeed();
    assert_eq!(b.quad("saved"), 2);
}

#[test]
fn an_nmi_goes_before_an_interrupt_which_waits_for_if() {
    let b = Bench::new(
        "gate NMI, nmi_entry\ngate IRQ, irq_entry\nsti\nnop\nhere: nop",
        "irq_entry: iretq",
    )
    .schedule(&["--nmi at=here", "--irq 0x21@at=here"])
    .succeed();
    let here = b.at("here");
    // The NMI's gate clears IF; its IRET sets it again.
    assert_eq!(b.frames(), [(NMI, here), (0x21, here)]);
}

/// The stack is aligned down to 16 bytes, IF, TF, NT and RF are cleared (SDM vol. 3, "64-Bit Mode
/// Stack Frame").
#[test]
fn a_frame_is_aligned() {
    let (b, d) = Bench::new(
        "sub rsp, 24\nload_flags RFLAGS_NT + RFLAGS_IF\nhere: nop",
        "",
    )
    .schedule(&["--nmi at=here"])
    .fail();
    let rsp = b.at("kernel_stack_top") - 24;
    assert_eq!(d.pushed.rsp.0, rsp);
    assert_eq!(d.frame.0, (rsp & !15) - 40);
    assert_eq!(d.pushed.rflags.0, 0x4202);
    assert_eq!(b.machine.cpu().regs.rflags & 0x1_4300, 0);
}

/// The gate's DPL is checked for INT n and INT3; the error code names the vector, EXT is 0, and
/// the saved RIP is the instruction.
#[test]
fn software_interrupts_from_user_mode() {
    for (insn, code) in [("int 0x20", 0x102), ("int3", 0x1a)] {
        let (b, d) = Bench::new(
            "enter_user",
            &format!(".balign 4096\nuser_start: {insn}\nafter: nop\n.balign 4096"),
        )
        .fail();
        assert_eq!((d.id.vector.0, d.error_code), (GP, Some(code)), "{insn}");
        assert_eq!(d.pushed.rip.0, b.at("user_start"), "{insn}");
        assert_eq!((d.pushed.cs.0, d.pushed.ss.0), (USER_CS, 0x23), "{insn}");
    }
}

/// INT1: no DPL check, no DR6 bits, and RF is 0.
#[test]
fn int1_from_user_mode() {
    let (b, d) = Bench::new(
        "enter_user",
        ".balign 4096\nuser_start: .byte 0xf1\nafter: nop\n.balign 4096",
    )
    .fail();
    assert_eq!((d.id.vector.0, d.pushed.rip.0), (DB, b.at("after")));
    assert_eq!(b.machine.cpu().regs.dr6 & 0xe00f, 0);
    assert_eq!(d.pushed.rflags.0 & RF, 0);
}

/// An INT n whose delivery faults has not retired.
#[test]
fn a_software_interrupt_that_faults_does_not_retire() {
    let mut b = Bench::new(
        "enter_user",
        ".balign 4096\nuser_start: int 0x20\n.balign 4096",
    );
    let before = b.run_to("user_start");
    b.run_to("unexpected");
    assert_eq!(b.machine.boundary().icount, before);
}

/// A vector behind the limit of the IDT: #GP with the IDT bit (and EXT for what is no software
/// interrupt).
#[test]
fn vectors_beyond_the_idt() {
    let (b, d) = Bench::new("here: int 0x80", "").fail();
    assert_eq!(d.error_code, Some(0x80 * 8 + 2));
    assert_eq!(d.pushed.rip.0, b.at("here"));
    let (b, d) = Bench::new("sti\nnop\nhere: nop", "")
        .schedule(&["--irq 0x80@at=here"])
        .fail();
    assert_eq!(d.error_code, Some(0x80 * 8 + 3));
    assert_eq!(d.pushed.rip.0, b.at("here"));
}
