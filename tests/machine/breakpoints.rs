//! Debug registers (SDM vol. 3, "Debug Registers", "Debug Exceptions").

use crate::support::*;

const B0: u64 = 1;
const BD: u64 = 1 << 13;

/// L0 with R/W0 and LEN0.
fn watch(place: &str, rw: u32, len: u32) -> String {
    let dr7 = 1 | rw << 16 | len << 18;
    format!(
        "gate DB, db_entry\nmov eax, offset {place}\nmov dr0, rax\nmov eax, {dr7:#x}\nmov dr7, rax\n"
    )
}

const WRITES: u32 = 1;
const READS_AND_WRITES: u32 = 3;
const HANDLER: &str = "db_entry: inc qword ptr [saved]\niretq";

fn dr6(b: &Bench, nth: usize) -> Option<u64> {
    b.deliveries()[nth].dr6.map(|v| v.0 & 0xe00f)
}

/// The trap comes after the instruction that made the access.
#[test]
fn data_breakpoints() {
    for (rw, insn, hit) in [
        (WRITES, "mov [page_a], eax", true),
        (WRITES, "mov eax, [page_a]", false),
        (WRITES, "inc byte ptr [page_a + 3]", true),
        (WRITES, "lock xadd [page_a], eax", true),
        (WRITES, "mov [page_a + 4], eax", false),
        (WRITES, "mov [page_a - 1], ax", true),
        (WRITES, "mov [page_a - 4], rax", true),
        (WRITES, "mov [page_a - 4], eax", false),
        (READS_AND_WRITES, "mov eax, [page_a]", true),
        (READS_AND_WRITES, "cmp byte ptr [page_a + 2], 1", true),
        (READS_AND_WRITES, "movups xmm0, [page_a - 13]", true),
        (READS_AND_WRITES, "mov eax, [page_a + 8]", false),
        (READS_AND_WRITES, "lea rax, [page_a]", false),
        (READS_AND_WRITES, "prefetcht0 [page_a]", false),
    ] {
        let body = format!("{}nop\n{insn}\nafter: nop", watch("page_a", rw, 3));
        let b = Bench::new(&body, HANDLER).succeed();
        if hit {
            assert_eq!(b.frames(), [(DB, b.at("after"))], "{insn}");
            assert_eq!(dr6(&b, 0), Some(B0), "{insn}");
            assert_eq!(b.deliveries()[0].pushed.rflags.0 & RF, 0, "{insn}");
        } else {
            assert_eq!(b.frames(), [], "{insn}");
        }
    }
}

#[test]
fn a_breakpoint_on_the_stack() {
    for insn in ["push rax", "call after", "pushfq"] {
        let body = format!(
            "{}mov rsp, offset page_b\n{insn}\nafter: nop",
            watch("page_b - 8", WRITES, 2)
        );
        let body = body.replace("gate DB, db_entry", "gate DB, db_entry, ist=3");
        let b = Bench::new(&body, HANDLER).succeed();
        assert_eq!(b.frames(), [(DB, b.at("after"))], "{insn}");
        assert_eq!(dr6(&b, 0), Some(B0), "{insn}");
    }
}

/// A repeated string instruction traps after the iteration that made the access.
#[test]
fn a_breakpoint_in_a_string_instruction() {
    let body = format!(
        "{}mov edi, offset page_a\nmov ecx, 5\nstring: rep stosb\nafter: nop",
        watch("page_a + 2", WRITES, 0)
    );
    let rest = "db_entry: mov [saved], rcx\niretq";
    let b = Bench::new(&body, rest).succeed();
    assert_eq!(b.frames(), [(DB, b.at("string"))]);
    assert_eq!(b.quad("saved"), 2);
    assert_eq!(b.deliveries()[0].pushed.rflags.0 & RF, RF);
    let body = body.replace("page_a + 2", "page_a + 4");
    let b = Bench::new(&body, rest).succeed();
    assert_eq!(
        (b.frames(), b.quad("saved")),
        (vec![(DB, b.at("after"))], 0)
    );
}

/// The frame of a delivery is written like anything else: the trap is due at the handler's entry.
#[test]
fn a_breakpoint_in_a_frame() {
    let body = format!(
        "gate NMI, nmi_entry, ist=1\n{}here: nop",
        watch("nmi_stack_top - 8", WRITES, 2)
    );
    let b = Bench::new(&body, HANDLER)
        .schedule(&["--nmi at=here"])
        .succeed();
    assert_eq!(b.frames(), [(NMI, b.at("here")), (DB, b.at("nmi_entry"))]);
    assert_eq!(dr6(&b, 1), Some(B0));
}

/// The trap of MOV SS is held over the next instruction.
#[test]
fn a_breakpoint_hit_by_mov_ss() {
    let body = format!(
        "mov eax, ss\nmov [page_a], eax\n{}mov ss, [page_a]\nnop\nafter: nop",
        watch("page_a", READS_AND_WRITES, 1)
    );
    let b = Bench::new(&body, HANDLER).succeed();
    assert_eq!(b.frames(), [(DB, b.at("after"))]);
    assert_eq!(dr6(&b, 0), Some(B0));
}

/// A fault before the instruction; RF in the image of IRET lets it run once.
#[test]
fn an_instruction_breakpoint() {
    let rest = "db_entry: inc qword ptr [saved]\nbts qword ptr [rsp + 16], 16\niretq";
    let body = format!(
        "mov ebx, 2\n{}again: nop\nhere: nop\ndec ebx\njnz again",
        watch("here", 0, 0)
    );
    let b = Bench::new(&body, rest).succeed();
    let here = b.at("here");
    assert_eq!(b.frames(), [(DB, here), (DB, here)]);
    assert_eq!(dr6(&b, 0), Some(B0));
    assert_eq!(b.deliveries()[0].pushed.rflags.0 & RF, 0);
}

/// A fault of the instruction with RF = 1 in the frame: the retry does not meet the breakpoint
/// again.
#[test]
fn an_instruction_breakpoint_and_a_page_fault() {
    let body = format!(
        "gate PF, pf_entry\nunmap page_a\ninvlpg [page_a]\n{}here: mov byte ptr [page_a], 1",
        watch("here", 0, 0)
    );
    let rest = "db_entry: bts qword ptr [rsp + 16], 16\niretq
        pf_entry: pte page_a, PRESENT + WRITE\nadd rsp, 8\niretq";
    let b = Bench::new(&body, rest).succeed();
    let here = b.at("here");
    assert_eq!(b.frames(), [(DB, here), (PF, here)]);
}

/// An NMI goes before the instruction breakpoint at the same boundary.
#[test]
fn an_instruction_breakpoint_and_an_nmi() {
    let rest = "db_entry: bts qword ptr [rsp + 16], 16\niretq";
    let body = format!("gate NMI, nmi_entry\n{}nop\nhere: nop", watch("here", 0, 0));
    let b = Bench::new(&body, rest)
        .schedule(&["--nmi at=here"])
        .succeed();
    let here = b.at("here");
    assert_eq!(b.frames(), [(NMI, here), (DB, here)]);
}

/// General detect: a fault before MOV DR, and delivery clears DR7.GD.
#[test]
fn general_detect() {
    let body = "gate DB, db_entry\nmov eax, 1 << 13\nmov dr7, rax\nhere: mov rax, dr0\nmov rax, dr7\nmov [saved + 8], rax";
    let b = Bench::new(body, HANDLER).succeed();
    assert_eq!(b.frames(), [(DB, b.at("here"))]);
    assert_eq!(dr6(&b, 0), Some(BD));
    assert_eq!(b.quad("saved+8"), 1 << 10);
}
