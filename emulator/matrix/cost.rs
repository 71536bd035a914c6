//! One cost run: a page-table strategy at one size.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::error::MatrixError;
use super::plan::Axis;
use super::subject::Subject;
use crate::machine::{Machine, StopReason, Until};

/// The labels between which a run's instructions are counted; each phase ends where the next begins.
pub const PHASES: [&str; 5] = [
    "phase_boot",
    "phase_fork",
    "phase_map",
    "phase_use",
    "phase_end",
];

/// What a run cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions before the first task is made, from the label on.
    pub boot: u64,
    /// Instructions that make the tasks.
    pub fork: u64,
    /// Instructions that make the mappings.
    pub map: u64,
    /// Instructions that use them.
    pub r#use: u64,
    /// Page faults, by the program's count.
    pub faults: u64,
    /// Writes of page-table entries, by the program's count.
    pub pte_writes: u64,
    /// Those of them that fill an entry into a task's table after it was made.
    pub fill_writes: u64,
    /// Bytes of page tables that were allocated, by the program's count.
    pub table_bytes: u64,
}

/// A cost run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CostRun {
    /// The page-table strategy.
    pub pages: String,
    /// What grows in its series.
    pub axis: Axis,
    /// How much of it there is.
    pub n: u64,
    /// The command.
    pub command: Vec<String>,
    /// The short name of the end.
    pub end: String,
    /// What it cost; `None`: it did not end in success, or the program does not say.
    pub cost: Option<Cost>,
}

/// Instructions between two looks at the interrupt flag.
const SLICE: u64 = 20_000_000;

/// Runs to `until`; `None`: interrupted.
fn go(machine: &mut Machine, until: Until, interrupt: &AtomicBool) -> Option<StopReason> {
    let limit = machine.config().max_insns;
    loop {
        if interrupt.load(Ordering::Relaxed) {
            return None;
        }
        let next = machine.boundary().icount.saturating_add(SLICE).min(limit);
        machine.set_max_insns(next);
        let stop = machine.advance(until);
        machine.set_max_insns(limit);
        if !matches!(stop, StopReason::Limit { .. }) || machine.boundary().icount >= limit {
            return Some(stop);
        }
    }
}

/// Makes one; `None`: it was interrupted.
pub(super) fn cost_run(
    subject: &Subject,
    pages: &str,
    (axis, n): (Axis, u64),
    interrupt: &AtomicBool,
) -> Result<Option<CostRun>, MatrixError> {
    let mut machine = subject.machine().map_err(|e| subject.failed(e))?;
    let mut arrivals = Vec::new();
    for label in PHASES {
        let at = subject.symbol(label)?;
        match go(&mut machine, Until::Address(at), interrupt) {
            None => return Ok(None),
            Some(StopReason::Until) => arrivals.push(machine.boundary().icount),
            Some(_) => break,
        }
    }
    let Some(stop) = go(&mut machine, Until::Never, interrupt) else {
        return Ok(None);
    };
    let success = matches!(stop, StopReason::GuestExit { success: true, .. });
    let cost = if success {
        measured(subject, &machine, &arrivals)
    } else {
        None
    };
    Ok(Some(CostRun {
        pages: pages.to_owned(),
        axis,
        n,
        command: subject.command.clone(),
        end: stop.name().to_owned(),
        cost,
    }))
}

fn measured(subject: &Subject, machine: &Machine, arrivals: &[u64]) -> Option<Cost> {
    let &[boot, fork, map, used, end] = arrivals else {
        return None;
    };
    Some(Cost {
        boot: fork - boot,
        fork: map - fork,
        map: used - map,
        r#use: end - used,
        faults: subject.quad(machine, "count_faults")?,
        pte_writes: subject.quad(machine, "count_pte_writes")?,
        fill_writes: subject.quad(machine, "count_fill_writes")?,
        table_bytes: subject.quad(machine, "count_table_bytes")?,
    })
}
