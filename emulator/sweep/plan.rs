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
use crate::printable::printable;
use crate::schedule::{
    Injection, Place, ResolveError, Stimulus, StimulusKind, SymbolResolver, Trigger,
    resolve_stimulus,
};
use crate::trace::Boundary;

/// Events that are raised together, at one boundary: `nmi`, `irq=0x20`, `mce`,
/// `PF,ec=0x2,addr=0x1000`, or several of them with `+` between: `PF,addr=0x1000+nmi`.
///
/// A `+` before a digit is the offset of a symbol, `PF,addr=jiffies+0x8+nmi`; before anything else it
/// joins. So an event that follows another one has a name, not a number, and a symbol with a `+` of its
/// own cannot be named here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shot {
    name: String,
    events: Vec<Stimulus<Place>>,
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
    pub fn events(&self) -> &[Stimulus<Place>] {
        &self.events
    }

    /// Finds the addresses that it names.
    ///
    /// # Errors
    /// [`ResolveError`] names the symbol, and the nearest one that is there.
    pub fn resolve(
        &self,
        symbols: &(impl SymbolResolver + ?Sized),
    ) -> Result<ResolvedShot, ResolveError> {
        let events = self.events.iter();
        Ok(ResolvedShot {
            events: events
                .map(|e| resolve_stimulus(e, &printable(&self.name, 400), symbols))
                .collect::<Result<_, _>>()?,
            source: self.clone(),
        })
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
            .map(|what| Injection {
                what: what.clone(),
                when: Trigger::Icount(at),
            })
            .collect()
    }
}

/// A [`Shot`] at one image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedShot {
    /// As it was written.
    pub source: Shot,
    /// What is raised: its events, with addresses.
    pub events: Vec<Stimulus>,
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Shot {
    type Err = SweepError;

    fn from_str(text: &str) -> Result<Self, SweepError> {
        let events = split(text).map(event).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: text.to_owned(),
            events,
        })
    }
}

/// The texts of the events that are joined: a `+` before a digit belongs to an address.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let digit = |at: usize| here.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let plus = here.match_indices('+').find(|(at, _)| !digit(at + 1));
        let (event, next) = match plus {
            Some((at, _)) => (&here[..at], Some(&here[at + 1..])),
            None => (here, None),
        };
        rest = next;
        Some(event)
    })
}

/// One event of a shot: written as the options of a schedule have it, without the place.
fn event(text: &str) -> Result<Stimulus<Place>, SweepError> {
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
                "{}; write nmi, mce, irq=VECTOR, or an exception: PF,ec=0x2,addr=0x1000, \
                 PF,addr=SYMBOL+0x8 or BP{}",
                e.problem,
                if text.contains('+') {
                    "; '+' joins events that have names, and before a number it is an offset of addr="
                } else {
                    ""
                }
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
    use crate::load::SymbolTable;

    #[test]
    fn shots_are_read() {
        let shot: Shot = "PF,ec=0x2,addr=0x1000+nmi".parse().unwrap();
        assert_eq!(
            shot.events(),
            [
                Stimulus::Exception {
                    vector: Vector::PF,
                    error_code: Some(2),
                    address: Some(Place::Address(VirtAddr(0x1000))),
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
        for bad in [
            "",
            "nmi+",
            "+nmi",
            "nni",
            "irq=",
            "PF@icount=3",
            "PF,addr=",
            "PF,addr=0xzz",
            "PF,addr=4096+8",
            "PF,addr=0x1000+8",
            "PF,addr=jiffies++nmi",
            "PF,addr=jiffies+0x8g+nmi",
            "PF,addr=jiffies+8+8x",
            "GP,addr=jiffies",
        ] {
            assert!(bad.parse::<Shot>().is_err(), "{bad:?}");
        }
    }

    fn fault(ec: u32, address: Place) -> Stimulus<Place> {
        Stimulus::Exception {
            vector: Vector::PF,
            error_code: Some(ec),
            address: Some(address),
        }
    }

    #[test]
    fn a_plus_before_a_digit_is_an_offset_and_before_anything_else_it_joins() {
        let symbol = |offset| Place::Symbol {
            name: "jiffies_64".to_owned(),
            offset,
        };
        for (text, events) in [
            ("PF,addr=jiffies_64", vec![fault(0, symbol(0))]),
            ("PF,addr=jiffies_64+0x8", vec![fault(0, symbol(8))]),
            ("PF,addr=jiffies_64+8", vec![fault(0, symbol(8))]),
            (
                "PF,ec=0x3,addr=jiffies_64+nmi",
                vec![fault(3, symbol(0)), Stimulus::Nmi],
            ),
            (
                "PF,addr=jiffies_64+16,ec=0x3+nmi",
                vec![fault(3, symbol(16)), Stimulus::Nmi],
            ),
            (
                "nmi+PF,addr=jiffies_64+0x8+mce",
                vec![Stimulus::Nmi, fault(0, symbol(8)), Stimulus::MachineCheck],
            ),
            (
                "PF,addr=jiffies_64+irq=0x20+#PF,addr=jiffies_64+8",
                vec![
                    fault(0, symbol(0)),
                    Stimulus::Irq(Vector(0x20)),
                    fault(0, symbol(8)),
                ],
            ),
            // A vector by number is an event where nothing stands before it.
            (
                "14,addr=0x1000+nmi",
                vec![fault(0, Place::Address(VirtAddr(0x1000))), Stimulus::Nmi],
            ),
        ] {
            let shot: Shot = text.parse().expect(text);
            assert_eq!(shot.events(), events, "{text}");
            assert_eq!(shot.name(), text);
        }
        let e = "nmi+3".parse::<Shot>().unwrap_err().to_string();
        assert!(e.contains("before a number it is an offset"), "{e}");
    }

    #[test]
    fn the_injections_of_a_shot_read_back() {
        let shot: Shot = "PF,ec=0x3,addr=jiffies_64+8+nmi".parse().unwrap();
        let at = Boundary {
            icount: 500,
            sub: 2,
        };
        let injections = shot.injections(at);
        let texts: Vec<String> = injections.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "--exception page-fault@icount=500.2,ec=0x3,addr=jiffies_64+0x8",
                "--nmi icount=500.2"
            ]
        );
        let again: Vec<Injection> = texts.iter().map(|t| t.parse().unwrap()).collect();
        assert_eq!(again, injections);
    }

    #[test]
    fn a_shot_is_resolved_by_the_image() {
        let names = [("jiffies_64", VirtAddr(0x8000), 8)];
        let symbols = SymbolTable::from_list(names, VirtAddr(0x9000));
        let resolved = |text: &str| text.parse::<Shot>().expect(text).resolve(&symbols);
        let shot = resolved("PF,addr=jiffies_64+4+nmi").unwrap();
        assert_eq!(shot.events[0].address(), Some(&VirtAddr(0x8004)));
        assert_eq!(shot.events[1], Stimulus::Nmi);
        assert_eq!(shot.source.name(), "PF,addr=jiffies_64+4+nmi");
        let e = resolved("PF,addr=jifies_64+nmi").unwrap_err();
        assert_eq!(
            e.to_string(),
            "PF,addr=jifies_64+nmi: the image has no symbol \"jifies_64\"; did you mean jiffies_64?"
        );
    }
}
