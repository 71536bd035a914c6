//! NMIs between the iterations of string instructions (SDM vol. 2, REP: "an exception or
//! interrupt suspends the instruction").

use crate::support::*;

const MOVE: &str = "gate NMI, handler, ist=1
    mov dword ptr [page_a], 0x64636261\nmov byte ptr [page_a + 4], 0x65
    mov esi, offset page_a\nmov edi, offset page_b\nmov ecx, 5
    string: rep movsb
    after: nop";
const SAVE: &str = "handler: mov [saved], rcx\nmov [saved + 8], rdi\niretq";

fn start() -> u64 {
    Bench::new(MOVE, SAVE).run_to("string")
}

/// RIP is the string instruction, RCX what is left, RF = 1 (SDM vol. 3, "Instruction-Breakpoint
/// Exception Condition").
#[test]
fn an_nmi_after_k_iterations() {
    let n = start();
    for k in 0..5 {
        let b = Bench::new(MOVE, SAVE).schedule(&[&format!("--nmi icount={n}.{k}")]);
        let b = b.succeed();
        assert_eq!(b.frames(), [(NMI, b.at("string"))], "{k}");
        let rf = if k == 0 { 0 } else { RF };
        assert_eq!(b.deliveries()[0].pushed.rflags.0 & RF, rf, "{k}");
        assert_eq!(
            (b.quad("saved"), b.quad("saved+8")),
            (5 - k, b.at("page_b") + k)
        );
        assert_eq!(b.quad("page_b"), 0x65_6463_6261);
    }
}

/// The last iteration is the end of the instruction: no boundary has RIP there and RCX = 0.
#[test]
fn there_is_no_boundary_after_the_last_iteration() {
    let n = start();
    let b = Bench::new(MOVE, SAVE).schedule(&[&format!("--nmi icount={n}.5")]);
    let b = b.succeed();
    assert_eq!(b.frames(), []);
    let b = Bench::new(MOVE, SAVE).schedule(&[&format!("--nmi icount={}", n + 1)]);
    let b = b.succeed();
    assert_eq!(b.frames(), [(NMI, b.at("after"))]);
    assert_eq!(b.deliveries()[0].pushed.rflags.0 & RF, 0);
    assert_eq!(b.quad("saved"), 0);
}

/// REPE stops when the comparison fails: again no boundary before it retires.
#[test]
fn a_comparison_that_ends_early() {
    let body = MOVE
        .replace("rep movsb", "repe cmpsb")
        .replace("mov esi", "mov word ptr [page_b], 0x6261\nmov esi");
    let n = Bench::new(&body, SAVE).run_to("string");
    let left = [5, 4, 3];
    for (k, left) in left.into_iter().enumerate() {
        let b = Bench::new(&body, SAVE).schedule(&[&format!("--nmi icount={n}.{k}")]);
        let b = b.succeed();
        assert_eq!(b.frames(), [(NMI, b.at("string"))]);
        assert_eq!(b.quad("saved"), left);
    }
    let b = Bench::new(&body, SAVE).schedule(&[&format!("--nmi icount={n}.3")]);
    assert_eq!(b.succeed().frames(), []);
}

/// With RCX = 0 nothing is moved, and there is one boundary before it.
#[test]
fn no_iteration_at_all() {
    let body = MOVE.replace("mov ecx, 5", "xor ecx, ecx");
    let n = Bench::new(&body, SAVE).run_to("string");
    let b = Bench::new(&body, SAVE).schedule(&[&format!("--nmi icount={n}.1")]);
    let b = b.succeed();
    assert_eq!((b.frames(), b.quad("page_b")), (vec![], 0));
}

/// A fault in an iteration leaves the earlier ones done.
#[test]
fn a_page_fault_in_the_third_iteration() {
    let (b, d) = Bench::new(
        "mov edi, offset page_b - 2\nmov ecx, 5\nmov al, 7\nunmap page_b\ninvlpg [page_b]\nmov al, 7\nstring: rep stosb",
        "",
    )
    .fail();
    assert_page_fault(&d, 2, b.at("page_b"));
    assert_eq!(
        (d.pushed.rip.0, d.pushed.rflags.0 & RF),
        (b.at("string"), RF)
    );
    let gpr = b.machine.cpu().regs.gpr;
    assert_eq!((gpr[1], gpr[7]), (3, b.at("page_b")));
    assert_eq!(b.quad("page_a+4088"), 0x0707 << 48);
}
