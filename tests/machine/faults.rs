//! Faults of single instructions (SDM vol. 3, "Interrupt and Exception Reference").

use iretrace::arch::Vector;
use iretrace::machine::{StopReason, Until};
use iretrace::trace::Delivery;

use crate::support::*;

/// The fault of the instruction at `here`.
fn fault(body: &str) -> (Bench, Delivery) {
    let (b, d) = Bench::new(body, "").fail();
    assert_eq!(d.pushed.rip.0, b.at("here"), "{body}");
    assert_eq!(d.pushed.rflags.0 & RF, RF, "{body}");
    (b, d)
}

fn vector_and_code(body: &str) -> (Vector, Option<u32>) {
    let d = fault(body).1;
    (d.id.vector, d.error_code)
}

#[test]
fn one_fault_each() {
    for (body, vector, code) in [
        ("here: ud2", Vector::UD, None),
        ("xor ecx, ecx\nhere: div ecx", Vector::DE, None),
        (
            "mov eax, 1 << 31\ncdq\nmov ecx, -1\nhere: idiv ecx",
            Vector::DE,
            None,
        ),
        ("set_bits cr0, CR0_TS\nhere: fld1", Vector::NM, None),
        (
            "set_bits cr0, CR0_TS\nhere: movups xmm0, [page_a]",
            Vector::NM,
            None,
        ),
        ("here: movaps xmm0, [page_a + 8]", Vector::GP, Some(0)),
        ("here: movaps [page_a + 4], xmm0", Vector::GP, Some(0)),
        ("here: paddd xmm0, [page_a + 1]", Vector::GP, Some(0)),
        (
            "mov rbx, 0x800000000000\nhere: mov rax, [rbx]",
            Vector::GP,
            Some(0),
        ),
        (
            "mov rbx, 0x7fffffffffff\nhere: mov rax, [rbx]",
            Vector::GP,
            Some(0),
        ),
        ("here: mov rax, cr1", Vector::UD, None),
        (".byte 0xf0\nhere = . - 1\nnop", Vector::UD, None),
        ("mov ecx, 0x12345678\nhere: rdmsr", Vector::GP, Some(0)),
        ("mov eax, 0x68\nhere: mov ds, eax", Vector::GP, Some(0x68)),
    ] {
        assert_eq!(vector_and_code(body), (vector, code), "{body}");
    }
}

#[test]
fn instructions_longer_than_fifteen_bytes() {
    let body = "here: .fill 15, 1, 0x66\nnop";
    assert_eq!(vector_and_code(body), (Vector::GP, Some(0)));
}

/// SDM vol. 3, "Canonical Addressing"; branches check their target before anything is committed.
#[test]
fn branches_to_non_canonical_addresses() {
    for body in [
        "mov rax, 0x800000000000\nhere: jmp rax",
        "mov rax, 0xffff7fffffffffff\nhere: call rax",
        "mov rax, 0x800000000000\npush rax\nmov rdx, rsp\nhere: ret",
        "mov rax, 0x800000000000\nmov [page_a], rax\nhere: jmp qword ptr [page_a]",
        "mov rax, 0x800000000000\nmov [page_a], rax\nhere: call qword ptr [page_a]",
    ] {
        let top = "gate GP, unexpected, ist=4\nmov qword ptr [kernel_stack_top - 16], 0x5a5a\n";
        let (b, d) = fault(&format!("{top}sub rsp, 8\n{body}"));
        assert_eq!((d.id.vector.0, d.error_code), (GP, Some(0)), "{body}");
        let pushed = if body.contains("push") { 16 } else { 8 };
        assert_eq!(d.pushed.rsp.0, b.at("kernel_stack_top") - pushed, "{body}");
        if pushed == 8 {
            // Where CALL would have put the return address.
            assert_eq!(b.quad("kernel_stack_top-16"), 0x5a5a, "{body}");
        }
    }
}

/// #SS(0) for the stack segment, RSP as it was.
#[test]
fn a_non_canonical_stack() {
    for body in [
        "mov rsp, 0x800000000008\nhere: push rax",
        "mov rsp, 0x800000000008\nhere: call finish",
        "mov rsp, 0x800000000008\nhere: pop rax",
        "mov rsp, 0x800000000008\nhere: ret",
        "mov rsp, 0x800000000008\nhere: pushfq",
        "mov rbp, 0x800000000008\nmov rsp, rbp\nhere: mov rax, [rbp]",
    ] {
        let body = format!("gate SS, unexpected, ist=4\n{body}\nfinish:");
        let (_, d) = fault(&body);
        assert_eq!((d.id.vector, d.error_code), (Vector::SS, Some(0)), "{body}");
        assert_eq!(d.pushed.rsp.0, 0x8000_0000_0008, "{body}");
    }
}

/// AVX is not modelled, and an SSE exception that is unmasked would never be raised: the run says
/// so instead of going on.
#[test]
fn what_is_not_modelled_ends_the_run() {
    for body in [
        "here: vaddps ymm0, ymm1, ymm2",
        "mov dword ptr [page_a], 0x1f00\nhere: ldmxcsr [page_a]",
    ] {
        let mut b = Bench::new(body, "");
        let stop = b.machine.run(Until::Never);
        match &stop {
            StopReason::NotModelled { rip, .. } => assert_eq!(rip.0, b.at("here"), "{body}"),
            _ => panic!("{body}: {stop}"),
        }
    }
    Bench::new("mov dword ptr [page_a], 0x1f80\nldmxcsr [page_a]", "").succeed();
}

/// #DE and the like clear nothing: the handler may repair the operand and return.
#[test]
fn a_fault_is_retried_after_iret() {
    let b = Bench::new(
        "gate DE, de_entry\nmov eax, 6\nxor edx, edx\nxor ecx, ecx\nhere: div ecx\nmov [saved], rax",
        "de_entry: mov ecx, 3\niretq",
    )
    .succeed();
    assert_eq!((b.frames(), b.quad("saved")), (vec![(0, b.at("here"))], 2));
}

/// A #PF while a #PF is delivered is a #DF with error code 0; CR2 is the stack's (SDM vol. 3,
/// "Interrupt 8").
#[test]
fn a_page_fault_on_an_absent_stack_is_a_double_fault() {
    let (b, d) = Bench::new(
        "mov edi, 8\nmov esi, offset unexpected\nmov edx, GATE_INTERRUPT + 2\ncall set_gate
        unmap page_b\ninvlpg [page_b]\nunmap page_a\ninvlpg [page_a]
        mov rsp, offset page_b + 4088
        here: mov [page_a], al",
        "",
    )
    .fail();
    assert_eq!((d.id.vector, d.error_code), (Vector::DF, Some(0)));
    assert_eq!(b.machine.cpu().regs.cr2, (b.at("page_b") + 4080) - 8);
    assert_eq!(d.pushed.rip.0, b.at("here"));
}
