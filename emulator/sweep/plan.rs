//! What a sweep is asked to do.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use super::error::SweepError;
use super::verdict::Outcome;
use crate::arch::VirtAddr;
use crate::check::{CheckConfig, Policy};
use crate::machine::Machine;
use crate::schedule::{Injection, Stimulus, StimulusKind, Trigger};
use crate::trace::Boundary;

/// Events that are raised together, at one boundary: `nmi`, `irq=0x20`, `mce`,
/// `PF,ec=0x2,addr=0x1000`, or several of them with `+` between: `PF,addr=0x1000+nmi`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shot {
    name: String,
    events: Vec<Stimulus>,
}

impl Shot {
    /// One NMI.
    #[must_use]
    pub fn nmi() -> Self {
        Self {
            name: "nmi".to_owned(),
            events: vec![Stimulus::Nmi],
        }
    }

    /// Its text.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is raised.
    #[must_use]
    pub fn events(&self) -> &[Stimulus] {
        &self.events
    }

    /// The kind that decides where it can be taken: the first one's.
    #[must_use]
    pub fn kind(&self) -> StimulusKind {
        self.events[0].kind()
    }

    /// The injections that raise it at `at`.
    #[must_use]
    pub fn injections(&self, at: Boundary) -> Vec<Injection> {
        self.events
            .iter()
            .map(|&what| Injection {
                what,
                when: Trigger::Icount(at),
            })
            .collect()
    }
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Shot {
    type Err = SweepError;

    fn from_str(text: &str) -> Result<Self, SweepError> {
        let events = text.split('+').map(event).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: text.to_owned(),
            events,
        })
    }
}

/// One event of a shot: written as the options of a schedule have it, without the place.
fn event(text: &str) -> Result<Stimulus, SweepError> {
    let bad = |why: String| SweepError::Shot {
        text: text.to_owned(),
        why,
    };
    // The schedule's own parser reads it, at a place of no meaning.
    let (kind, argument) = match text.split_once('=') {
        _ if text == "nmi" => (StimulusKind::Nmi, "icount=0".to_owned()),
        _ if text == "mce" => (StimulusKind::MachineCheck, "@icount=0".to_owned()),
        Some(("irq", vector)) => (StimulusKind::Irq, format!("{vector}@icount=0")),
        _ => {
            let (vector, rest) = text.split_once(',').unwrap_or((text, ""));
            let comma = if rest.is_empty() { "" } else { "," };
            let argument = format!("{vector}@icount=0{comma}{rest}");
            (StimulusKind::Exception, argument)
        }
    };
    Injection::parse(kind, &argument)
        .map(|i| i.what)
        .map_err(|e| {
            bad(format!(
                "{}; write nmi, mce, irq=VECTOR, or an exception: PF,ec=0x2,addr=0x1000 or BP",
                e.problem
            ))
        })
}

/// An end of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// At the first arrival at this address.
    Address(VirtAddr),
    /// At this many retired instructions.
    Icount(u64),
}

/// Everything that a sweep's result depends on, beside the machine.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is injected: at every boundary of the window, then at every boundary of the handler of
    /// what the first one caused, and so on.
    pub levels: Vec<Vec<Shot>>,
    /// Where the window begins; reset if absent.
    pub from: Option<Bound>,
    /// Where it ends, this boundary not included; the end of the run if absent.
    pub to: Option<Bound>,
    /// How many instructions after the window the undisturbed run is followed.
    pub horizon: u64,
    /// How many instructions a handler may take before the question is given up.
    pub patience: u64,
    /// Whether cases of which the result is known are left out.
    pub reduce: bool,
    /// RAM in which differences do not count, even if they are read.
    pub ignore: Vec<Range<u64>>,
    /// What the checks are told.
    pub checks: CheckConfig,
    /// Which findings are bad.
    pub policy: Policy,
    /// Who has the last word on each case.
    pub oracle: Option<Oracle>,
}

/// What [`Oracle`] holds.
type Judgement = dyn Fn(&mut Machine, &Outcome) -> Option<Outcome> + Send + Sync;

/// A user's own judge: it sees the machine where a case was decided (at the interrupted context, or
/// at the end of the run) and the verdict, and may give another one.
#[derive(Clone)]
pub struct Oracle(Arc<Judgement>);

impl Oracle {
    /// From a function, which must be one: the same answer for the same machine.
    pub fn new(
        judge: impl Fn(&mut Machine, &Outcome) -> Option<Outcome> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(judge))
    }

    pub(super) fn ask(&self, machine: &mut Machine, outcome: Outcome) -> Outcome {
        (self.0)(machine, &outcome).unwrap_or(outcome)
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Oracle")
    }
}

/// Boundaries that a window may have.
pub const MAX_BOUNDARIES: usize = 1 << 24;

impl Default for Plan {
    fn default() -> Self {
        Self {
            levels: vec![vec![Shot::nmi()]],
            from: None,
            to: None,
            horizon: 1_000_000,
            patience: 100_000,
            reduce: true,
            ignore: Vec::new(),
            checks: CheckConfig::default(),
            oracle: None,
            policy: {
                let mut policy = Policy::default();
                policy.deny_from(crate::check::Severity::Error);
                policy
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Vector;

    #[test]
    fn shots_are_read() {
        let shot: Shot = "PF,ec=0x2,addr=0x1000+nmi".parse().unwrap();
        assert_eq!(
            shot.events(),
            [
                Stimulus::Exception {
                    vector: Vector::PF,
                    error_code: Some(2),
                    address: Some(VirtAddr(0x1000)),
                },
                Stimulus::Nmi
            ]
        );
        assert_eq!("nmi".parse::<Shot>().unwrap(), Shot::nmi());
        assert_eq!(
            "mce".parse::<Shot>().unwrap().kind(),
            StimulusKind::MachineCheck
        );
        let irq: Shot = "irq=0x20".parse().unwrap();
        assert_eq!(irq.events(), [Stimulus::Irq(Vector(0x20))]);
        assert_eq!(
            "BP".parse::<Shot>().unwrap().kind(),
            StimulusKind::Exception
        );
        for bad in ["", "nmi+", "nni", "irq=", "PF@icount=3", "PF,addr=zz"] {
            assert!(bad.parse::<Shot>().is_err(), "{bad:?}");
        }
    }
}
