//! One injection: what, and when; and its canonical text.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::error::ScheduleError;
use super::parse;
use super::vector::vector_name;
use crate::arch::{Vector, VirtAddr};
use crate::trace::Boundary;

/// What is injected.
///
/// An `Exception` is injected as a fault of the instruction at the boundary: the saved RIP is that
/// instruction, the saved RFLAGS has RF = 1, a #PF writes CR2, and for double faults (SDM vol. 3,
/// table 6-5) it is classed as if the instruction itself had raised it.
///
/// `A` is how the address of a page fault is given: a [`Place`] as it was written, an address once
/// the image is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stimulus<A = VirtAddr> {
    /// A non-maskable interrupt.
    Nmi,
    /// A maskable external interrupt.
    Irq(Vector),
    /// #MC.
    MachineCheck,
    /// An exception.
    Exception {
        /// Its vector.
        vector: Vector,
        /// Its error code: always there for the vectors that push one, never for the others.
        error_code: Option<u32>,
        /// For #PF, and there always: the address that goes to CR2.
        address: Option<A>,
    },
}

/// The kinds of [`Stimulus`], each with a command-line option of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StimulusKind {
    /// `--nmi WHEN`
    Nmi,
    /// `--irq VECTOR@WHEN`
    Irq,
    /// `--mce @WHEN`
    MachineCheck,
    /// `--exception VECTOR@WHEN[,ec=CODE][,addr=PLACE]`
    Exception,
}

impl StimulusKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nmi, Self::Irq, Self::MachineCheck, Self::Exception];

    /// Its command-line option.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Nmi => "--nmi",
            Self::Irq => "--irq",
            Self::MachineCheck => "--mce",
            Self::Exception => "--exception",
        }
    }
}

impl<A> Stimulus<A> {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> StimulusKind {
        match self {
            Self::Nmi => StimulusKind::Nmi,
            Self::Irq(_) => StimulusKind::Irq,
            Self::MachineCheck => StimulusKind::MachineCheck,
            Self::Exception { .. } => StimulusKind::Exception,
        }
    }

    /// The address that goes to CR2, where it is a page fault.
    #[must_use]
    pub const fn address(&self) -> Option<&A> {
        match self {
            Self::Exception { address, .. } => address.as_ref(),
            _ => None,
        }
    }

    /// The same with what `address` makes of the address.
    pub(super) fn try_map<B, E>(
        &self,
        address: impl FnOnce(&A) -> Result<B, E>,
    ) -> Result<Stimulus<B>, E> {
        Ok(match self {
            Self::Nmi => Stimulus::Nmi,
            Self::Irq(vector) => Stimulus::Irq(*vector),
            Self::MachineCheck => Stimulus::MachineCheck,
            Self::Exception {
                vector,
                error_code,
                address: at,
            } => Stimulus::Exception {
                vector: *vector,
                error_code: *error_code,
                address: at.as_ref().map(address).transpose()?,
            },
        })
    }
}

impl From<Stimulus> for Stimulus<Place> {
    fn from(stimulus: Stimulus) -> Self {
        let Ok(same) = stimulus.try_map(|&at| Ok::<_, Infallible>(Place::Address(at)));
        same
    }
}

/// An address, by name or number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A symbol and an offset.
    Symbol {
        /// Its name; not empty, without `,` and `=`.
        name: String,
        /// Bytes after it.
        offset: u64,
    },
    /// A linear address.
    Address(VirtAddr),
}

/// Where a repeating trigger begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// At this icount.
    Icount(u64),
    /// At the first arrival at this place.
    Place(Place),
}

/// When an injection is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// At the `nth` arrival at `place`.
    At {
        /// Where.
        place: Place,
        /// Which arrival, from 1.
        nth: u32,
    },
    /// At this boundary.
    Icount(Boundary),
    /// After the `nth` delivery of `vector`, before the handler's first instruction.
    After {
        /// Which vector.
        vector: Vector,
        /// Which delivery, from 1.
        nth: u32,
    },
    /// At the `nth` arrival at a boundary whose next instruction is an IRET.
    BeforeIret {
        /// Which arrival, from 1.
        nth: u32,
    },
    /// At `from`, and every `period` instructions after it.
    Every {
        /// Instructions between two; not 0.
        period: u64,
        /// The first. Without `from=`, `period`: icounts that are multiples of it, but not reset.
        from: Origin,
    },
    /// Up to `count` NMIs from `from` on, each as soon as it can be latched. NMIs only.
    Storm {
        /// How many; not 0.
        count: u32,
        /// The first boundary. Without `from=`, icount 0.
        from: Origin,
    },
}

/// One injection.
///
/// It displays as the option and its canonical argument, `--nmi at=main+0x1a`, and reads from that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Injection {
    /// What.
    pub what: Stimulus<Place>,
    /// When.
    pub when: Trigger,
}

impl Injection {
    /// Reads the argument of the option of `kind`.
    ///
    /// # Errors
    /// [`ScheduleError`] says where the text goes wrong, and what to write.
    pub fn parse(kind: StimulusKind, text: &str) -> Result<Self, ScheduleError> {
        parse::injection(kind, text)
    }

    /// Its option: `--nmi`.
    #[must_use]
    pub const fn option(&self) -> &'static str {
        self.what.kind().option()
    }

    /// Its canonical argument: `at=main+0x1a`.
    #[must_use]
    pub fn argument(&self) -> String {
        let mut text = match &self.what {
            Stimulus::Nmi => String::new(),
            Stimulus::Irq(vector) => format!("{:#x}@", vector.0),
            Stimulus::MachineCheck => "@".to_owned(),
            Stimulus::Exception { vector, .. } => format!("{}@", vector_name(*vector)),
        };
        text += &self.when.to_string();
        if let Stimulus::Exception {
            error_code,
            address,
            ..
        } = &self.what
        {
            if let Some(code) = error_code {
                text += &format!(",ec={code:#x}");
            }
            if let Some(address) = address {
                text += &format!(",addr={address}");
            }
        }
        text
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.option(), self.argument())
    }
}

impl FromStr for Injection {
    type Err = ScheduleError;

    fn from_str(s: &str) -> Result<Self, ScheduleError> {
        let (option, argument) = s.split_once(' ').unwrap_or((s, ""));
        match StimulusKind::ALL.iter().find(|k| k.option() == option) {
            Some(kind) => Self::parse(*kind, argument),
            None => Err(ScheduleError {
                option: "injection",
                text: parse::shown(s),
                column: 1,
                problem: "expected an option".to_owned(),
                mend: "begin with --nmi, --irq, --mce or --exception and a space".to_owned(),
            }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol { name, offset: 0 }
                if !parse::ends_like_an_offset(name) && !name.ends_with('+') =>
            {
                f.write_str(name)
            }
            Self::Symbol { name, offset } => write!(f, "{name}+{offset:#x}"),
            Self::Address(at) => write!(f, "{at}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icount(n) => write!(f, "{n}"),
            Self::Place(place) => write!(f, "{place}"),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At {
                place: place @ Place::Symbol { name, offset: 0 },
                nth: 1,
            } if parse::ends_like_a_number_of_arrivals(name)
                && !parse::ends_like_an_offset(name) =>
            {
                write!(f, "at={place}#1")
            }
            Self::At { place, nth: 1 } => write!(f, "at={place}"),
            Self::At { place, nth } => write!(f, "at={place}#{nth}"),
            Self::Icount(boundary) => write!(f, "icount={boundary}"),
            Self::After { vector, nth } => write!(f, "after={}#{nth}", vector_name(*vector)),
            Self::BeforeIret { nth } => write!(f, "before=iret#{nth}"),
            Self::Every {
                period,
                from: Origin::Icount(first),
            } if first == period => write!(f, "every={period}"),
            Self::Every { period, from } => write!(f, "every={period},from={from}"),
            Self::Storm {
                count,
                from: Origin::Icount(0),
            } => write!(f, "storm={count}"),
            Self::Storm { count, from } => write!(f, "storm={count},from={from}"),
        }
    }
}
