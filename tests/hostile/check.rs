//! What holds for every guest, however hostile.

use std::time::{Duration, Instant};

use iretrace::arch::{CpuState, PhysAddr, Vector, VirtAddr};
use iretrace::check::CheckConfig;
use iretrace::machine::{Control, Machine, Plugin, StopReason, Until};
use iretrace::system::NmiState;
use iretrace::trace::{Boundary, Event, EventClass, EventKind};

use super::guest::{Guest, Listener, Told, place};

/// Far more than any case takes: only what hangs takes longer.
const HANG: Duration = Duration::from_secs(20);

/// Deliveries and device accesses after which a run ends: a guest that makes no more of its time is not
/// worth more of ours.
const ENOUGH: u32 = 12_000;

/// Ends a run at a boundary that is the same in every way of running.
struct Bound(u32);

impl Plugin for Bound {
    fn event(&mut self, _: &mut Machine, event: &Event) -> Control {
        if matches!(
            event.kind,
            EventKind::Delivered(_) | EventKind::Io { .. } | EventKind::Mmio { .. }
        ) {
            self.0 += 1;
            if self.0 == ENOUGH {
                return Control::Stop("enough".into());
            }
        }
        Control::Continue
    }
}

/// Where a run ended.
#[derive(PartialEq, Eq)]
pub struct End {
    pub stop: StopReason,
    pub at: Boundary,
    pub regs: CpuState,
    pub nmi: NmiState,
    pub halted: bool,
    pub ram: Vec<u8>,
    pub told: Told,
    pub first: Vec<String>,
}

fn end(machine: &Machine, stop: StopReason, listener: &Listener) -> End {
    let mut ram = vec![0; place::RAM as usize];
    assert!(machine.read_physical(PhysAddr(0), &mut ram));
    End {
        stop,
        at: machine.boundary(),
        regs: machine.cpu().regs.clone(),
        nmi: machine.cpu().nmi,
        halted: machine.cpu().halted,
        ram,
        told: listener.told.borrow().clone(),
        first: listener.first.borrow().clone(),
    }
}

/// How a guest is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// In one run, with every event but data accesses.
    Traced,
    /// In one run, without the instructions.
    Quiet,
    /// One instruction after the other, with their events.
    Stepped,
    /// With data accesses too.
    Accesses,
    /// In one run, with all checks.
    Checked,
}

pub fn run(guest: &Guest, how: How, keep: usize) -> End {
    let mut machine = guest.machine();
    let classes = match how {
        How::Traced | How::Stepped | How::Checked => EventClass::all().difference(EventClass::MEM),
        How::Quiet => EventClass::all().difference(EventClass::MEM.union(EventClass::INSN)),
        How::Accesses => EventClass::all(),
    };
    let mut listener = Listener::new(classes);
    listener.keep = keep;
    machine.add_sink(Box::new(listener.clone()));
    machine.add_plugin(Box::new(Bound(0)));
    if how == How::Checked {
        machine.enable_checks(CheckConfig {
            nmi_body: Some(VirtAddr(machine.cpu().regs.rip)),
            transparent: (0..=255).map(Vector).collect(),
        });
    }
    let started = Instant::now();
    let stop = if how == How::Stepped {
        loop {
            let stop = machine.run(Until::Icount(machine.boundary().icount + 1));
            if stop != StopReason::Until {
                break stop;
            }
        }
    } else {
        machine.run(Until::Never)
    };
    machine.end_checks(&stop);
    let took = started.elapsed();
    assert!(
        took < HANG || std::env::var_os("HOSTILE_REPLAY").is_some(),
        "{how:?} took {took:?}"
    );
    end(&machine, stop, &listener)
}

fn same(a: &End, b: &End, what: &str) -> Result<(), String> {
    if a.stop != b.stop {
        return Err(format!("{what}: ended with {:?} and {:?}", a.stop, b.stop));
    }
    if a.at != b.at {
        return Err(format!("{what}: ended at {} and {}", a.at, b.at));
    }
    if a.regs != b.regs {
        return Err(format!("{what}: registers\n{:x?}\n{:x?}", a.regs, b.regs));
    }
    if (a.nmi, a.halted) != (b.nmi, b.halted) {
        return Err(format!("{what}: NMI or HLT state"));
    }
    if let Some(at) = a.ram.iter().zip(&b.ram).position(|(a, b)| a != b) {
        let bytes = |end: &End| format!("{:02x?}", &end.ram[at..(at + 8).min(end.ram.len())]);
        return Err(format!(
            "{what}: RAM differs at {at:#x}: {} and {}",
            bytes(a),
            bytes(b)
        ));
    }
    if (a.told.others, a.told.other_hash) != (b.told.others, b.told.other_hash) {
        return Err(format!(
            "{what}: events differ, {} and {} of them",
            a.told.others, b.told.others
        ));
    }
    Ok(())
}

/// Checks one guest.
pub fn check(guest: &Guest) -> Result<(), String> {
    if let Some(path) = std::env::var_os("HOSTILE_SAVE") {
        let text = serde_json::to_string(guest).expect("a guest is plain data");
        std::fs::write(path, text).expect("a writable file");
    }
    let traced = run(guest, How::Traced, 0);
    if let StopReason::NotModelled { what, .. } = &traced.stop
        && what.trim().is_empty()
    {
        return Err("NotModelled without a text".into());
    }
    if let StopReason::NotModelled { what, .. } = &traced.stop
        && what.contains("refuses again and again")
    {
        return Err(format!("the engine and the rules do not agree: {what}"));
    }
    if traced.told.instructions != traced.at.icount {
        return Err(format!(
            "{} instructions were told, {} retired",
            traced.told.instructions, traced.at.icount
        ));
    }
    let again = run(guest, How::Traced, 0);
    same(&traced, &again, "the same run twice")?;
    if traced.told != again.told {
        return Err("the same run twice: instructions told differ".into());
    }
    same(&traced, &run(guest, How::Quiet, 0), "without `insn` events")?;
    if matches!(traced.stop, StopReason::Limit { .. }) && traced.at.icount < guest.max_insns {
        // Each start of a run looks at a boundary again; the bound on deliveries falls elsewhere.
        return Ok(());
    }
    let checked = run(guest, How::Checked, 0);
    same(&traced, &checked, "with checks")?;
    if traced.told != checked.told {
        return Err("with checks: instructions told differ".into());
    }
    let stepped = run(guest, How::Stepped, 0);
    same(&traced, &stepped, "one by one")?;
    if traced.told != stepped.told {
        return Err("one by one: instructions told differ".into());
    }
    let accesses = run(guest, How::Accesses, 0);
    same(&traced, &accesses, "with `mem` events")?;
    if traced.told != accesses.told {
        return Err("with `mem` events: instructions told differ".into());
    }
    Ok(())
}

/// The events around the first one that a second way of running tells differently, or that does not
/// follow from the one before, for whoever looks for a cause.
pub fn first_difference(guest: &Guest, how: How) -> Option<String> {
    let (a, b) = (run(guest, How::Traced, 1 << 20), run(guest, how, 1 << 20));
    let (stop_a, stop_b) = (a.stop, b.stop);
    let (a, b) = (a.first, b.first);
    let n = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    if n == a.len() && n == b.len() {
        return None;
    }
    let from = n.saturating_sub(6);
    let show = |v: &[String]| v[from.min(v.len())..(n + 3).min(v.len())].join("\n  ");
    Some(format!(
        "{how:?}, event {n}:\n  {}\n  [{stop_a:?}]\nand\n  {}\n  [{stop_b:?}]",
        show(&a),
        show(&b)
    ))
}
