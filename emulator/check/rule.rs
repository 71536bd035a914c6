//! The table of rules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Severity;
use crate::suggest::Nearest;

/// Which rule; the order is the table's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the table and the explanations say what they are"
)]
pub enum RuleId {
    NmiUnblockedEarly,
    NmiReentered,
    NmiMerged,
    FrameOverwritten,
    FrameLost,
    FrameReturnedTwice,
    NmiStuck,
    NmiUnserved,
    StateLeak,
    Cr2Clobbered,
    WrongGs,
    UserStackInKernel,
    DeliveryFailed,
    DoubleFault,
    Shutdown,
    NeverResumed,
    RedZoneClobbered,
    UnreachableStimulus,
}

/// One row of the table of rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Which.
    pub id: RuleId,
    /// Its name.
    pub name: &'static str,
    /// How bad its findings are, unless they say otherwise.
    pub severity: Severity,
    /// What it reports, in one line.
    pub summary: &'static str,
    /// The words after `iretrace run` that show it: a program and what else it takes.
    pub program: &'static str,
    /// The words that run its twin, which does the same and draws no such finding.
    pub twin: &'static str,
    /// Its explanation, in Markdown.
    pub explanation: &'static str,
}

macro_rules! table {
    ($($id:ident $name:literal $severity:ident $summary:literal $program:literal $twin:literal;)*) => {
        /// All rules.
        pub const RULES: [Rule; 18] = [$(Rule {
            id: RuleId::$id,
            name: $name,
            severity: Severity::$severity,
            summary: $summary,
            program: $program,
            twin: $twin,
            explanation: include_str!(concat!("explain/", $name, ".md")),
        }),*];
    };
}

table! {
    NmiUnblockedEarly "nmi-unblocked-early" Note
        "an IRET that does not return from the NMI unblocks NMIs"
        "@nested-nmi" "@nested-nmi-popf";
    NmiReentered "nmi-reentered" Note
        "an NMI is delivered while another has not been resumed"
        "@int3-in-nmi" "@nested-nmi-popf";
    NmiMerged "nmi-merged" Note
        "an NMI arrives while one is pending, and is lost"
        "@nmi-merged" "@nmi-merged.ok";
    FrameOverwritten "frame-overwritten" Note
        "a delivery writes over the frame of one that has not been resumed"
        "@nested-nmi" "@nested-nmi-popf";
    FrameLost "frame-lost" Error
        "a delivery cannot be resumed any more: its frame was overwritten"
        "@nested-nmi" "@nested-nmi-popf";
    FrameReturnedTwice "frame-returned-twice" Error
        "an IRET uses a frame whose delivery has already been resumed"
        "@frame-returned-twice" "@frame-returned-twice.ok";
    NmiStuck "nmi-stuck" Error
        "NMIs are still blocked although every NMI has been resumed"
        "@nmi-stuck" "@nmi-stuck.ok";
    NmiUnserved "nmi-unserved" Error
        "an NMI was delivered, but its work (--nmi-body) was never done"
        "@nmi-unserved --nmi-body nmi_body" "@nmi-unserved.ok --nmi-body nmi_body";
    StateLeak "state-leak" Error
        "code that was interrupted comes back with other registers"
        "@state-leak" "@state-leak.ok";
    Cr2Clobbered "cr2-clobbered" Error
        "a page-fault handler reads another fault's address from CR2"
        "@cr2-clobbered" "@cr2-clobbered.ok";
    WrongGs "wrong-gs" Error
        "the kernel uses the user's GS base, or the user gets the kernel's"
        "@wrong-gs" "@wrong-gs.ok";
    UserStackInKernel "user-stack-in-kernel" Error
        "a frame is pushed at CPL 0 on a stack that the user chose"
        "@user-stack-in-kernel" "@user-stack-in-kernel.ok";
    DeliveryFailed "delivery-failed" Warning
        "the delivery of an event raised an exception"
        "@delivery-failed" "@delivery-failed.ok";
    DoubleFault "double-fault" Warning
        "a double fault was delivered"
        "@double-fault" "@delivery-failed";
    Shutdown "shutdown" Error
        "the processor shut down"
        "@triple-fault" "@double-fault";
    NeverResumed "never-resumed" Note
        "what was interrupted was not resumed before the end"
        "@double-fault" "@nested-nmi-popf";
    RedZoneClobbered "red-zone-clobbered" Error
        "a delivery wrote into memory below the stack pointer that was in use"
        "@red-zone-clobbered" "@red-zone-clobbered.ok";
    UnreachableStimulus "unreachable-stimulus" Note
        "something was injected where the processor cannot take it"
        "@nmi-stuck.ok --nmi at=nmi_return" "@nmi-stuck.ok --nmi at=quiet";
}

impl RuleId {
    /// How many rules there are.
    pub const COUNT: usize = RULES.len();

    /// All, in the table's order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        RULES.iter().map(|r| r.id)
    }

    /// Its row.
    #[must_use]
    pub const fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.rule().name
    }

    /// How bad its findings are, unless they say otherwise.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.rule().severity
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no rule of that name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such rule{}; 'iretrace explain' lists them", did_you_mean(.nearest))]
pub struct UnknownRule {
    /// The rule that was probably meant.
    pub nearest: Option<String>,
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!(": did you mean {n}?"))
        .unwrap_or_default()
}

impl FromStr for RuleId {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        if let Some(rule) = RULES.iter().find(|r| r.name == text) {
            return Ok(rule.id);
        }
        let mut nearest = Nearest::to(text);
        RULES.iter().for_each(|r| nearest.offer(r.name));
        Err(UnknownRule {
            nearest: nearest.into_best(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_where_their_ids_say() {
        for (i, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.id as usize, i, "{}", rule.name);
            assert_eq!(rule.name.parse(), Ok(rule.id));
            let serialised = serde_json::to_string(&rule.id).expect("a string");
            assert_eq!(serialised, format!("{:?}", rule.name));
        }
    }

    #[test]
    fn a_near_miss_is_named() {
        let e = "frame-list".parse::<RuleId>().unwrap_err();
        assert_eq!(e.nearest.as_deref(), Some("frame-lost"));
        assert!("walk".parse::<RuleId>().unwrap_err().nearest.is_none());
    }
}
