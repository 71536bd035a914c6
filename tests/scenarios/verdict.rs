//! Compares what a case expects with what was seen.

use iretrace::arch::CpuState;
use iretrace::load::Image;
use iretrace::machine::StopReason;
use iretrace::system::NmiState;

use super::assemble::assemble;
use super::case::Case;
use super::observe::{Arrival, Observed, run};
use super::record::{End, Expected, State, read};
use super::report::Row;

const IF: u64 = 1 << 9;
const RF: u64 = 1 << 16;
/// TF, NT, RF, VM: what every delivery clears (SDM vol. 2, INT n).
const CLEARED: u64 = 1 << 8 | 1 << 14 | RF | 1 << 17;
/// Vectors of faults, and #DF: their frames have RF = 1 (SDM vol. 3, "Instruction-Breakpoint
/// Exception Condition").
const FAULTS: [u8; 13] = [0, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 19];
const NMI: u8 = 2;
/// The bits of DR6 that are 1 always.
const DR6_FIXED: u64 = 0xffff_0ff0;
/// A type-14 gate clears IF.
const INTERRUPT_GATE: u8 = 14;

/// The row of `case`.
pub fn of(case: &Case) -> Result<Row, String> {
    let image = assemble(&case.assembly())?;
    let expected = read(&image)?;
    let enough = match expected.end {
        End::Delivered => expected.deliveries.len(),
        _ => usize::MAX,
    };
    let until = match &expected.end {
        End::Reaches(state) => Some(state.rip),
        _ => None,
    };
    let observed = run(case, &image, enough, until)?;
    let mut judge = Judge {
        image: &image,
        wrong: Vec::new(),
        cr2: observed.before.cr2,
        dr6: observed.before.dr6,
    };
    let mut wanted = Vec::new();
    let mut seen = Vec::new();
    for (nth, e) in expected.deliveries.iter().enumerate() {
        let full = judge.complete(e);
        wanted.push(judge.shown(Some((e.vector, e.error_code)), &full));
        if let Some(arrival) = observed.arrivals.get(nth) {
            judge.delivery(nth + 1, e, &full, arrival);
        }
    }
    for (nth, arrival) in observed.arrivals.iter().enumerate() {
        let looked_at = expected.deliveries.get(nth).map(|e| e.state.registers);
        seen.push(judge.shown_arrival(arrival, looked_at.unwrap_or_default()));
    }
    let (n, m) = (observed.arrivals.len(), expected.deliveries.len());
    if n != m {
        judge.wrong.push(format!("{n} deliveries instead of {m}"));
    }
    judge.end(&expected.end, &observed, &mut wanted, &mut seen);
    judge.memory(&expected, &observed, &mut wanted);
    Ok(Row::new(case, wanted, seen, judge.wrong))
}

struct Judge<'a> {
    image: &'a Image,
    wrong: Vec<String>,
    /// CR2 and DR6 as they must be unless a delivery says otherwise.
    cr2: u64,
    dr6: u64,
}

/// A state with nothing left open.
struct Full {
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
    cr2: u64,
    dr6: u64,
    nmi: u64,
    registers: [Option<u64>; 4],
}

const REGISTERS: [(&str, usize); 4] = [("rcx", 1), ("rsi", 6), ("rdi", 7), ("rax", 0)];

fn bits(nmi: &NmiState) -> u64 {
    u64::from(nmi.blocked) | u64::from(nmi.pending) << 1
}

impl Judge<'_> {
    fn full(&mut self, s: &State, rflags: u64, nmi: u64) -> Full {
        self.cr2 = s.cr2.unwrap_or(self.cr2);
        self.dr6 = s.dr6.map_or(self.dr6, |bits| DR6_FIXED | bits);
        Full {
            rip: s.rip,
            cs: s.cs,
            rflags: s.rflags.unwrap_or(rflags),
            rsp: s.rsp,
            ss: s.ss,
            cr2: self.cr2,
            dr6: self.dr6,
            nmi: s.nmi.unwrap_or(nmi),
            registers: s.registers,
        }
    }

    fn complete(&mut self, e: &Expected) -> Full {
        let rf = if FAULTS.contains(&e.vector) { RF } else { 0 };
        self.full(&e.state, 2 | rf, u64::from(e.vector == NMI))
    }

    fn check(&mut self, what: &str, seen: u64, expected: u64) {
        if seen != expected {
            let (seen, expected) = (self.name(seen), self.name(expected));
            self.wrong.push(format!("{what} is {seen}, not {expected}"));
        }
    }

    fn delivery(&mut self, nth: usize, e: &Expected, full: &Full, a: &Arrival) {
        let what = |field: &str| format!("delivery {nth}: {field}");
        self.check(&what("vector"), a.vector.into(), e.vector.into());
        if a.error_code.map(u64::from) != e.error_code {
            let (seen, expected) = (a.error_code, e.error_code);
            self.wrong
                .push(what(&format!("error code {seen:x?}, not {expected:x?}")));
        }
        // Where the frame must be, and what must lie there.
        let slots = if e.error_code.is_some() { 6 } else { 5 };
        let outer = full.cs & 3 != 0;
        let top = match e.ist {
            0 if !outer => full.rsp,
            n => a.stacks.get(n as usize).copied().unwrap_or(0),
        };
        let lowest = (top & !15).wrapping_sub(8 * slots);
        self.check(&what("RSP after it"), a.regs.rsp(), lowest);
        let values = [
            ("error code", e.error_code.unwrap_or(0)),
            ("saved RIP", full.rip),
            ("saved CS", full.cs),
            ("saved RFLAGS", full.rflags),
            ("saved RSP", full.rsp),
            ("saved SS", full.ss),
        ];
        if a.stack.len() < slots as usize {
            self.wrong.push(what("the frame cannot be read"));
        }
        for ((name, value), &seen) in values[6 - slots as usize..].iter().zip(&a.stack) {
            self.check(&what(name), seen, *value);
        }
        // The handler's context.
        self.check(&what("RIP after it"), a.regs.rip, a.handler);
        let mut flags = full.rflags & !CLEARED;
        if a.gate_type == INTERRUPT_GATE {
            flags &= !IF;
        }
        self.check(&what("RFLAGS after it"), a.regs.rflags, flags);
        let ss = if outer { 0 } else { full.ss };
        self.check(&what("SS after it"), a.regs.ss().selector.into(), ss);
        self.check(&what("CPL after it"), a.regs.cpl.into(), 0);
        let cs = u64::from(a.regs.cs().selector);
        self.check(&what("RPL of CS after it"), cs & 3, 0);
        self.state(&what(""), full, &a.regs, &a.nmi);
    }

    /// What neither frame nor delivery changes.
    fn state(&mut self, what: &str, full: &Full, regs: &CpuState, nmi: &NmiState) {
        self.check(&format!("{what}CR2"), regs.cr2, full.cr2);
        self.check(&format!("{what}DR6"), regs.dr6, full.dr6);
        let seen = bits(nmi);
        if seen != full.nmi {
            let (seen, expected) = (nmi_words(seen), nmi_words(full.nmi));
            self.wrong
                .push(format!("{what}NMIs are {seen}, not {expected}"));
        }
        for ((name, index), expected) in REGISTERS.iter().zip(full.registers) {
            if let Some(expected) = expected {
                self.check(&format!("{what}{name}"), regs.gpr[*index], expected);
            }
        }
    }

    fn end(&mut self, end: &End, o: &Observed, wanted: &mut Vec<String>, seen: &mut Vec<String>) {
        let (state, word, ok) = match end {
            End::Delivered => {
                if !matches!(o.stop, StopReason::Plugin { .. }) {
                    seen.push(o.stop.to_string());
                    self.wrong.push(format!("the end: {}", o.stop));
                }
                return;
            }
            End::Reaches(s) => (s, "reaches", o.stop == StopReason::Until),
            End::ShutDown(s) => (s, "shuts down", o.stop == StopReason::TripleFault),
            End::Sleeps(s) => (s, "sleeps", o.stop == StopReason::HaltedForever),
        };
        let full = self.full(state, 2, 0);
        wanted.push(format!("{word} {}", self.shown(None, &full)));
        if ok {
            let s = self.shown(None, &end_state(o, &full));
            seen.push(format!("{word} {s}"));
        } else {
            seen.push(o.stop.to_string());
            self.wrong.push(format!("the end: {}", o.stop));
            return;
        }
        let r = &o.after;
        self.check("RIP at the end", r.rip, full.rip);
        self.check("CS at the end", r.cs().selector.into(), full.cs);
        self.check("CPL at the end", r.cpl.into(), full.cs & 3);
        self.check("RFLAGS at the end", r.rflags, full.rflags);
        self.check("RSP at the end", r.rsp(), full.rsp);
        self.check("SS at the end", r.ss().selector.into(), full.ss);
        self.state("at the end: ", &full, r, &o.after_nmi);
    }

    fn memory(&mut self, e: &super::record::Expectations, o: &Observed, wanted: &mut Vec<String>) {
        let [start, first, end] = &o.memory;
        let root = (o.before.cr3, if o.before.la57() { 5 } else { 4 });
        let mut expected = e.wrote.clone();
        for &(at, len) in &e.wrote {
            wanted.push(format!("writes {len} bytes at {}", self.name(at)));
            if !start.differs(first, (at, len)) {
                let at = self.name(at);
                self.wrong.push(format!("nothing was written at {at}"));
            }
        }
        if let Some(a) = o.arrivals.first() {
            let len = if a.error_code.is_some() { 48 } else { 40 };
            expected.push((a.frame, len));
        }
        for (at, len) in start.changes(first, root, &expected) {
            let at = self.name(at);
            self.wrong
                .push(format!("{len} bytes at {at} were written too"));
        }
        for &(at, value) in &e.holds {
            wanted.push(format!("{} holds {value:#x}", self.name(at)));
            let name = format!("the quadword at {}", self.name(at));
            self.check(&name, end.at(at), value);
        }
        for &(at, bits) in &e.pte_bits {
            wanted.push(format!("the PTE of {} has {bits:#x}", self.name(at)));
            let name = format!("the PTE of {}", self.name(at));
            self.check(&name, end.pte(root, at) & 0xfff, bits);
        }
    }

    /// A number, by a symbol if there is one near.
    fn name(&self, value: u64) -> String {
        match self.image.symbols.shown(iretrace::arch::VirtAddr(value)) {
            Some(s) if value >= 0x10_0000 => s,
            _ => format!("{value:#x}"),
        }
    }

    fn shown(&self, event: Option<(u8, Option<u64>)>, f: &Full) -> String {
        let event = event.map_or(String::new(), |(vector, code)| {
            let name = match iretrace::arch::Vector(vector).mnemonic() {
                Some(m) => m.to_owned(),
                None => format!("INT {vector:#x}"),
            };
            let code = code.map_or(String::new(), |c| format!("({c:#x})"));
            format!("{name}{code} ")
        });
        let mut text = format!(
            "{event}RIP={} CS={:#x} RFLAGS={:#x} RSP={} SS={:#x} CR2={} NMI={}",
            self.name(f.rip),
            f.cs,
            f.rflags,
            self.name(f.rsp),
            f.ss,
            self.name(f.cr2),
            nmi_words(f.nmi),
        );
        for ((name, _), value) in REGISTERS.iter().zip(f.registers) {
            if let Some(value) = value {
                text.push_str(&format!(" {name}={}", self.name(value)));
            }
        }
        text
    }

    fn shown_arrival(&self, a: &Arrival, looked_at: [Option<u64>; 4]) -> String {
        let skip = usize::from(a.error_code.is_some());
        let slot = |i: usize| a.stack.get(skip + i).copied().unwrap_or(0);
        let code = a.error_code.map(u64::from);
        let full = Full {
            rip: slot(0),
            cs: slot(1),
            rflags: slot(2),
            rsp: slot(3),
            ss: slot(4),
            cr2: a.regs.cr2,
            dr6: a.regs.dr6,
            nmi: bits(&a.nmi),
            registers: registers(&a.regs, looked_at),
        };
        self.shown(Some((a.vector, code)), &full)
    }
}

/// The values of the registers that are looked at.
fn registers(regs: &CpuState, looked_at: [Option<u64>; 4]) -> [Option<u64>; 4] {
    let mut values = looked_at;
    for (value, (_, index)) in values.iter_mut().zip(REGISTERS) {
        *value = value.map(|_| regs.gpr[index]);
    }
    values
}

/// What was seen at the end, as far as `expected` looks.
fn end_state(o: &Observed, expected: &Full) -> Full {
    let r = &o.after;
    Full {
        rip: r.rip,
        cs: r.cs().selector.into(),
        rflags: r.rflags,
        rsp: r.rsp(),
        ss: r.ss().selector.into(),
        cr2: r.cr2,
        dr6: r.dr6,
        nmi: bits(&o.after_nmi),
        registers: registers(r, expected.registers),
    }
}

fn nmi_words(nmi: u64) -> &'static str {
    match nmi {
        0 => "open",
        1 => "blocked",
        2 => "pending",
        _ => "blocked+pending",
    }
}
