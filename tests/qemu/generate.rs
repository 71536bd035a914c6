//! Random cases, and the image in which some dozens of them run.

use std::fmt::Write;

use crate::items::{ANY_PAGES, Place, USER_STACK_PAGE, item};
use crate::random::Random;

const SKELETON: &str = include_str!("skeleton.S");

/// Physical frames behind the test pages.
const FRAMES: u64 = 6;

/// One case: assembly source, a function of its number.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number.
    pub number: u64,
    kernel: Vec<String>,
    user: Vec<String>,
    body: Vec<String>,
    descriptor: String,
}

/// The case of a number.
pub fn case(number: u64) -> Case {
    let r = &mut Random::new(number);
    let mut slots = |most: u64, least: u64, place| -> Vec<String> {
        let n = least + r.below(most - least);
        (0..n).map(|_| item(r, place)).collect()
    };
    let kernel = slots(14, 4, Place::Kernel);
    let user = slots(14, 3, Place::User);
    let body = slots(3, 0, Place::Body);
    let descriptor = descriptor(r, body.is_empty());
    Case {
        number,
        kernel,
        user,
        body,
        descriptor,
    }
}

impl Case {
    /// What a report shows.
    pub fn shown(&self) -> String {
        let part = |name: &str, items: &[String]| {
            let mut text = format!("-- {name}\n");
            for (n, i) in items.iter().enumerate() {
                let _ = writeln!(text, "  {n:2}: {}", i.replace('\n', "; "));
            }
            text
        };
        format!(
            "case {}\n{}{}{}{}",
            self.number,
            part("kernel", &self.kernel),
            part("user", &self.user),
            part("handlers", &self.body),
            self.descriptor
        )
    }

    fn source(&self, n: usize, out: &mut String) {
        let slots = |items: &[String]| -> String {
            let user = format!("user_{n}");
            items
                .iter()
                .map(|i| format!("slot\n{}\nend_slot\n", i.replace(".Luser", &user)))
                .collect()
        };
        let _ = write!(
            out,
            "kernel_{n}:\n{}slot\nint FINISH\njmp end_case\nend_slot\nkernel_end_{n}:\n\
             body_{n}:\n{}slot\njmp body_done\nend_slot\nbody_end_{n}:\n\
             .section .text.user,\"ax\"\n\
             user_{n}:\n{}slot\nint FINISH\njmp end_case\nend_slot\nuser_end_{n}:\n.text\n\
             .section .rodata\ncase_{n}:\n{}\n.text\n",
            slots(&self.kernel),
            slots(&self.body),
            slots(&self.user),
            self.descriptor.replace("_N", &format!("_{n}")),
        );
    }
}

/// The source of the image that runs `cases`.
pub fn source(cases: &[Case]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "CASES = {}", cases.len());
    out += SKELETON;
    out += "\n.section .text.user,\"ax\"\n.balign 4096\nuser_code:\n.text\n.balign SLOT\n";
    for (n, case) in cases.iter().enumerate() {
        case.source(n, &mut out);
    }
    out +=
        ".section .text.user\n.balign 4096\nuser_code_end:\n.section .rodata\n.balign 8\ncases:\n";
    for n in 0..cases.len() {
        let _ = writeln!(out, ".quad case_{n}");
    }
    out += ".text\n";
    out
}

fn descriptor(r: &mut Random, no_body: bool) -> String {
    let mut out = String::from(".quad kernel_N, kernel_end_N, user_N, user_end_N\n");
    out += if no_body {
        ".quad 0, 0\n"
    } else {
        ".quad body_N, body_end_N\n"
    };
    let _ = writeln!(
        out,
        ".quad {}",
        r.pick(&["syscall_return", "syscall_return", "syscall_stay"])
    );
    let cr0 = if r.chance(75) {
        "BASE_CR0"
    } else {
        "BASE_CR0 - 0x10000"
    };
    let mut cr4 = vec!["BASE_CR4"];
    for (bit, percent) in [("0x100000", 40), ("0x200000", 25)] {
        if r.chance(percent) {
            cr4.push(bit);
        }
    }
    if r.chance(70) {
        cr4.push("-0x400000");
    }
    let efer = if r.chance(90) { 0xd01 } else { 0xd00 };
    let pkru = if r.chance(70) {
        0
    } else {
        r.next() & 0xffff_fffc
    };
    let _ = writeln!(
        out,
        ".quad {cr0}, {}, {efer:#x}, {pkru:#x}",
        cr4.join("+").replace("+-", "-")
    );
    let rflags = if r.chance(70) {
        2
    } else {
        2 | r.next() & 0x4_0ed5
    };
    let _ = writeln!(out, ".quad {rflags:#x}, {:#x}", r.next() & 0x4_4700);
    let idt_limit = match r.below(90) {
        0 => "16 * 14 - 1".to_owned(),
        1 => "16 * 32 - 1".to_owned(),
        2 => "16 * 14 + 14".to_owned(),
        _ => "16 * VECTORS - 1".to_owned(),
    };
    let tss_limit = if r.chance(98) {
        0x67
    } else {
        r.pick(&[0x20, 0x2b, 0x33, 0x0b])
    };
    let _ = writeln!(out, ".quad {idt_limit}, {tss_limit:#x}");

    // RSP0 to RSP2 and the ISTs: 1 to 4 mostly good, 5 and 6 mostly not, 7 the markers'.
    let bad = |r: &mut Random| {
        let page = 0x40_0000 + r.below(17) * 4096;
        match r.below(12) {
            0 => "0x0000800000001000".to_owned(),
            1 => "0x0000800000000000".to_owned(),
            2 => format!("{:#x}", page + 8),
            3 => "0x600000".to_owned(),
            _ => format!("{page:#x}"),
        }
    };
    let mut stacks = Vec::new();
    stacks.push(if r.chance(90) {
        "rsp0_top".to_owned()
    } else {
        bad(r)
    });
    stacks.push("0".to_owned());
    stacks.push("0".to_owned());
    for n in 1..=4 {
        let good = format!("ist_{n}_top{}", r.pick(&["", "", "", " - 8", " - 5"]));
        stacks.push(if r.chance(if n == 1 { 99 } else { 95 }) {
            good
        } else {
            bad(r)
        });
    }
    stacks.push(bad(r));
    stacks.push(bad(r));
    stacks.push("user_marker_stack_top".to_owned());
    let _ = writeln!(out, ".quad {}", stacks.join(", "));

    for page in 0..16 {
        let entry = match page {
            _ if page < ANY_PAGES => page_entry(r),
            USER_STACK_PAGE => format!("test_frames + {} + 0x67", (FRAMES - 1) * 4096),
            _ => "0".to_owned(),
        };
        let _ = writeln!(out, ".quad {entry}");
    }
    gates(r, &mut out);
    out += ".quad -1";
    out
}

/// A page-table entry: a good page of the user's, or one with something against it.
fn page_entry(r: &mut Random) -> String {
    let mut bits = 7u64;
    if r.chance(50) {
        bits |= 0x60;
    }
    if r.chance(45) {
        match r.below(8) {
            0 | 1 => bits &= !1,
            2 => bits &= !2,
            3 => bits &= !4,
            4 => bits &= !6,
            5 => bits |= 1 << 63,
            6 => bits |= (1 + r.below(15)) << 59,
            _ => bits &= !(r.next() & 7),
        }
    }
    if r.chance(2) {
        bits |= 1 << (46 + r.below(6));
    }
    let frame = r.below(FRAMES) * 4096;
    format!("test_frames + {frame} + {bits:#x}")
}

/// Gates that differ from an interrupt gate of DPL 0 with no IST.
fn gates(r: &mut Random, out: &mut String) {
    const EXCEPTIONS: [u64; 12] = [0, 1, 2, 3, 6, 8, 10, 11, 12, 13, 14, 7];
    let mut gate = |vector: u64, r: &mut Random| {
        let ist = match r.below(10) {
            0..4 => 0,
            4..9 => 1 + r.below(4),
            _ => 5 + r.below(2),
        };
        let dpl = if r.chance(50) { 3 } else { 0 };
        let kind = if r.chance(80) { 0xe } else { 0xf };
        let (mut cs, mut attributes, mut high) = (8u64, 0x8000 | dpl << 13 | kind << 8 | ist, "0");
        if r.chance(8) {
            match r.below(6) {
                0 => attributes &= !0x8000,
                1 => attributes &= !0x200,
                2 => cs = r.pick(&[0, 0x10, 0x2b, 0x40, 0x58, 0x60, 0x78, 0x80, 0x1b]),
                // (#GP's own would be asked for again and again.)
                3 if vector != 13 => high = "0x8000",
                4 => attributes ^= 0x1000,
                _ => cs |= 3,
            }
        }
        let offset = format!("stub_{vector}");
        // An address below 2 MiB: bits 15:0 and 20:16.
        let _ = writeln!(
            out,
            ".quad 16 * {vector}\n.short {offset} - 0x100000, {cs:#x}, {attributes:#x}, 0x10\n.quad {high}"
        );
    };
    for vector in EXCEPTIONS {
        if vector == 8 {
            // Most cases shall end well.
            if r.chance(3) {
                gate(8, r);
            }
        } else if r.chance(60) {
            gate(vector, r);
        }
    }
    for vector in 0x20..0x30 {
        if r.chance(30) {
            gate(vector, r);
        }
    }
}
