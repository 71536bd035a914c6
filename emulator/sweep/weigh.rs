//! What a difference means for the rest of the undisturbed run.

use std::ops::Range;

use super::baseline::name_of;
use super::fork::END;
use super::judge::Judge;
use super::liveness::Fate;
use crate::machine::{Differences, Machine, MemoryDifference};

/// Names in one verdict.
const MAX_NAMES: usize = 6;

/// What differences mean for the rest of the undisturbed run.
pub(super) struct Seen {
    /// It uses these.
    pub(super) used: Vec<String>,
    /// It never touches these again.
    pub(super) left: Vec<String>,
    /// It uses what does not count.
    pub(super) ignored: bool,
}

impl Judge<'_> {
    /// What becomes of differences from boundary `number` on.
    pub(super) fn weigh(&self, machine: &Machine, d: &Differences, number: usize) -> Seen {
        let time = u32::try_from(number).unwrap_or(u32::MAX);
        let live = &self.baseline.live;
        let mut seen = Seen {
            used: d.registers.clone(),
            left: Vec::new(),
            ignored: false,
        };
        if !machine.schedule_is_done() {
            seen.used.push("the rest of the schedule".to_owned());
        }
        // At its end nothing comes for which they would matter.
        if number != END {
            if d.time && live.uses_clock(time) {
                seen.used.push("virtual time".to_owned());
            }
            for at in &d.other_translations {
                push_new(&mut seen.used, format!("cached translation of {at}"));
            }
            if d.checks {
                seen.used.push("what the checks wait for".to_owned());
            }
        }
        // Before it, what was printed was printed by handlers: that is their business.
        if number == END && d.output {
            seen.used.push("console output".to_owned());
        }
        if d.cr2 {
            match live.fate_of_cr2(time) {
                Fate::Read => seen.used.push("cr2".to_owned()),
                Fate::Untouched => seen.left.push("cr2".to_owned()),
                Fate::Overwritten => {}
            }
        }
        for (range, how) in &d.memory {
            let fate = live.fate(time, range, *how == MemoryDifference::Bytes);
            let ignored = |i: &Range<u64>| i.start <= range.start && range.end <= i.end;
            let list = match fate {
                Fate::Overwritten => continue,
                // A walk of its own may set them later, or not: nobody sees that.
                Fate::Untouched if *how == MemoryDifference::AccessedDirty => continue,
                Fate::Untouched => &mut seen.left,
                Fate::Read if self.plan.ignore.iter().any(ignored) => {
                    seen.ignored = true;
                    &mut seen.left
                }
                Fate::Read => &mut seen.used,
            };
            for byte in range.clone() {
                push_new(list, name_of(self.image, byte));
            }
        }
        for entry in &d.translations {
            if live.is_written(time, entry.0) {
                push_new(&mut seen.used, "cached translations".to_owned());
            }
        }
        seen
    }
}

fn push_new(list: &mut Vec<String>, name: String) {
    if !list.contains(&name) {
        list.push(name);
    }
}

/// Names in order, not too many of them.
pub(super) fn listed(mut names: Vec<String>) -> String {
    names.sort_unstable();
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let mut text = names.join(", ");
    if more != 0 {
        text += &format!(" and {more} more");
    }
    text
}
