//! The interrupted context, before and after.

use crate::arch::bits::rflags;
use crate::testing::case::Until;
use crate::testing::failure::Problem;
use crate::testing::register::Register;
use crate::testing::run::Run;

/// What of the interrupted context must be as it was: all registers, RFLAGS but for RF, RSP,
/// segments, the bases of FS and GS, CR2 (not for #PF), CR3, DR0 to DR7 (DR6 not for #DB), x87 and SSE.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Registers that may differ: results, for a system call.
    pub except: Vec<Register>,
}

impl Restored {
    /// All but these.
    #[must_use]
    pub fn except(registers: &[Register]) -> Self {
        Self {
            except: registers.to_vec(),
        }
    }

    /// What is not restored.
    pub(super) fn check(&self, run: &Run) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.differences(run).into_iter().collect();
        // A run that should return has a failure of its own.
        if run.seen().resumed.is_none() && run.session.case.until != Until::Return {
            let text = "the interrupted code is not resumed before the run ends";
            problems.push(Problem::new("restored", text));
        }
        if run.seen().resumed.is_some() && !run.seen().resumed_fpu {
            problems.push(Problem::new(
                "restored",
                "x87 or SSE registers are not those of the interrupted code",
            ));
        }
        problems
    }

    /// The other registers that differ.
    fn differences(&self, run: &Run) -> Option<Problem> {
        let (root, after) = (run.root()?, run.seen().resumed.as_ref()?);
        let vector = root.delivery.id.vector;
        let pushed = root.delivery.pushed;
        let mut diff = Vec::new();
        for &register in Register::ALL {
            if self.except.contains(&register) || register.is_changed_by(vector) {
                continue;
            }
            let (mut before, mut now) = (register.get(&root.before), register.get(after));
            match register {
                // Where the handler returns to is another expectation.
                Register::Rip => continue,
                Register::Rflags => {
                    before = pushed.rflags.0 & !rflags::RF;
                    now &= !rflags::RF;
                }
                Register::Rsp => before = pushed.rsp.0,
                _ => {}
            }
            if before != now {
                diff.push((register, before, now));
            }
        }
        if diff.is_empty() {
            return None;
        }
        let names: Vec<&str> = diff.iter().map(|d| d.0.name()).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        let hint = hint(&diff);
        Some(Problem {
            expected: "restored".to_owned(),
            text: format!("{} {verb} not restored{hint}", names.join(", ")),
            rip: Some(run.seen().last_rip),
            diff: diff
                .into_iter()
                .map(|(r, a, b)| (r.name().to_owned(), shown(r, a), shown(r, b)))
                .collect(),
        })
    }
}

/// What the values say of the cause.
fn hint(diff: &[(Register, u64, u64)]) -> String {
    let of = |wanted| diff.iter().find(|d| d.0 == wanted);
    if let (Some(gs), Some(kernel)) = (of(Register::GsBase), of(Register::KernelGsBase))
        && gs.1 == kernel.2
        && gs.2 == kernel.1
    {
        return ": one SWAPGS too few or too many".to_owned();
    }
    let clobbered = |d: &&(Register, u64, u64)| d.2 >> 48 == 0xdead && d.2 & 0xff == 0xcc;
    if diff.iter().any(|d| clobbered(&d)) {
        return ": a called function may change it (System V ABI, 3.2.1), and nobody saved it"
            .to_owned();
    }
    let flags = |bit| of(Register::Rflags).is_some_and(|d| (d.1 ^ d.2) & bit != 0);
    if flags(rflags::DF) {
        return ": the direction flag".to_owned();
    }
    String::new()
}

fn shown(register: Register, value: u64) -> String {
    const NAMES: [(u64, &str); 10] = [
        (rflags::CF, "CF"),
        (rflags::PF, "PF"),
        (rflags::AF, "AF"),
        (rflags::ZF, "ZF"),
        (rflags::SF, "SF"),
        (rflags::TF, "TF"),
        (rflags::IF, "IF"),
        (rflags::DF, "DF"),
        (rflags::OF, "OF"),
        (rflags::AC, "AC"),
    ];
    if register != Register::Rflags {
        return format!("{value:#x}");
    }
    let set: Vec<&str> = NAMES
        .iter()
        .filter(|n| value & n.0 != 0)
        .map(|n| n.1)
        .collect();
    format!("{value:#x} [{}]", set.join(" "))
}
