//! SYSCALL and SYSRET (SDM vol. 2).

use iretrace::arch::Vendor;

use crate::support::*;

const USER: &str = "
    entry_syscall: cmp qword ptr [nmis], 0\njne leave
    inc qword ptr [nmis]
    sysretq
    leave: mov rsp, offset kernel_stack_top\nmov al, EXIT_SUCCESS\njmp debug_exit
    db_entry: and qword ptr [rsp + 16], ~RFLAGS_TF\niretq
    .balign 4096
    user_start: load_flags RFLAGS_TF
    syscall
    after: nop
    syscall
    .balign 4096\n";

/// The trap after SYSCALL looks at TF after FMASK has been applied; that after SYSRET at the TF it
/// loaded.
#[test]
fn sysret_that_sets_tf_traps_at_the_user_rip() {
    let b = Bench::new(
        "gate DB, db_entry\ninit_syscall RFLAGS_TF\nenter_user",
        USER,
    )
    .succeed();
    assert_eq!(b.frames(), [(DB, b.at("after"))]);
    let d = &b.deliveries()[0];
    assert_eq!(d.pushed.cs.0, USER_CS);
    assert_eq!(d.pushed.rflags.0 & TF, TF);
}

/// Without it in FMASK the trap comes in the kernel, on the user's stack.
#[test]
fn syscall_that_keeps_tf_traps_at_its_entry() {
    let b = Bench::new("gate DB, db_entry, ist=3\ninit_syscall\nenter_user", USER).succeed();
    let d = &b.deliveries()[0];
    assert_eq!((d.id.vector.0, d.pushed.rip.0), (DB, b.at("entry_syscall")));
    assert_eq!(d.pushed.cs.0, KERNEL_CS);
    assert_eq!(d.pushed.rsp.0, b.at("user_stack_top"));
}

/// A non-canonical RCX: Intel raises #GP(0) in SYSRET, at CPL 0; AMD returns, and the fetch faults
/// at CPL 3.
#[test]
fn sysret_to_a_non_canonical_address() {
    let body = "init_syscall
        gate GP, unexpected, ist=4
        mov rcx, 0x800000000000\nmov r11, 2\nmov rsp, offset user_stack_top
        here: sysretq";
    let rest = "entry_syscall: nop";
    let (b, d) = Bench::new(body, rest).fail();
    assert_eq!((d.id.vector.0, d.error_code), (GP, Some(0)));
    assert_eq!(
        (d.pushed.rip.0, d.pushed.cs.0, d.pushed.rsp.0),
        (b.at("here"), KERNEL_CS, b.at("user_stack_top"))
    );
    let (_, d) = Bench::with(body, rest, of(Vendor::Amd)).fail();
    assert_eq!((d.id.vector.0, d.error_code), (GP, Some(0)));
    assert_eq!((d.pushed.rip.0, d.pushed.cs.0), (0x8000_0000_0000, USER_CS));
}

/// RFLAGS := (R11 AND 3C7FD7H) OR 2.
#[test]
fn sysret_clears_rf_and_vm() {
    let (b, d) = Bench::new(
        "init_syscall\nallow_user user_start\nmov rcx, offset user_start\nmov r11, 0x30002\nsysretq",
        "entry_syscall: nop\n.balign 4096\nuser_start: nop\n.balign 4096",
    )
    .schedule(&["--nmi at=user_start"])
    .fail();
    assert_eq!((d.id.vector.0, d.pushed.rip.0), (NMI, b.at("user_start")));
    assert_eq!(d.pushed.rflags.0, 2);
}

/// SYSCALL touches neither stack nor RSP, and saves RIP and RFLAGS in RCX and R11.
#[test]
fn an_nmi_in_the_syscall_gap_sees_the_users_stack() {
    let (b, d) = Bench::new(
        "init_syscall RFLAGS_IF\ngate NMI, unexpected, ist=1\nenter_user 0x202",
        "entry_syscall: nop\n.balign 4096\nuser_start: syscall\nafter: nop\n.balign 4096",
    )
    .schedule(&["--nmi at=entry_syscall"])
    .fail();
    assert_eq!(
        (d.pushed.cs.0, d.pushed.ss.0, d.pushed.rsp.0),
        (KERNEL_CS, 0x10, b.at("user_stack_top"))
    );
    assert_eq!(d.pushed.rflags.0, 2);
    let gpr = b.machine.cpu().regs.gpr;
    assert_eq!((gpr[1], gpr[11]), (b.at("after"), 0x202));
}
