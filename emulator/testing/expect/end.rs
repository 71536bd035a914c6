//! How a run ends.

use crate::arch::Vector;
use crate::machine::StopReason;
use crate::testing::error::TestError;
use crate::testing::failure::Problem;
use crate::testing::place::Place;
use crate::testing::run::Run;
use crate::testing::session::End;

/// How a run shall end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndWanted {
    /// What was interrupted goes on where it was interrupted.
    Returned,
    /// The handler returns to another place: a fix-up.
    ReturnedTo(Place),
    /// The place is reached.
    Reached(Place),
    /// The stub is called.
    Called(String),
    /// An event for which there is no handler.
    Stray(Vector),
    /// The guest reports success, or halts for ever.
    Stopped,
    /// The guest writes this to the debug-exit port.
    Exit(u32),
    /// HLT for ever.
    Halted,
    /// Shutdown.
    TripleFault,
}

impl EndWanted {
    fn text(&self) -> String {
        match self {
            Self::Returned => "returns".to_owned(),
            Self::ReturnedTo(place) => format!("returns to {place}"),
            Self::Reached(place) => format!("reaches {place}"),
            Self::Called(name) => format!("calls {name}"),
            Self::Stray(vector) => format!("ends with vector {:#x}", vector.0),
            Self::Stopped => "stops".to_owned(),
            Self::Exit(value) => format!("exits with {value:#x}"),
            Self::Halted => "halts".to_owned(),
            Self::TripleFault => "triple-faults".to_owned(),
        }
    }
}

pub(super) fn check(run: &Run, wanted: &EndWanted) -> Result<Vec<Problem>, TestError> {
    let (end, seen) = (run.end(), run.seen());
    let problem = |text: String| {
        let problem = Problem::new(wanted.text(), text);
        Ok(vec![problem.at(seen.last_rip)])
    };
    let holds = match wanted {
        EndWanted::Returned | EndWanted::ReturnedTo(_) => {
            let Some(resumed) = &seen.resumed else {
                return problem(not_returned(run));
            };
            let pushed = run.root().map_or(0, |r| r.delivery.pushed.rip.0);
            let target = match wanted {
                EndWanted::ReturnedTo(place) => {
                    run.session.case.program.resolve("returns to", place)?.0
                }
                _ => pushed,
            };
            if resumed.rip != target {
                let name = |at| run.session.case.program.name_of(at);
                return problem(format!(
                    "the handler returns to {}, and not to {}",
                    name(resumed.rip),
                    name(target)
                ));
            }
            true
        }
        EndWanted::Reached(place) => matches!(end, End::Reached(p) if p == place),
        EndWanted::Called(name) => matches!(end, End::Called(n) if n == name),
        EndWanted::Stray(vector) => matches!(end, End::Stray(v) if v == vector),
        EndWanted::Stopped => matches!(
            end,
            End::Stopped(StopReason::GuestExit { success: true, .. } | StopReason::HaltedForever)
        ),
        EndWanted::Exit(value) => {
            matches!(end, End::Stopped(StopReason::GuestExit { value: v, .. }) if v == value)
        }
        EndWanted::Halted => matches!(end, End::Stopped(StopReason::HaltedForever)),
        EndWanted::TripleFault => matches!(end, End::Stopped(StopReason::TripleFault)),
    };
    if holds {
        return Ok(Vec::new());
    }
    problem(format!("the run ends otherwise: {}", end.describe()))
}

fn not_returned(run: &Run) -> String {
    let Some(root) = run.root() else {
        let cpu = run.session.machine.cpu();
        let interrupts = run.session.case.raise.vectors().any(|v| v.0 >= 32);
        let why = if cpu.nmi.pending && cpu.nmi.blocked {
            ": NMIs are blocked in the interrupted context"
        } else if interrupts && cpu.regs.rflags & crate::arch::bits::rflags::IF == 0 {
            ": interrupts are off in the interrupted context"
        } else {
            ""
        };
        return format!(
            "nothing was delivered{why}; the end: {}",
            run.end.describe()
        );
    };
    let last = run.seen().deliveries.last();
    let fault = last
        .filter(|d| d.id.serial != root.delivery.id.serial)
        .map(|d| {
            let code = d
                .error_code
                .map_or_else(String::new, |c| format!(" with error code {c:#x}"));
            let cr2 = d.cr2.map_or_else(String::new, |a| format!(", address {a}"));
            format!(
                "; the last event was {}{code}{cr2}, at {}",
                d.id,
                run.session.case.program.name_of(d.pushed.rip.0)
            )
        })
        .unwrap_or_default();
    format!(
        "the handler of {} never returns: {}{fault}",
        root.delivery.id,
        run.end.describe()
    )
}
