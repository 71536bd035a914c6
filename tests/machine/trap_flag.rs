//! Single-stepping (SDM vol. 3, "Single-Step Exception Condition"): a trap after an instruction
//! that started with TF = 1.

use crate::support::*;

const BS: u64 = 1 << 14;

/// A #DB handler that ends the stepping.
const ONCE: &str = "db_entry: and qword ptr [rsp + 16], ~RFLAGS_TF\niretq\n";

/// The trap goes before the NMI, which is taken at the handler's entry (SDM vol. 3,
/// "Prioritization of Concurrent Events").
#[test]
fn a_trap_and_an_nmi_at_one_boundary() {
    let b = Bench::new(
        "gate DB, db_entry\ngate NMI, nmi_entry\nload_flags RFLAGS_TF\nnop\nhere: nop",
        ONCE,
    )
    .schedule(&["--nmi at=here"])
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("here")), (NMI, b.at("db_entry"))]);
    let d = &b.deliveries()[0];
    assert_eq!(d.pushed.rflags.0 & TF, TF);
    assert_eq!(d.dr6.map(|v| v.0 & 0xe00f), Some(BS));
}

/// The shadow swallows the trap of MOV SS; the instruction after it traps for itself.
#[test]
fn mov_ss_is_not_stepped() {
    let b = Bench::new(
        "gate DB, db_entry\nmov eax, ss\nload_flags RFLAGS_TF\nmov ss, eax\nnop\nafter: nop",
        ONCE,
    )
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("after"))]);
}

#[test]
fn iret_that_sets_tf_lets_one_instruction_run() {
    let b = Bench::new(
        "gate DB, db_entry\niret_to target, KERNEL_CS, 0x102, kernel_stack_top, KERNEL_DS\ntarget: nop\nafter: nop",
        ONCE,
    )
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("after"))]);
}

#[test]
fn iret_that_clears_tf_traps_at_its_target() {
    let b = Bench::new(
        "gate DB, db_entry
        push KERNEL_DS\npush offset kernel_stack_top\npush 2\npush KERNEL_CS\npush offset target
        load_flags RFLAGS_TF
        iretq
        target: nop",
        ONCE,
    )
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("target"))]);
    assert_eq!(b.deliveries()[0].pushed.rflags.0 & TF, 0);
}

/// POPF that clears TF is itself the last one to trap.
#[test]
fn popf_that_clears_tf_traps_after_itself() {
    let b = Bench::new(
        "gate DB, db_entry\npush 2\nload_flags RFLAGS_TF\npopfq\nafter: nop",
        "db_entry: iretq",
    )
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("after"))]);
}

/// Every instruction once, those that microcode executes too.
#[test]
fn every_instruction_is_stepped() {
    let b = Bench::new(
        "gate DB, db_entry
        load_flags RFLAGS_TF
        a: nop\nb: mov rax, cr0\nc: rdtsc\nd: add eax, 1\ne: cpuid\nf: push 2\ng: popfq\nh: nop",
        "db_entry: iretq",
    )
    .succeed();
    let stops: Vec<_> = ["b", "c", "d", "e", "f", "g", "h"]
        .iter()
        .map(|name| (DB, b.at(name)))
        .collect();
    assert_eq!(b.frames(), stops);
}

/// INT n clears TF on entry, so it does not trap; the frame has it.
#[test]
fn int3_is_not_stepped() {
    let b = Bench::new(
        "gate DB, db_entry\ngate BP, bp_entry\nload_flags RFLAGS_TF\nint3\nafter: nop",
        &format!("{ONCE}bp_entry: and qword ptr [rsp + 16], ~RFLAGS_TF\niretq"),
    )
    .succeed();
    assert_eq!(b.frames(), [(3, b.at("after"))]);
    assert_eq!(b.deliveries()[0].pushed.rflags.0 & TF, TF);
}

/// A string instruction traps after each iteration; RF is 1 in between.
#[test]
fn each_iteration_of_a_string_instruction_is_stepped() {
    let b = Bench::new(
        "gate DB, db_entry
        mov edi, offset page_a\nmov ecx, 3
        push 2\nload_flags RFLAGS_TF
        string: rep stosb
        after: popfq
        last: nop",
        "db_entry: iretq",
    )
    .succeed();
    let (string, after, last) = (b.at("string"), b.at("after"), b.at("last"));
    let frames = [(DB, string), (DB, string), (DB, after), (DB, last)];
    assert_eq!(b.frames(), frames);
    let rf: Vec<_> = b
        .deliveries()
        .iter()
        .map(|d| d.pushed.rflags.0 & RF)
        .collect();
    assert_eq!(rf, [RF, RF, 0, 0]);
}
