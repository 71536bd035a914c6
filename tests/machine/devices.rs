//! Devices as a program sees them: the local APIC in memory (SDM vol. 3, "Local APIC"), consoles,
//! and what is not there.

use iretrace::arch::{Hex, PhysAddr, Vector};
use iretrace::trace::{Direction, EventKind, Source};

use crate::support::*;

/// Maps the 2 MiB at 0xfee00000 and 0xd0000000, and puts the APIC's address into RBX.
const MAP: &str = "
    mov qword ptr [low_pdpt + 24], offset high_pd + PRESENT + WRITE
    mov eax, 0xfee00000 + HUGE + PRESENT + WRITE\nmov [high_pd + 503 * 8], rax
    mov eax, 0xd0000000 + HUGE + PRESENT + WRITE\nmov [high_pd + 128 * 8], rax
    mov ebx, 0xfee00000\n";
const TABLE: &str = ".section .bss\n.balign 4096\nhigh_pd: .skip 4096\n.text\n";
const ENABLE: &str = "mov dword ptr [rbx + 0xf0], 0x1ff\n";

fn run(body: &str, rest: &str) -> Bench {
    Bench::new(&format!("{MAP}{body}"), &format!("{rest}\n{TABLE}")).succeed()
}

fn accesses(b: &Bench) -> Vec<(u64, Direction, u64)> {
    let all = b.events().into_iter();
    all.filter_map(|e| match e.kind {
        EventKind::Mmio {
            address,
            direction,
            value,
            device: Some(_),
            size: 4,
        } => Some((address.0, direction, value.0)),
        _ => None,
    })
    .collect()
}

#[test]
fn reading_the_apics_registers() {
    let b = run(
        "mov eax, [rbx + 0x20]\nmov [saved], rax\nmov eax, [rbx + 0x30]\nmov [saved + 8], rax",
        "",
    );
    let version = b.quad("saved+8");
    // An integrated APIC has versions 10H to 15H.
    assert!((0x10..=0x15).contains(&(version & 0xff)), "{version:#x}");
    assert_eq!(
        accesses(&b),
        [
            (0xfee0_0020, Direction::Read, b.quad("saved")),
            (0xfee0_0030, Direction::Read, version)
        ]
    );
}

/// OR, AND and XCHG read and write; the spurious vector register is FFH after reset.
#[test]
fn read_modify_write_of_a_register() {
    let b = run(
        "or dword ptr [rbx + 0xf0], 0x100\nmov eax, [rbx + 0xf0]\nmov [saved], rax",
        "",
    );
    assert_eq!(b.quad("saved"), 0x1ff);
    use Direction::{Read, Write};
    let svr = 0xfee0_00f0;
    assert_eq!(
        accesses(&b),
        [(svr, Read, 0xff), (svr, Write, 0x1ff), (svr, Read, 0x1ff)]
    );
    let b = run(
        &format!(
            "{ENABLE}and dword ptr [rbx + 0xf0], ~0x100\nmov eax, 0x1aa\nxchg [rbx + 0xf0], eax\nmov [saved], rax"
        ),
        "",
    );
    assert_eq!(b.quad("saved"), 0xff);
    let written: Vec<_> = accesses(&b).into_iter().filter(|a| a.1 == Write).collect();
    assert_eq!(
        written,
        [(svr, Write, 0x1ff), (svr, Write, 0xff), (svr, Write, 0x1aa)]
    );
}

/// A fixed interrupt to oneself by the ICR: taken after the store, in service until EOI.
#[test]
fn a_self_interrupt() {
    let b = run(
        &format!(
            "{ENABLE}gate IRQ, irq_entry\nsti\nnop\nmov dword ptr [rbx + 0x300], 0x40021\nafter: cli"
        ),
        // Bit 1 of the second ISR register: vector 21H.
        "irq_entry: mov eax, [rbx + 0x110]\nmov [saved], rax\nmov dword ptr [rbx + 0xb0], 0
        mov eax, [rbx + 0x110]\nmov [saved + 8], rax\niretq",
    );
    assert_eq!(b.frames(), [(0x21, b.at("after"))]);
    assert_eq!((b.quad("saved"), b.quad("saved+8")), (2, 0));
    let (vector, source) = (Vector(0x21), Source::Apic);
    assert!(b.has(&EventKind::IrqRaised { vector, source }));
}

/// Without EOI the next interrupt of the same class waits.
#[test]
fn an_interrupt_in_service_holds_its_class() {
    let send = "mov dword ptr [rbx + 0x300], 0x40021\n";
    let b = run(
        &format!(
            "{ENABLE}gate IRQ, irq_entry\nsti\nnop\n{send}nop\n{send}nop\nnop\nmov dword ptr [rbx + 0xb0], 0\nafter: cli"
        ),
        "irq_entry: inc qword ptr [nmis]\niretq",
    );
    assert_eq!(b.quad("nmis"), 2);
    assert_eq!(b.frames()[1], (0x21, b.at("after")));
}

/// An NMI by the ICR: delivery mode 100B, to the own ID; it is taken right after the store.
#[test]
fn an_nmi_from_the_apic() {
    let b = run(
        &format!(
            "{ENABLE}gate NMI, nmi_entry\nmov eax, [rbx + 0x20]\nmov [rbx + 0x310], eax\nmov dword ptr [rbx + 0x300], 0x4400\nafter: nop"
        ),
        "",
    );
    assert_eq!(b.frames(), [(NMI, b.at("after"))]);
    let source = Source::Apic;
    assert!(b.has(&EventKind::NmiRaised { source }));
}

/// The timer counts down once from its initial count, and can end HLT.
#[test]
fn the_timer_ends_a_halt() {
    let b = run(
        &format!(
            "{ENABLE}gate TIMER, timer_entry
        mov dword ptr [rbx + 0x3e0], 0xb\nmov dword ptr [rbx + 0x320], 0x22
        mov dword ptr [rbx + 0x380], 1000\nsti\nhlt\nafter: cli"
        ),
        "timer_entry: mov eax, [rbx + 0x390]\nmov [saved], rax\nmov dword ptr [rbx + 0xb0], 0\niretq",
    );
    assert_eq!(b.frames(), [(0x22, b.at("after"))]);
    assert_eq!(b.quad("saved"), 0);
    assert!(b.has(&EventKind::Woken));
}

#[test]
fn memory_that_is_not_there() {
    let b = run(
        "mov edi, 0xd0001000\nmov dword ptr [rdi], 5\nmov rax, [rdi]\nmov [saved], rax\nmovzx eax, byte ptr [rdi + 1]\nmov [saved + 8], rax",
        "",
    );
    assert_eq!((b.quad("saved"), b.quad("saved+8")), (u64::MAX, 0xff));
    assert!(b.has(&EventKind::Mmio {
        address: PhysAddr(0xd000_1000),
        size: 4,
        direction: Direction::Write,
        value: Hex(5),
        device: None,
    }));
}

#[test]
fn ports_that_are_not_there() {
    let b = run(
        "mov edx, 0x1234\nxor eax, eax\nin eax, dx\nmov [saved], rax\nxor eax, eax\nin al, dx\nmov [saved + 8], rax\nout dx, eax",
        "",
    );
    assert_eq!((b.quad("saved"), b.quad("saved+8")), (0xffff_ffff, 0xff));
}

fn lines(b: &Bench) -> Vec<(String, String)> {
    let all = b.events().into_iter();
    all.filter_map(|e| match e.kind {
        EventKind::Console { device, text } => Some((device, text)),
        _ => None,
    })
    .collect()
}

#[test]
fn the_serial_console() {
    let body = "mov edx, 0x3f8\nmov esi, offset text
        again: lodsb\ntest al, al\njz over\nmov bl, al
        wait: mov edx, 0x3fd\nin al, dx\ntest al, 0x20\njz wait
        mov edx, 0x3f8\nmov al, bl\nout dx, al\njmp again\nover:";
    let b = run(
        body,
        ".section .rodata\ntext: .asciz \"one\\ntwo\\n\"\n.text",
    );
    let serial = |text: &str| ("serial".to_owned(), text.to_owned());
    assert_eq!(lines(&b), [serial("one"), serial("two")]);
}

#[test]
fn the_debug_console_by_a_string_instruction() {
    let body = "mov edx, 0xe9\nmov esi, offset text\nmov ecx, 6\nrep outsb";
    let b = run(body, ".section .rodata\ntext: .ascii \"hello\\n\"\n.text");
    assert_eq!(lines(&b), [("debugcon".to_owned(), "hello".to_owned())]);
}
