//! What is raised at the interrupted context.

use std::fmt;
use std::str::FromStr;

use super::code::Program;
use super::error::TestError;
use crate::arch::{Vector, VirtAddr};
use crate::schedule::{Place, Stimulus, pushes_error_code, resolve_stimulus};
use crate::sweep::{Shot, SweepError};

/// Events that arrive at one boundary; none: the interrupted code raises its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Raise {
    events: Vec<Stimulus<Place>>,
}

impl Raise {
    /// Nothing: the code at the interrupted context does it (an access, `int n`).
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// An NMI.
    #[must_use]
    pub fn nmi() -> Self {
        Self::default().and(Stimulus::Nmi)
    }

    /// A maskable interrupt.
    #[must_use]
    pub fn interrupt(vector: u8) -> Self {
        Self::default().and(Stimulus::Irq(Vector(vector)))
    }

    /// A machine check.
    #[must_use]
    pub fn machine_check() -> Self {
        Self::default().and(Stimulus::MachineCheck)
    }

    /// A page fault of the instruction there, whatever it is.
    #[must_use]
    pub fn page_fault(address: u64, error_code: u32) -> Self {
        Self::default().and(Stimulus::Exception {
            vector: Vector::PF,
            error_code: Some(error_code),
            address: Some(VirtAddr(address)),
        })
    }

    /// Another exception of the instruction there; error code 0 where the vector has one.
    #[must_use]
    pub fn exception(vector: Vector) -> Self {
        Self::default().and(Self::exception_of(vector))
    }

    pub(super) fn exception_of(vector: Vector) -> Stimulus {
        Stimulus::Exception {
            vector,
            error_code: pushes_error_code(vector).then_some(0),
            address: (vector == Vector::PF).then_some(VirtAddr(0)),
        }
    }

    /// One more, at the same boundary.
    #[must_use]
    pub fn and(mut self, event: Stimulus) -> Self {
        self.events.push(event.into());
        self
    }

    /// What arrives.
    #[must_use]
    pub fn events(&self) -> &[Stimulus<Place>] {
        &self.events
    }

    /// What arrives, with the addresses that it names; `what` is for the message.
    pub(super) fn resolve(
        &self,
        what: &str,
        program: &Program,
    ) -> Result<Vec<Stimulus>, TestError> {
        let events = self.events.iter();
        let resolved = events.map(|e| resolve_stimulus(e, self, program));
        resolved
            .collect::<Result<_, _>>()
            .map_err(|e| TestError::setup(what, e.to_string()))
    }

    /// The vectors that these deliver.
    pub(super) fn vectors(&self) -> impl Iterator<Item = Vector> + '_ {
        self.events.iter().map(|e| match e {
            Stimulus::Nmi => Vector::NMI,
            Stimulus::Irq(vector) | Stimulus::Exception { vector, .. } => *vector,
            Stimulus::MachineCheck => Vector::MC,
        })
    }
}

impl From<&Shot> for Raise {
    fn from(shot: &Shot) -> Self {
        Self {
            events: shot.events().to_vec(),
        }
    }
}

impl FromStr for Raise {
    type Err = SweepError;

    /// `nothing`, or as a sweep's [`Shot`] is written: `nmi`, `irq=0x20`, `PF,ec=0x2,addr=0x1000`,
    /// `PF,ec=0x2,addr=SYMBOL+0x8`, several with `+` between.
    fn from_str(text: &str) -> Result<Self, SweepError> {
        if text == "nothing" {
            return Ok(Self::nothing());
        }
        text.parse::<Shot>().map(|s| Self::from(&s))
    }
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.events.is_empty() {
            return f.write_str("nothing");
        }
        for (n, event) in self.events.iter().enumerate() {
            if n != 0 {
                f.write_str(" and ")?;
            }
            match event {
                Stimulus::Nmi => f.write_str("NMI")?,
                Stimulus::Irq(v) => write!(f, "interrupt {:#x}", v.0)?,
                Stimulus::MachineCheck => f.write_str("#MC")?,
                Stimulus::Exception { vector, .. } => {
                    f.write_str(vector.mnemonic().unwrap_or("exception"))?;
                }
            }
        }
        Ok(())
    }
}
