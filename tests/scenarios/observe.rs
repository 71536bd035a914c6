//! Runs a case, and keeps what can be seen of it from outside.

use std::cell::RefCell;
use std::rc::Rc;

use iretrace::arch::{CpuState, VirtAddr};
use iretrace::load::Image;
use iretrace::machine::{Control, Machine, MachineConfig, Plugin, StopReason, Until};
use iretrace::schedule::{Injection, SymbolResolver, resolve};
use iretrace::system::NmiState;
use iretrace::trace::{Event, EventKind};

use super::case::Case;
use super::memory::{Memory, remember};

/// Bytes of RAM: enough for a case, and little to compare.
const RAM: u64 = 0x14_0000;
const CR4_LA57: u64 = 1 << 12;
/// A case is short; whatever runs longer is lost.
const MAX_INSNS: u64 = 20_000;
/// CF, PF, AF, ZF, SF, OF.
const STATUS: u64 = 0x8d5;

/// The machine at a handler's first instruction.
#[derive(Clone)]
pub struct Arrival {
    pub vector: u8,
    pub error_code: Option<u32>,
    pub regs: CpuState,
    pub nmi: NmiState,
    /// What lies on the stack, from RSP up: six quadwords, or as many as can be read.
    pub stack: Vec<u64>,
    /// The physical address of RSP.
    pub frame: u64,
    /// Where the vector's gate leads, and its type.
    pub handler: u64,
    pub gate_type: u8,
    /// The TSS's RSP0 and IST1 to IST7.
    pub stacks: [u64; 8],
}

/// All that was seen.
pub struct Observed {
    /// At `here`, with the status flags clear.
    pub before: CpuState,
    pub arrivals: Vec<Arrival>,
    pub stop: StopReason,
    pub after: CpuState,
    pub after_nmi: NmiState,
    /// At `here`, at the first delivery (or the end), and at the end.
    pub memory: [Memory; 3],
}

#[derive(Default)]
struct Seen {
    arrivals: Vec<Arrival>,
    first: Option<Memory>,
    /// Deliveries after which the run ends.
    enough: usize,
}

/// Looks at the machine after each delivery.
struct Watcher(Rc<RefCell<Seen>>);

impl Plugin for Watcher {
    fn event(&mut self, machine: &mut Machine, event: &Event) -> Control {
        let EventKind::Delivered(d) = &event.kind else {
            return Control::Continue;
        };
        let mut seen = self.0.borrow_mut();
        seen.arrivals
            .push(arrival(machine, d.id.vector.0, d.error_code));
        if seen.first.is_none() {
            seen.first = Some(remember(machine));
        }
        if seen.arrivals.len() >= seen.enough {
            return Control::Stop("enough deliveries".to_owned());
        }
        Control::Continue
    }
}

/// Up to `n` quadwords, as far as they are mapped.
fn quads(machine: &Machine, at: u64, n: u64) -> Vec<u64> {
    let quad = |i: u64| {
        let mut bytes = [0; 8];
        let at = VirtAddr(at.wrapping_add(8 * i));
        machine
            .peek_linear(at, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    };
    (0..n).map_while(quad).collect()
}

/// The same; zero where nothing is mapped.
fn array<const N: usize>(machine: &Machine, at: u64) -> [u64; N] {
    let mut all = [0; N];
    let found = quads(machine, at, N as u64);
    all[..found.len()].copy_from_slice(&found);
    all
}

fn arrival(machine: &Machine, vector: u8, error_code: Option<u32>) -> Arrival {
    let regs = machine.cpu().regs.clone();
    let gate = regs.idtr.base.wrapping_add(16 * u64::from(vector));
    let [low, high] = array(machine, gate);
    let tss: [u64; 11] = array(machine, regs.tr.base.wrapping_add(4));
    let mut stacks = [0; 8];
    stacks[0] = tss[0];
    // IST1 is at offset 36.
    stacks[1..].copy_from_slice(&tss[4..11]);
    Arrival {
        vector,
        error_code,
        nmi: machine.cpu().nmi,
        stack: quads(machine, regs.rsp(), 6),
        frame: machine
            .translate_plain(VirtAddr(regs.rsp()))
            .map_or(0, |at| at.0),
        handler: low & 0xffff | low >> 32 & 0xffff_0000 | high << 32,
        gate_type: (low >> 40 & 0xf) as u8,
        stacks,
        regs,
    }
}

struct Names<'a>(&'a Image);

impl SymbolResolver for Names<'_> {
    fn resolve(&self, name: &str) -> Option<VirtAddr> {
        self.0.resolve(name).ok()
    }
}

fn run_to(machine: &mut Machine, image: &Image, place: &str) -> Result<(), String> {
    let at = image.resolve(place).map_err(|e| e.to_string())?;
    match machine.run(Until::Address(at)) {
        StopReason::Until => Ok(()),
        stop => Err(format!("before `{place}`: {stop}")),
    }
}

/// Runs `case` up to `enough` deliveries, or to `until`.
pub fn run(
    case: &Case,
    image: &Image,
    enough: usize,
    until: Option<u64>,
) -> Result<Observed, String> {
    let config = MachineConfig {
        cpu: case.cpu,
        max_insns: MAX_INSNS,
        ram_size: RAM,
        ..MachineConfig::default()
    };
    let mut machine = Machine::new(config).map_err(|e| e.to_string())?;
    machine.load(image).map_err(|e| e.to_string())?;
    if let Ok(root) = image.resolve("five_level_root") {
        run_to(&mut machine, image, "five_levels")?;
        let regs = &mut machine.cpu_mut().regs;
        regs.cr3 = root.0;
        regs.cr4 |= CR4_LA57;
    }
    run_to(&mut machine, image, "here")?;
    let cpu = machine.cpu_mut();
    cpu.regs.rflags &= !STATUS;
    cpu.nmi.blocked = case.blocked;
    cpu.nmi.pending = case.pending;
    let before = cpu.regs.clone();
    let start = remember(&machine);
    let icount = machine.boundary().icount;
    let mut schedule = Vec::new();
    for text in &case.schedule {
        let text = text
            .replace("{here}", &icount.to_string())
            .replace("{next}", &(icount + 1).to_string());
        let injection: Injection = text.parse().map_err(|e| format!("{text}: {e}"))?;
        schedule.push(resolve(injection, &Names(image)).map_err(|e| format!("{text}: {e}"))?);
    }
    machine.set_schedule(schedule);
    let seen = Rc::new(RefCell::new(Seen {
        enough,
        ..Seen::default()
    }));
    machine.add_plugin(Box::new(Watcher(Rc::clone(&seen))));
    let stop = machine.run(match until {
        Some(at) => Until::Address(VirtAddr(at)),
        None => Until::Never,
    });
    let end = remember(&machine);
    let mut seen = seen.take();
    let first = seen.first.take().unwrap_or_else(|| remember(&machine));
    Ok(Observed {
        before,
        arrivals: seen.arrivals,
        stop,
        after: machine.cpu().regs.clone(),
        after_nmi: machine.cpu().nmi,
        memory: [start, first, end],
    })
}
