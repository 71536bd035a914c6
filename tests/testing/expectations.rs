//! Each expectation: code that meets it, and code that does not.

use iretrace::arch::Vector;
use iretrace::check::{RuleId, Severity};
use iretrace::testing::expect::EndWanted;
use iretrace::testing::{Case, Code, Context, Expectation, Gate, Place, Raise, Rights, Until};

use crate::support::*;

fn nmi_case(body: &str) -> Case {
    Case::new(&program(&format!(
        "nmi:\n{body}\n.data\ncount: .quad 0\nother: .quad 0\n"
    )))
    .gate(Gate::new(Vector::NMI, "nmi").ist(1))
    .raise(Raise::nmi())
}

#[track_caller]
fn fails(case: Case, words: &str) {
    let failure = failure(&case);
    assert!(
        failure.to_string().contains(words),
        "{words:?} is not in\n{failure}"
    );
}

#[test]
fn writes_outside_the_ranges() {
    let within = |place| Expectation::writes_within(&[(place, 8)]);
    let case = nmi_case("incq count(%rip)\n iretq").expect(within("count"));
    case.assert();
    let bad = nmi_case("incq count(%rip)\n movl $1, other(%rip)\n iretq").expect(within("count"));
    fails(
        bad,
        "stores 4 bytes to other, outside what may be written: movl $1,",
    );
    // Half of it outside.
    fails(
        nmi_case("movq $1, count+4(%rip)\n iretq").expect(within("count")),
        "stores 8 bytes to count+0x4",
    );
}

#[test]
fn instructions_and_stack() {
    let body = "push %rax\n push %rbx\n pop %rbx\n pop %rax\n iretq";
    // 5 instructions; 40 bytes of frame and two quadwords (SDM vol. 3, 6.14.2).
    let case = |n, bytes| {
        nmi_case(body)
            .expect(Expectation::Instructions(n))
            .expect(Expectation::StackDepth(bytes))
    };
    case(5, 56).assert();
    fails(case(4, 56), "5 instructions, more than 4");
    fails(case(5, 55), "56 bytes of IST1 are used, more than 55");
}

#[test]
fn calls_of_functions_that_are_there() {
    let body = "push %rax\n call f\n pop %rax\n iretq\n f: ret";
    // IST stacks end at a multiple of 16; 40 bytes of frame and 8 of RAX make 48: RSP is aligned at the call.
    let aligned =
        |list: &[&str]| Expectation::Aligned(list.iter().map(|p| Place::from(*p)).collect());
    nmi_case(body).expect(aligned(&["f"])).assert();
    nmi_case(body).expect(aligned(&[])).assert();
    let bad = body
        .replace("push %rax\n", "push %rax\n push %rbx\n")
        .replace("call f\n", "call f\n pop %rbx\n");
    fails(
        nmi_case(&bad).expect(aligned(&["f"])),
        "misaligned at the call of f at nmi+0x2",
    );
    fails(
        nmi_case(&bad).expect(aligned(&[])),
        "misaligned at the call of f",
    );
    // Another one is not looked at.
    nmi_case(&bad).expect(aligned(&["nmi"])).assert();
}

#[test]
fn ends() {
    let ends = |e| Expectation::Ends(e);
    nmi_case("mov $0x10, %al\n mov $0xf4, %dx\n out %al, %dx\n")
        .until(Until::Stop)
        .expect(ends(EndWanted::Exit(0x10)))
        .assert();
    nmi_case("cli\n hlt")
        .until(Until::Stop)
        .expect(ends(EndWanted::Halted))
        .assert();
    nmi_case("ud2")
        .expect(ends(EndWanted::Stray(Vector::UD)))
        .assert();
    nmi_case("lidt none(%rip)\n ud2\n none: .skip 10")
        .until(Until::Stop)
        .expect(ends(EndWanted::TripleFault))
        .assert();
    let fix_up = "movq $elsewhere, (%rsp)\n iretq\n elsewhere: nop";
    nmi_case(fix_up)
        .expect(ends(EndWanted::ReturnedTo("elsewhere".into())))
        .assert();
    fails(
        nmi_case(fix_up),
        "the handler returns to elsewhere, and not to kernel_code+0x10",
    );
    fails(
        nmi_case("1: jmp 1b").limit(500),
        "never returns: the limit on instructions",
    );
    let call = nmi_case("call outside\n iretq").until(Until::Call("outside".to_owned()));
    call.expect(Expectation::NoFindings(Severity::Error))
        .assert();
}

#[test]
fn findings() {
    let leak = nmi_case("inc %r15\n iretq");
    fails(leak.clone(), "r15 is not restored");
    fails(
        leak.clone()
            .expect(Expectation::NoFindings(Severity::Error)),
        "error[state-leak]",
    );
    let found =
        |place: Option<&str>| Expectation::Finding(RuleId::StateLeak, place.map(Place::from));
    leak.clone().expect(found(Some("nmi+3"))).assert();
    fails(
        leak.expect(found(Some("nmi"))),
        "state-leak is found at nmi+0x3, and not at nmi",
    );
    fails(
        nmi_case("iretq").expect(found(None)),
        "state-leak is not found",
    );
}

#[test]
fn sse_registers_belong_to_the_interrupted_code() {
    let words = "x87 or SSE registers are not those of the interrupted code";
    let leaky = nmi_case("movd %eax, %xmm3\n iretq");
    let restored = Expectation::Restored(Default::default());
    fails(leaky.clone().expect(restored.clone()), words);
    fails(leaky.clone(), words);
    // What runs after the return is the interrupted code, whose they are.
    let on = leaky.clone().until(Until::Place("kernel_code+0x20".into()));
    fails(on, words);
    // So is what runs before the delivery.
    let source = "code: movd %eax, %xmm3\n int3\n 1: jmp 1b\n bp: nop\n iretq\n";
    Case::new(&program(source))
        .handler(Vector::BP, "bp")
        .context(Context::kernel().at("code"))
        .expect(restored)
        .assert();
}

#[test]
fn code_as_bytes_and_as_an_elf() {
    // IRETQ.
    let program = Code::bytes(0x20_0000, [0x48, 0xcf]).build().unwrap();
    Case::new(&program)
        .handler(Vector(0x30), 0x20_0000)
        .raise(Raise::interrupt(0x30))
        .assert();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("k.S");
    std::fs::write(&source, ".globl _start, irq\n_start: nop\nirq: iretq\n").unwrap();
    let (object, elf) = (folder.path().join("k.o"), folder.path().join("k.elf"));
    let run = |tool: &str, from: &std::path::Path, to: &std::path::Path, extra: &[&str]| {
        let mut command = std::process::Command::new(tool);
        assert!(
            command
                .args(extra)
                .arg("-o")
                .args([to, from])
                .status()
                .unwrap()
                .success()
        );
    };
    run("as", &source, &object, &[]);
    run("ld", &object, &elf, &["-Ttext=0xffffffff80100000"]);
    let program = Code::elf(&elf).build().unwrap();
    let case = Case::new(&program)
        .handler(Vector(0x30), "irq")
        .raise(Raise::interrupt(0x30));
    case.context(Context::user()).assert();
    // A static library: what is not in it is a stub.
    let library = folder.path().join("libk.a");
    assert!(
        std::process::Command::new("ar")
            .arg("rcs")
            .args([&library, &object])
            .status()
            .unwrap()
            .success()
    );
    let linked = Code::assembly("irq2: cmp %eax, %eax\n jnz nobody\n jmp irq\n").and(&library);
    let program = linked.build().unwrap();
    assert_eq!(
        program
            .stubs()
            .iter()
            .map(|s| s.0.as_str())
            .collect::<Vec<_>>(),
        ["nobody"]
    );
    let case = Case::new(&program)
        .handler(Vector(0x30), "irq2")
        .raise(Raise::interrupt(0x30));
    case.assert();
}

/// A correct handler survives what one that shares its frame with a nested NMI does not.
#[test]
fn survival() {
    // A fault inside the handler unblocks NMIs by its IRET; the pending one lands on the same IST stack
    // and writes over the frame (SDM vol. 3, 6.7.1): lost without a copy of it.
    let simple = nmi_case("push %rax\n nop\n nop\n pop %rax\n iretq");
    simple.clone().expect(Expectation::survives_nmi()).assert();
    let failure = failure(
        &simple
            .clone()
            .expect(Expectation::survives_fault_with_nmi_pending()),
    );
    let text = failure.to_string();
    assert!(
        text.contains("+nmi at ") && text.contains("boundaries breaks it (nmi"),
        "{text}"
    );

    // An interrupt's handler on the interrupted stack: an NMI with a stack of its own does no harm, one
    // whose handler leaks does at each boundary.
    let source = "irq: push %rax\n mov %rsp, %rax\n pop %rax\n iretq\nnmi: inc %r14\n iretq\n";
    let irq = Case::new(&program(source))
        .handler(Vector(0x40), "irq")
        .raise(Raise::interrupt(0x40))
        .expect(Expectation::survives_nmi());
    irq.assert();
    let leaky = irq.gate(Gate::new(Vector::NMI, "nmi").ist(2));
    fails(
        leaky,
        "nmi at 4 of 4 boundaries breaks it (irq, irq+0x1, irq+0x4, irq+0x5); at irq: r14 is not restored",
    );
}

/// A handler that is too long is not tried at some places and called good.
#[test]
fn what_cannot_be_tried_everywhere_has_not_survived() {
    let long = "mov $30000, %ecx\n1: dec %ecx\n jnz 1b\n mov $0x5eed000000001055, %rcx\n iretq";
    let case = nmi_case(long).expect(Expectation::survives_nmi());
    fails(
        case,
        "too long to try nmi at every boundary: given up after",
    );
}

#[test]
fn set_ups_that_cannot_be_are_errors() {
    let program = program("irq: iretq\n");
    let case = Case::new(&program)
        .handler(Vector(0x40), "irq")
        .raise(Raise::interrupt(0x40));
    let error = |case: &Case| case.run().expect_err("it cannot be run").to_string();
    let unknown = Case::new(&program).handler(Vector(0x40), "iqr");
    assert!(
        error(&unknown).contains("did you mean 'irq'?"),
        "{}",
        error(&unknown)
    );
    assert!(
        error(
            &case
                .clone()
                .map(1u64 << 47, 1, iretrace::testing::Rights::KERNEL)
        )
        .contains("canonical")
    );
    assert!(error(&case.clone().stack(8, "irq")).contains("IST7"));
    assert!(error(&case.clone().write(0x7000_0000u64, &[1])).contains("map it first"));
    assert!(error(&case.clone().stub("nobody", Default::default())).contains("never refers"));
    assert!(error(&case.clone().until(Until::Call("nobody".into()))).contains("no stub"));
    let masked = Context::kernel().flags(2).inside(Vector(0x40), None);
    assert!(error(&case.context(masked)).contains("cannot be delivered"));
}

/// Each try gives back the pages that it was given: all together need far more than there are.
#[test]
fn tries_share_the_frames_of_lazy_pages() {
    let source = "
        irq: push %rax
             push %rcx
             mov %cr2, %rax
             push %rax
             movabs $0xffffd00000000000, %rax
             mov $64, %ecx
        1:   movb $1, (%rax)
             add $4096, %rax
             dec %ecx
             jnz 1b
             pop %rax
             mov %rax, %cr2
             pop %rcx
             pop %rax
             iretq\n";
    let case = Case::new(&program(source))
        .handler(Vector(0x21), "irq")
        .quiet(Vector::PF)
        .lazy(0xffff_d000_0000_0000, 64 << 12, Rights::KERNEL)
        .raise(Raise::interrupt(0x21));
    assert_eq!(case.assert().seen().deliveries.len(), 65);
    case.expect(Expectation::survives_nmi()).assert();
}

/// A page fault's handler that keeps how far CR2 is behind `target`.
const DISTANCE: &str = "
page_fault:
    push %rax
    push %rcx
    mov %cr2, %rax
    lea target(%rip), %rcx
    sub %rcx, %rax
    mov %rax, distance(%rip)
    pop %rcx
    pop %rax
    add $8, %rsp
    iretq
.data
distance: .quad 0
target: .quad 0, 0
";

#[test]
fn a_page_fault_at_a_symbol() {
    let program = program(DISTANCE);
    let case = |raise: &str| {
        Case::new(&program)
            .handler(Vector::PF, "page_fault")
            .raise(raise.parse().expect("events"))
            .expect(Expectation::Sound)
    };
    let distance = |n: u64| Expectation::Memory("distance".into(), n.to_le_bytes().to_vec());
    for (raise, n) in [
        ("PF,ec=0x2,addr=target", 0),
        ("PF,ec=0x2,addr=target+0x8", 8),
        ("PF,ec=0x2,addr=target+15", 15),
        ("PF,ec=0x2,addr=distance", u64::MAX - 7),
    ] {
        case(raise).expect(distance(n)).assert();
    }
    // A second fault while CR2 has not been read: the handler's copy is of that one (SDM vol. 3,
    // 6.15, interrupt 14: CR2 is that of the last one).
    let second = "PF,ec=0x2,addr=target+0x8".parse().expect("events");
    fails(
        case("PF,ec=0x2,addr=target")
            .expect(distance(0))
            .expect(Expectation::Survives(second)),
        "PF,ec=0x2,addr=target+0x8 at ",
    );
    // What is not there is an error of the test.
    let Err(e) = case("PF,addr=taget+8").start() else {
        panic!("there is no such symbol");
    };
    let said = e.to_string();
    assert!(
        said.contains("no symbol \"taget\"; did you mean target?"),
        "{said}"
    );
}
