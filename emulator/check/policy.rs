//! What is done with findings: which are shown, as what, and which are denied.

use super::{Finding, RuleId, Severity, UnknownRule};

/// What is done with the findings of one rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// They are not shown.
    Allow,
    /// They are warnings.
    Warn,
    /// They are errors, and denied.
    Deny,
}

/// Levels of rules, and the severity from which on findings are denied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    levels: [Option<Level>; RuleId::COUNT],
    denied: Option<Severity>,
}

impl Policy {
    /// Sets the level of a rule; the last one holds.
    pub const fn set(&mut self, rule: RuleId, level: Level) {
        self.levels[rule as usize] = Some(level);
    }

    /// Denies findings of this severity and all greater ones.
    pub fn deny_from(&mut self, severity: Severity) {
        self.denied = Some(self.denied.map_or(severity, |d| d.min(severity)));
    }

    /// What was set for a rule.
    #[must_use]
    pub const fn level(&self, rule: RuleId) -> Option<Level> {
        self.levels[rule as usize]
    }

    /// The severity from which on findings are denied.
    #[must_use]
    pub const fn denied_from(&self) -> Option<Severity> {
        self.denied
    }

    /// How bad `finding` is here. `None`: it is not shown.
    #[must_use]
    pub const fn severity(&self, finding: &Finding) -> Option<Severity> {
        match self.levels[finding.rule as usize] {
            None => Some(finding.severity),
            Some(Level::Allow) => None,
            Some(Level::Warn) => Some(Severity::Warning),
            Some(Level::Deny) => Some(Severity::Error),
        }
    }

    /// Whether `finding` is denied.
    #[must_use]
    pub fn denies(&self, finding: &Finding) -> bool {
        match self.levels[finding.rule as usize] {
            Some(Level::Deny) => true,
            _ => self
                .severity(finding)
                .is_some_and(|s| self.denied.is_some_and(|denied| s >= denied)),
        }
    }
}

/// A rule, or a severity: what can be denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// The findings of one rule.
    Rule(RuleId),
    /// Findings from this severity on.
    From(Severity),
}

impl std::str::FromStr for Denial {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        match Severity::ALL.into_iter().find(|s| s.name() == text) {
            Some(severity) => Ok(Self::From(severity)),
            None => text.parse().map(Self::Rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::VirtAddr;
    use crate::trace::Boundary;

    fn finding(rule: RuleId) -> Finding {
        Finding {
            rule,
            severity: rule.severity(),
            at: Boundary::default(),
            rip: VirtAddr(0),
            message: String::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_denied_unless_it_is_said() {
        for rule in RuleId::all() {
            let policy = Policy::default();
            assert!(!policy.denies(&finding(rule)));
            assert_eq!(policy.severity(&finding(rule)), Some(rule.severity()));
        }
    }

    #[test]
    fn a_severity_denies_the_greater_ones_too() {
        let mut policy = Policy::default();
        policy.deny_from(Severity::Warning);
        assert!(policy.denies(&finding(RuleId::FrameLost)));
        assert!(policy.denies(&finding(RuleId::DoubleFault)));
        assert!(!policy.denies(&finding(RuleId::NmiMerged)));
        policy.set(RuleId::NmiMerged, Level::Warn);
        assert!(policy.denies(&finding(RuleId::NmiMerged)));
        policy.set(RuleId::FrameLost, Level::Allow);
        assert!(!policy.denies(&finding(RuleId::FrameLost)));
        assert_eq!(policy.severity(&finding(RuleId::FrameLost)), None);
    }

    #[test]
    fn a_denied_rule_is_an_error() {
        let mut policy = Policy::default();
        policy.set(RuleId::NmiMerged, Level::Deny);
        assert!(policy.denies(&finding(RuleId::NmiMerged)));
        let severity = policy.severity(&finding(RuleId::NmiMerged));
        assert_eq!(severity, Some(Severity::Error));
        assert!(!policy.denies(&finding(RuleId::FrameLost)));
    }

    #[test]
    fn severities_and_rules_are_read() {
        assert_eq!("error".parse(), Ok(Denial::From(Severity::Error)));
        assert_eq!("nmi-stuck".parse(), Ok(Denial::Rule(RuleId::NmiStuck)));
        assert!("errors".parse::<Denial>().is_err());
    }
}
