//! Interrupt shadows (SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"; vol.
//! 2, MOV and STI).

use iretrace::arch::Vendor;
use iretrace::trace::{EventKind, HeldBy};

use crate::support::*;

#[test]
fn mov_ss_holds_an_nmi_for_one_instruction() {
    let b = Bench::new(
        "gate NMI, nmi_entry\nmov eax, ss\nmov ss, eax\nshadow: mov rsp, offset kernel_stack_top\nafter: nop",
        "",
    )
    .schedule(&["--nmi at=shadow"])
    .succeed();
    assert_eq!(b.frames(), [(NMI, b.at("after"))]);
    let held_by = HeldBy::MovSsShadow;
    assert!(b.has(&EventKind::NmiLatched { held_by }));
}

#[test]
fn mov_ss_from_memory_holds_an_nmi_too() {
    let b = Bench::new(
        "gate NMI, nmi_entry\nmov eax, ss\npush rax\nmov ss, [rsp]\nshadow: pop rax\nafter: nop",
        "",
    )
    .schedule(&["--nmi at=shadow"])
    .succeed();
    assert_eq!(b.frames(), [(NMI, b.at("after"))]);
}

/// In a sequence only the first is sure to hold interrupts (SDM vol. 2, MOV).
#[test]
fn of_two_mov_ss_the_second_need_not_hold() {
    let b = Bench::new(
        "gate NMI, nmi_entry\nmov eax, ss\nmov ss, eax\nshadow: mov ss, eax\nsecond: nop\nafter: nop",
        "",
    )
    .schedule(&["--nmi at=shadow"])
    .succeed();
    assert_eq!(b.frames(), [(NMI, b.at("second"))]);
}

const IRQ: &str = "irq_entry: inc qword ptr [nmis]\niretq";

/// STI with IF = 1 already makes no shadow (SDM vol. 2, STI).
#[test]
fn sti_with_interrupts_on_makes_no_shadow() {
    let b = Bench::new("gate IRQ, irq_entry\nsti\nnop\nsti\nafter: nop", IRQ)
        .schedule(&["--irq 0x21@at=after"])
        .succeed();
    assert_eq!(b.frames(), [(0x21, b.at("after"))]);
}

#[test]
fn sti_holds_an_interrupt_for_one_instruction() {
    let b = Bench::new(
        "gate IRQ, irq_entry\nbefore: sti\nshadow: nop\nafter: nop",
        IRQ,
    )
    .schedule(&["--irq 0x21@at=before"])
    .succeed();
    assert_eq!(b.frames(), [(0x21, b.at("after"))]);
}

/// STI and HLT: the interrupt cannot slip in between.
#[test]
fn an_interrupt_in_the_sti_shadow_wakes_the_halt() {
    let b = Bench::new("gate IRQ, irq_entry\nbefore: sti\nhlt\nafter: cli", IRQ)
        .schedule(&["--irq 0x21@at=before"])
        .succeed();
    assert_eq!(b.frames(), [(0x21, b.at("after"))]);
}

/// Whether the STI shadow holds an NMI: AMD yes (APM vol. 2, 15.21.5), Intel "may" (SDM vol. 2,
/// STI).
#[test]
fn the_sti_shadow_and_an_nmi() {
    for (vendor, holds) in [
        (Vendor::Amd, true),
        (Vendor::Intel, true),
        (Vendor::Intel, false),
    ] {
        let mut config = of(vendor);
        if vendor == Vendor::Intel {
            config.cpu.knobs.sti_shadow_blocks_nmi = holds;
        }
        let body = "gate NMI, nmi_entry\npush offset after\nsti\nshadow: ret\nafter: nop";
        let b = Bench::with(body, "", config).schedule(&["--nmi at=shadow"]);
        let b = b.succeed();
        let at = b.at(if holds { "after" } else { "shadow" });
        assert_eq!(b.frames(), [(NMI, at)], "{vendor:?} {holds}");
    }
}

/// A #DB trap is not held by STI's shadow, only by MOV SS's.
#[test]
fn sti_does_not_hold_a_single_step() {
    let rest = "db_entry: and qword ptr [rsp + 16], ~RFLAGS_TF\niretq";
    let b = Bench::new(
        "gate DB, db_entry\nload_flags RFLAGS_TF\nsti\nshadow: nop\ncli",
        rest,
    )
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("shadow"))]);
}
