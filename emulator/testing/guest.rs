//! What a guest says of its own tests: KTAP, or lines that begin with `PASS:`, `FAIL:` or `SKIP:`.

/// Counts the results in a guest's console lines.
///
/// Understood are KTAP version 1, nested too (a subtest's own result line counts, and the line of
/// the test around it does not), and `PASS: name`, `FAIL: name`, `SKIP: name`, as Automake and
/// kvm-unit-tests have them, with or without spaces before the colon.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GuestTests {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Skipped.
    pub skipped: u64,
    /// The first names of failed ones.
    pub failures: Vec<String>,
    /// Open plans, by indentation: how many results are still to come.
    plans: Vec<(usize, u64)>,
    /// Results that never came; all of them are one of the `failures`.
    owed: u64,
    /// A line of an inner level has been counted since the last outer one, at this indentation.
    inner: Option<usize>,
}

/// Names of failures that are kept.
const MOST: usize = 20;

/// Levels of nesting that are followed.
const DEPTH: usize = 32;

impl GuestTests {
    /// Looks at one line of the console.
    pub fn line(&mut self, line: &str) {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        let text = text.trim_end();
        for (word, count) in [("PASS", 0), ("FAIL", 1), ("SKIP", 2)] {
            let rest = text.strip_prefix(word).map(str::trim_start);
            if let Some(name) = rest.and_then(|r| r.strip_prefix(':')) {
                self.count(count, name.trim());
                return;
            }
        }
        if let Some(count) = text.strip_prefix("1..") {
            if let Ok(n) = count.trim().parse() {
                self.close(indent, "the plan of the next test");
                if self.plans.len() < DEPTH {
                    self.plans.push((indent, n));
                }
            }
            return;
        }
        let (ok, rest) = match (text.strip_prefix("not ok"), text.strip_prefix("ok")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            _ => return,
        };
        // `ok` must be a word of its own, and a number must follow.
        let Some(rest) = rest.strip_prefix(' ') else {
            return;
        };
        let rest = rest.trim_start();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return;
        }
        self.result(ok, indent, rest[digits..].trim_start_matches([' ', '-']));
    }

    fn result(&mut self, ok: bool, indent: usize, description: &str) {
        if let Some(plan) = self.plans.iter_mut().find(|p| p.0 == indent) {
            plan.1 = plan.1.saturating_sub(1);
        }
        // What is deeper has ended.
        self.close(indent + 1, description);
        if self.inner.take().is_some_and(|inner| inner > indent) {
            // The sum of a test whose parts have been counted; it is a part itself.
            self.inner = (indent > 0).then_some(indent);
            if !ok && self.failed == 0 {
                self.count(1, description);
            }
            return;
        }
        if indent > 0 {
            self.inner = Some(indent);
        }
        let (name, directive) = description.split_once('#').unwrap_or((description, ""));
        let skip = directive
            .trim_start()
            .to_ascii_uppercase()
            .starts_with("SKIP");
        let todo = directive
            .trim_start()
            .to_ascii_uppercase()
            .starts_with("TODO");
        self.count(
            match (ok, skip || todo) {
                (true, false) => 0,
                (_, true) => 2,
                (false, false) => 1,
            },
            name.trim(),
        );
    }

    /// Ends the plans of this indentation and of deeper ones; what they owe has failed.
    fn close(&mut self, indent: usize, next: &str) {
        let ended = self.plans.iter().filter(|p| p.0 >= indent);
        let owed = ended.map(|p| p.1).fold(0, u64::saturating_add);
        self.plans.retain(|p| p.0 < indent);
        if owed != 0 {
            self.count(1, &format!("{owed} results are missing before: {next}"));
        }
    }

    fn count(&mut self, what: u8, name: &str) {
        match what {
            0 => self.passed += 1,
            1 => {
                self.failed += 1;
                if self.failures.len() < MOST {
                    self.failures.push(crate::load::error::printable(name));
                }
            }
            _ => self.skipped += 1,
        }
    }

    /// The guest has ended: results that a plan announced, and that never came, have failed.
    pub fn end(&mut self) {
        let owed: u64 = self
            .plans
            .drain(..)
            .map(|p| p.1)
            .fold(0, u64::saturating_add);
        if owed != 0 {
            self.failed = self.failed.saturating_add(owed);
            self.owed = owed;
            self.failures.push(format!("{owed} results never came"));
        }
    }

    /// Whether the guest has said anything of tests.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed == 0 && self.skipped == 0
    }

    /// `guest tests: 3 passed, 1 failed (memory map)`.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (n, word) in [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
        ] {
            if n != 0 {
                parts.push(format!("{n} {word}"));
            }
        }
        let names = if self.failures.is_empty() {
            String::new()
        } else {
            let owed = u64::from(self.owed != 0);
            let named = (self.failures.len() as u64).saturating_sub(owed);
            let more = self.failed.saturating_sub(self.owed).saturating_sub(named);
            let more = if more == 0 {
                String::new()
            } else {
                format!(", and {more} more")
            };
            format!(" ({}{more})", self.failures.join(", "))
        };
        format!("guest tests: {}{names}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &str) -> (u64, u64, u64, Vec<String>) {
        let mut tests = GuestTests::default();
        lines.lines().for_each(|l| tests.line(l));
        tests.end();
        (tests.passed, tests.failed, tests.skipped, tests.failures)
    }

    #[test]
    fn pass_and_fail() {
        let c = counted("PASS: a\nFAIL: b\nhello\nSKIP : c\nPASSED\nPASS d\n");
        assert_eq!(c, (1, 1, 1, vec!["b".to_owned()]));
    }

    #[test]
    fn ktap() {
        let c = counted("KTAP version 1\n1..3\nok 1 - a\nnot ok 2 b # bad\nok 3 c # SKIP no NX\n");
        assert_eq!(c, (1, 1, 1, vec!["b".to_owned()]));
        assert_eq!(counted("okay 1\nok\nok then\n"), (0, 0, 0, vec![]));
    }

    #[test]
    fn parts_count_and_not_their_sum() {
        // Linux, Documentation/dev-tools/ktap.rst, "Example KTAP output".
        let c = counted(
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..3\n    KTAP version 1\n    1..1\n    # test_1: initializing test_1\n    ok 1 test_1\n  ok 1 example_test_1\n    KTAP version 1\n    1..2\n    ok 1 test_1 # SKIP test_1 skipped\n    ok 2 test_2\n  ok 2 example_test_2\n    KTAP version 1\n    1..3\n    ok 1 test_1\n    # test_2: FAIL\n    not ok 2 test_2\n    ok 3 test_3 # SKIP test_3 skipped\n  not ok 3 example_test_3\nnot ok 1 main_test\n",
        );
        assert_eq!(c.1, 1, "{c:?}");
        assert_eq!((c.0, c.2), (3, 2), "{c:?}");
    }

    #[test]
    fn what_was_announced_and_never_came_has_failed() {
        let c = counted("1..5\nok 1 a\nok 2 b\n");
        assert_eq!(c, (2, 3, 0, vec!["3 results never came".to_owned()]));
        let c = counted("1..2\n    1..2\n    ok 1 x\nok 1 a\nok 2 b\n");
        assert_eq!((c.0, c.1), (2, 1), "{c:?}");
        // A second plan in the place of the first, which is not kept.
        let c = counted("1..3\nok 1 a\n1..1\nok 1 b\n");
        assert_eq!((c.0, c.1), (2, 1), "{c:?}");
        assert_eq!(
            c.3,
            ["2 results are missing before: the plan of the next test"]
        );
    }

    #[test]
    fn plans_of_any_size_can_be_owed() {
        let most = u64::MAX;
        let c = counted(&format!("1..1\n  1..{most}\n    1..{most}\nok 1 a\n"));
        assert_eq!((c.0, c.1), (1, 1), "{c:?}");
        let c = counted(&format!("FAIL: a\n1..{most}\n  1..{most}\n"));
        assert_eq!(c.1, most, "{c:?}");
    }

    #[test]
    fn names_that_are_left_out_are_counted() {
        let mut tests = GuestTests::default();
        (0..23).for_each(|n| tests.line(&format!("FAIL: t{n}")));
        tests.line("1..7");
        assert!(
            tests.summary().ends_with("t19, and 3 more)"),
            "{}",
            tests.summary()
        );
        tests.end();
        let all = tests.summary();
        assert!(all.contains("30 failed (t0, "), "{all}");
        assert!(
            all.ends_with("t19, 7 results never came, and 3 more)"),
            "{all}"
        );
    }
}
