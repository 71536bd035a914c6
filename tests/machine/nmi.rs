//! NMIs: the latch, the blocking window, and what ends it (SDM vol. 3, "Handling Multiple NMIs").

use iretrace::arch::{Vector, Vendor, VirtAddr};
use iretrace::machine::{StopReason, Until};
use iretrace::trace::{EventKind, HeldBy, UnblockedBy};

use crate::support::*;

fn is_raised(kind: &EventKind) -> bool {
    matches!(kind, EventKind::NmiRaised { .. })
}

/// One NMI is latched while NMIs are blocked, and a third one is lost; IRET lets the second one in
/// before the first instruction at its target.
#[test]
fn of_two_nmis_in_the_handler_one_is_taken_at_the_return() {
    let rest = "handler: inc qword ptr [nmis]\nfirst: nop\nsecond: nop\niretq";
    let b = Bench::new("gate NMI, handler\ntarget: nop", rest)
        .schedule(&["--nmi at=target", "--nmi at=first", "--nmi at=second"])
        .succeed();
    let target = b.at("target");
    assert_eq!(b.frames(), [(NMI, target), (NMI, target)]);
    assert_eq!((b.count(is_raised), b.quad("nmis")), (3, 2));
    assert_eq!(b.count(|k| *k == EventKind::NmiMerged), 1);
    let held_by = HeldBy::Blocked;
    assert!(b.has(&EventKind::NmiLatched { held_by }));
}

/// IRET unblocks NMIs whatever it returns from (SDM vol. 2, IRET): here from a #BP.
#[test]
fn the_return_from_a_breakpoint_lets_an_nmi_into_the_nmi_handler() {
    let rest = "handler: inc qword ptr [nmis]\ncmp qword ptr [nmis], 1\njne leave
        first: int3
        after: nop
        leave: iretq
        bp_entry: iretq";
    let b = Bench::new("gate NMI, handler\ngate BP, bp_entry\ntarget: nop", rest)
        .schedule(&["--nmi at=target", "--nmi at=first"])
        .succeed();
    let (target, after) = (b.at("target"), b.at("after"));
    assert_eq!(b.frames(), [(NMI, target), (3, after), (NMI, after)]);
    assert_eq!(
        b.count(|k| matches!(
            k,
            EventKind::NmiUnblocked { by: UnblockedBy::OtherIret, in_handler: Some(h), .. }
                if h.vector == Vector::BP
        )),
        1
    );
}

const FAULTING_RETURN: &str = "gate NMI, handler\ngate GP, gp_entry, ist=4\ntarget: nop";

/// Intel: NMIs are unblocked by an IRET that faults, before its fault's handler (SDM vol. 3,
/// "Information About NMI Unblocking Due to IRET"; vol. 2, IRET).
#[test]
fn a_faulting_iret_unblocks_nmis_on_intel() {
    for spoil in [
        // CS = 0x18, a code segment of DPL 3: RPL is not DPL.
        "mov qword ptr [rsp + 8], 0x18\nfirst: nop",
        "pushfq\nor qword ptr [rsp], RFLAGS_NT\npopfq\nfirst: nop",
    ] {
        let code = if spoil.contains("NT") { 0 } else { 0x18 };
        let rest = format!(
            "handler: inc qword ptr [nmis]\ncmp qword ptr [nmis], 2\nje again\n{spoil}
            bad: iretq
            gp_entry: mov al, EXIT_SUCCESS\njmp debug_exit
            again: iretq"
        );
        let schedule = ["--nmi at=target", "--nmi at=first"];
        let b = Bench::new(FAULTING_RETURN, &rest).schedule(&schedule);
        let b = b.succeed();
        let (target, bad, gp) = (b.at("target"), b.at("bad"), b.at("gp_entry"));
        assert_eq!(b.frames(), [(NMI, target), (GP, bad), (NMI, gp)], "{spoil}");
        assert_eq!(b.deliveries()[1].error_code, Some(code), "{spoil}");

        // AMD's manual knows an unblocking by successful IRETs only (APM vol. 2, 15.21.10).
        let b = Bench::with(FAULTING_RETURN, &rest, of(Vendor::Amd)).schedule(&schedule);
        let b = b.succeed();
        assert_eq!(b.frames(), [(NMI, target), (GP, bad)], "{spoil}");
        assert!(b.machine.cpu().nmi.pending && b.machine.cpu().nmi.blocked);
    }
}

/// An NMI whose delivery faults is lost, and NMIs stay blocked until an IRET (SDM vol. 2, INT n:
/// the original event is not delivered).
#[test]
fn an_nmi_whose_stack_is_absent_is_lost_and_blocks() {
    let rest = "pf_entry: nop
        in_handler: nop
        pte nmi_stack, WRITE + PRESENT
        add rsp, 8
        iretq";
    let b = Bench::new(
        "gate NMI, nmi_entry, ist=1\ngate PF, pf_entry\nunmap nmi_stack\ninvlpg [nmi_stack]\ntarget: nop",
        rest,
    )
    .schedule(&["--nmi at=target", "--nmi at=in_handler"])
    .succeed();
    let (target, top) = (b.at("target"), b.at("nmi_stack_top"));
    assert_eq!(b.frames(), [(PF, target), (NMI, target)]);
    // A write to a page that is not present: W; the first slot pushed is SS.
    assert_page_fault(&b.deliveries()[0], 2, top - 8);
    assert!(b.has(&EventKind::DeliveryFailed {
        vector: Vector::NMI,
        raised: Vector::PF,
        error_code: Some(2),
        address: Some(VirtAddr(top - 8)),
        then: Some(Vector::PF),
    }));
    let held_by = HeldBy::Blocked;
    assert!(b.has(&EventKind::NmiLatched { held_by }));
    assert_eq!(b.quad("nmis"), 1);
}

/// The saved RIP is that after HLT (SDM vol. 2, HLT).
#[test]
fn an_nmi_ends_a_halt() {
    let b = Bench::new("gate NMI, nmi_entry\nhlt\nafter: nop", "")
        .schedule(&["--nmi at=after"])
        .succeed();
    assert_eq!(b.frames(), [(NMI, b.at("after"))]);
    assert!(b.has(&EventKind::Halted) && b.has(&EventKind::Woken));
}

#[test]
fn a_blocked_nmi_does_not_end_a_halt() {
    let rest = "handler: hlt\nasleep: iretq";
    let mut b = Bench::new("gate NMI, handler\ntarget: nop", rest)
        .schedule(&["--nmi at=target", "--nmi at=asleep"]);
    assert_eq!(b.machine.run(Until::Never), StopReason::HaltedForever);
    assert_eq!(b.frames(), [(NMI, b.at("target"))]);
    assert!(b.machine.cpu().nmi.pending);
}

/// SYSRET does not unblock NMIs; the next IRET does.
#[test]
fn an_nmi_handler_that_leaves_by_sysret_keeps_nmis_blocked() {
    let rest = "handler: mov rcx, offset user_start\nmov r11, 2\nsysretq
        entry_syscall: mov rsp, offset kernel_stack_top
        iret_to last, KERNEL_CS, 2, kernel_stack_top, KERNEL_DS
        last: mov al, EXIT_SUCCESS\njmp debug_exit
        .balign 4096
        user_start: nop\nin_user: nop\nsyscall
        .balign 4096";
    let mut b = Bench::new(
        "allow_user user_start\ninit_syscall\ngate NMI, handler\ntarget: nop",
        rest,
    )
    .schedule(&["--nmi at=target", "--nmi at=in_user"]);
    // What is taken there comes first: the second NMI's handler goes to the user once more, and
    // comes back by the same way.
    b.run_to("last");
    let (target, last) = (b.at("target"), b.at("last"));
    assert_eq!(b.frames(), [(NMI, target), (NMI, last)]);
}
