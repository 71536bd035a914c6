//! `--dump regs`: all registers, hidden parts included.

use std::fmt::Write as _;

use iretrace::arch::CpuState;
use iretrace::arch::state::{Segment, gpr};
use iretrace::system::{Cpu, InterruptShadow};

use super::descriptor;
use super::flags::{self, named};
use super::list::View;

const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];

/// Appends them.
pub fn dump(view: View<'_>, out: &mut String) {
    let cpu = view.machine.cpu();
    let r = &cpu.regs;
    let at = view.machine.boundary();
    let place = view.place(r.rip);
    let _ = writeln!(out, "registers at {at}, CPL {}, rip {place}", r.cpl);
    for row in 0..4 {
        for column in 0..4 {
            let i = 4 * row + column;
            let end = if column == 3 { "\n" } else { "" };
            let _ = write!(out, "  {:<3} {:016x}{end}", gpr::NAMES[i], r.gpr[i]);
        }
    }
    let iopl = format!(" IOPL {}", r.iopl());
    row(
        out,
        "rflags",
        r.rflags,
        &(named(r.rflags, flags::RFLAGS) + &iopl),
    );
    segments(r, out);
    for (name, table) in [("gdtr", r.gdtr), ("idtr", r.idtr)] {
        let _ = writeln!(
            out,
            "  {name:<4}         base {:016x}  limit {:08x}",
            table.base, table.limit
        );
    }
    control(r, out);
    debug(r, out);
    msrs(r, out);
    state(cpu, out);
}

fn row(out: &mut String, name: &str, value: u64, words: &str) {
    let line = format!("  {name:<15} {value:016x} {words}");
    let _ = writeln!(out, "{}", line.trim_end());
}

fn segments(r: &CpuState, out: &mut String) {
    let all = SEGMENTS.into_iter().zip(&r.seg);
    for (name, s) in all.chain([("ldtr", &r.ldtr), ("tr", &r.tr)]) {
        segment(out, name, s);
    }
}

fn segment(out: &mut String, name: &str, s: &Segment) {
    let words = if s.usable() {
        descriptor::words(s.attr)
    } else {
        "unusable".to_owned()
    };
    let _ = writeln!(
        out,
        "  {name:<4} {:04x}    base {:016x}  limit {:08x}  attr {:06x}  {words}",
        s.selector, s.base, s.limit, s.attr
    );
}

fn control(r: &CpuState, out: &mut String) {
    row(out, "cr0", r.cr0, &named(r.cr0, flags::CR0));
    row(out, "cr2", r.cr2, "");
    row(out, "cr3", r.cr3, "");
    row(out, "cr4", r.cr4, &named(r.cr4, flags::CR4));
    row(out, "efer", r.msr.efer, &named(r.msr.efer, flags::EFER));
    row(out, "xcr0", r.xcr0, "");
    row(out, "pkru", r.pkru.into(), "");
}

fn debug(r: &CpuState, out: &mut String) {
    for (i, value) in r.dr.iter().enumerate() {
        row(out, &format!("dr{i}"), *value, "");
    }
    row(out, "dr6", r.dr6, &named(r.dr6, flags::DR6));
    row(out, "dr7", r.dr7, &named(r.dr7, flags::DR7));
}

fn msrs(r: &CpuState, out: &mut String) {
    let m = &r.msr;
    for (name, value) in [
        ("star", m.star),
        ("lstar", m.lstar),
        ("cstar", m.cstar),
        ("sfmask", m.sfmask),
        ("kernel_gs_base", m.kernel_gs_base),
        ("sysenter_cs", m.sysenter_cs),
        ("sysenter_esp", m.sysenter_esp),
        ("sysenter_eip", m.sysenter_eip),
        ("pat", m.pat),
        ("tsc_aux", m.tsc_aux),
        ("tsc_adjust", m.tsc_adjust),
        ("misc_enable", m.misc_enable),
        ("mcg_status", m.mcg_status),
    ] {
        row(out, name, value, "");
    }
}

fn state(cpu: &Cpu, out: &mut String) {
    let blocked = match (cpu.nmi.blocked, cpu.nmi.blocked_by) {
        (false, _) => "NMIs not blocked".to_owned(),
        (true, None) => "NMIs blocked".to_owned(),
        (true, Some(serial)) => format!("NMIs blocked by delivery {serial}"),
    };
    let latch = if cpu.nmi.pending {
        "one latched"
    } else {
        "none latched"
    };
    let shadow = match cpu.shadow {
        InterruptShadow::None => "no shadow",
        InterruptShadow::Sti => "STI shadow",
        InterruptShadow::MovSs => "MOV SS shadow",
    };
    let halted = if cpu.halted { ", halted" } else { "" };
    let _ = writeln!(out, "  {blocked}, {latch}, {shadow}{halted}");
    if cpu.pending_db != 0 {
        let _ = writeln!(out, "  pending #DB:{}", named(cpu.pending_db, flags::DR6));
    }
}
