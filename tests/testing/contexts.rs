//! What is interrupted: the state before delivery, by the manuals.

use iretrace::arch::Vector;
use iretrace::testing::{
    Case, Context, End, Expectation, Gate, Raise, Register, Restored, Rights, Until, layout,
};

use crate::support::*;

const NMI: &str = "
    .globl nmi
nmi:
    push %rax
    incq %gs:8
in_nmi:
    pop %rax
    iretq
entry_syscall:
    swapgs
    mov %rsp, %gs:0
    ud2
    .globl nested
nested:
    add $8, %rsp
    iretq
";

fn paranoid() -> String {
    // SWAPGS only if GS.base is the user's: kernel addresses are negative.
    NMI.replace(
        "    push %rax\n    incq %gs:8\nin_nmi:\n    pop %rax\n",
        "    push %rax\n    push %rdx\n    push %rcx\n    push %rbx\n    xor %ebx, %ebx
    mov $0xc0000101, %ecx\n    rdmsr\n    test %edx, %edx\n    js 1f\n    swapgs\n    inc %ebx
1:  incq %gs:8\nin_nmi:\n    test %ebx, %ebx\n    jz 2f\n    swapgs
2:  pop %rbx\n    pop %rcx\n    pop %rdx\n    pop %rax\n",
    )
}

fn nmi(source: &str) -> Case {
    Case::new(&program(source))
        .gate(Gate::new(Vector::NMI, "nmi").ist(1))
        .raise(Raise::nmi())
}

/// In the gap RSP and GS are the user's, CS and CPL the kernel's, RCX and R11 the user's RIP and RFLAGS
/// (SDM vol. 2, SYSCALL).
#[test]
fn the_syscall_gap() {
    let gap = Context::syscall_gap().at("entry_syscall");
    let case = nmi(&paranoid()).context(gap.clone());
    let run = case.assert();
    let root = run.root().expect("an NMI");
    let before = &root.before;
    assert_eq!((before.cpl, before.cs().selector), (0, 0x08));
    assert_eq!(Register::GsBase.get(before), layout::USER_GS);
    assert_eq!(Register::Rcx.get(before), layout::USER_SYSCALL + 2);
    // CF, IF and DF; SYSCALL clears IF and DF here (IA32_FMASK), after it has saved them.
    assert_eq!(Register::R11.get(before), 0x603);
    assert_eq!(before.rflags & 0x600, 0);
    assert_eq!(root.delivery.pushed.rip.0, run.register(Register::Rip));
    assert_eq!(root.delivery.ist, 1);
    assert_eq!(run.quad(layout::KERNEL_GS + 8), Some(1));

    // One that looks at CS is wrong there: the user's GS base stays.
    let by_cs = NMI.replace(
        "    push %rax\n    incq",
        "    testb $3, 8(%rsp)\n    jz 1f\n    swapgs\n1:  push %rax\n    incq",
    );
    let failure = failure(&nmi(&by_cs).context(gap));
    assert!(
        failure.headline().contains("SWAPGS is missing"),
        "{failure}"
    );
}

/// Inside an NMI handler NMIs are blocked; an IRET unblocks them, whatever it returns from (SDM
/// vol. 3, 6.7.1 and vol. 2, IRET).
#[test]
fn inside_an_nmi_handler() {
    let source = format!("{PAGE_FAULT}{NMI}");
    let case = Case::new(&program(&source))
        .gate(Gate::new(Vector::NMI, "nmi").ist(1))
        .handler(Vector::PF, "page_fault")
        .context(Context::kernel().inside(Vector::NMI, Some("in_nmi".into())))
        .raise(Raise::page_fault(ADDRESS, 0))
        .expect(Expectation::Sound)
        .expect(Expectation::Nmi {
            before: Some(true),
            after: Some(false),
        });
    let run = case.assert();
    let interrupted = run.root().expect("a page fault").delivery.pushed.rip;
    assert_eq!(interrupted.0, run.register(Register::Rip));
    let failure = failure(&case.expect(Expectation::Nmi {
        before: None,
        after: Some(true),
    }));
    assert!(
        failure.headline().starts_with("NMIs are not blocked after"),
        "{failure}"
    );
}

#[test]
fn an_event_that_is_masked_is_not_delivered() {
    let case = Case::new(&program(PAGE_FAULT))
        .handler(Vector(0x21), "page_fault")
        .context(Context::kernel().flags(2))
        .raise(Raise::interrupt(0x21))
        .limit(50);
    let failure = failure(&case);
    assert!(
        failure
            .headline()
            .starts_with("nothing was delivered: interrupts are off"),
        "{failure}"
    );
}

/// The code at the context raises the fault by itself, and is tried again.
#[test]
fn a_real_fault_of_the_interrupted_code() {
    let source = format!(
        "{PAGE_FAULT}\ntouch: movb $7, lazy+5(%rip)\nafter: nop\n.bss\n.balign 4096\nlazy: .skip 4096\n"
    );
    let case = Case::new(&program(&source))
        .handler(Vector::PF, "page_fault")
        .lazy("lazy", 4096, Rights::KERNEL)
        .context(Context::kernel().at("touch"));
    let run = case.clone().until(Until::Place("after".into())).assert();
    assert_eq!(run.end(), &End::Reached("after".into()));
    let at = case.program().resolve("test", &"lazy".into()).unwrap().0;
    // A write by the kernel to a page that is not present (SDM vol. 3, 4.7).
    let delivery = &run.root().expect("a fault").delivery;
    assert_eq!(
        (delivery.error_code, delivery.cr2.map(|a| a.0)),
        (Some(2), Some(at + 5))
    );
    assert_eq!(run.calls("do_page_fault")[0].arguments[..2], [at + 5, 2]);
    assert_eq!(run.quad(at), Some(7 << 40));

    // The same with the kernel's function filling the page.
    let run = case
        .clone()
        .unmap("lazy", 4096)
        .on_call("do_page_fault", |session, call| {
            session.map(call.arguments[0] & !0xfff, 4096, Rights::KERNEL);
        })
        .until(Until::Place("after".into()))
        .assert();
    assert_eq!(run.quad(at), Some(7 << 40));
    // And by a closure on the #PF.
    let on_fault = Case::new(case.program())
        .handler(Vector::PF, "page_fault")
        .unmap("lazy", 4096)
        .on_fault(|session, d| {
            let at = d.cr2.map_or(0, |a| a.0);
            assert!(session.map(at & !0xfff, 1, Rights::KERNEL));
        })
        .context(Context::kernel().at("touch"))
        .until(Until::Place("after".into()));
    assert_eq!(on_fault.assert().quad(at), Some(7 << 40));
    // Nobody fills it: the fault comes again and again.
    let never = Case::new(case.program())
        .handler(Vector::PF, "page_fault")
        .unmap("lazy", 4096)
        .context(Context::kernel().at("touch"))
        .until(Until::Place("after".into()))
        .limit(2000);
    let failure = failure(&never);
    assert!(
        failure.headline().contains("the limit on instructions"),
        "{failure}"
    );
}

#[test]
fn chosen_registers_and_what_a_handler_may_return() {
    let source = "int80: mov %rdi, %rax\n inc %rax\n iretq\n user: int $0x80\n after: nop\n";
    let mut gate = Gate::new(Vector(0x80), "int80");
    gate.dpl = 3;
    let case = Case::new(&program(source))
        .gate(gate)
        .context(Context::user().at("user").register(Register::Rdi, 41));
    let failure = failure(&case);
    assert!(
        failure.headline().starts_with("rax is not restored"),
        "{failure}"
    );
    case.expect(Expectation::Restored(Restored::except(&[Register::Rax])))
        .expect(Expectation::Register(Register::Rax, 42))
        .expect(Expectation::Frame(iretrace::testing::FrameWanted {
            // A software interrupt saves the next instruction's address (SDM vol. 2, INT n).
            rip: Some("after".into()),
            cs: Some(0x2b),
            vector: Some(0x80),
            ..Default::default()
        }))
        .assert();
}

/// All RAM is mapped by pages of 2 MiB: one of 4 KiB can be taken out, and its neighbours stay.
#[test]
fn a_page_of_the_direct_map_is_unmapped() {
    let at = layout::DIRECT_MAP + 0x5000;
    let case = nmi(NMI).unmap(at, 4096);
    let mut session = case.start().unwrap();
    let mut byte = [0];
    let readable = [at - 1, at, at + 4095, at + 4096].map(|a| session.read(a, &mut byte));
    assert_eq!(readable, [true, false, false, true]);
    let last = layout::DIRECT_MAP + (2 << 20) - 4096;
    session.unmap(last, 4096);
    let readable = [last - 1, last, last + 4096].map(|a| session.read(a, &mut byte));
    assert_eq!(readable, [true, false, true]);
}

/// A selector without its hidden part is refused, whether it is a number or a place.
#[test]
fn selectors_are_not_set_by_themselves() {
    let number = Context::kernel().register(Register::Cs, 8);
    let place = Context::kernel().register_at(Register::Cs, "nmi");
    for context in [number, place] {
        let error = nmi(NMI).context(context).start().unwrap_err().to_string();
        assert_eq!(error, "cs: a selector cannot be set by itself");
    }
    // Nor by a closure: its run says so.
    let case = case(&program(PAGE_FAULT)).on_call("do_page_fault", |session, _| {
        session.set_register(Register::Ss, 0);
    });
    let error = case.check().unwrap_err().to_string();
    assert_eq!(error, "ss: a selector cannot be set by itself");
}
