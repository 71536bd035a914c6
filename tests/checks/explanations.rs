//! `iretrace explain`.

use iretrace::check::RULES;

use super::command::iretrace;

#[test]
fn every_rule_is_explained_with_its_program() {
    for rule in &RULES {
        let run = iretrace(["explain", rule.name]);
        assert!(run.status.success(), "{run:?}");
        let text = String::from_utf8(run.stdout).expect("UTF-8");
        assert!(text.starts_with(rule.name), "{text}");
        for words in [rule.program, rule.twin] {
            let command = format!("    iretrace run {words}\n");
            assert!(text.contains(&command), "{}: no {command:?}", rule.name);
        }
        for heading in ["## What happened", "## Why it matters", "## How to mend it"] {
            assert!(text.contains(heading), "{}: no {heading:?}", rule.name);
        }
        let wide = text.lines().find(|l| l.chars().count() > 110);
        assert_eq!(wide, None, "{}", rule.name);
    }
}

/// Whatever command a text names does what it says: it runs, and draws the rule or does not.
#[test]
fn every_command_in_an_explanation_runs() {
    for rule in &RULES {
        let commands = rule
            .explanation
            .lines()
            .filter_map(|l| l.trim().strip_prefix("iretrace run "));
        for words in commands {
            let found = super::command::told(words);
            let drawn = found.iter().any(|f| f.split(' ').nth(1) == Some(rule.name));
            assert_eq!(
                drawn,
                words != rule.twin,
                "{}: {words}: {found:?}",
                rule.name
            );
        }
    }
}

#[test]
fn the_list_has_a_line_for_each() {
    let run = iretrace(["explain"]);
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), RULES.len());
    for (line, rule) in text.lines().zip(&RULES) {
        assert!(
            line.starts_with(rule.name) && line.ends_with(rule.summary),
            "{line}"
        );
        assert!(line.contains(rule.severity.name()), "{line}");
    }
}

#[test]
fn a_wrong_name_has_a_near_miss() {
    let run = iretrace(["explain", "frame-list"]);
    assert_eq!(run.status.code(), Some(2));
    let said = String::from_utf8(run.stderr).expect("UTF-8");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("did you mean frame-lost?"), "{said}");
    let run = iretrace(["explain", "error"]);
    assert_eq!(run.status.code(), Some(2), "a severity is no rule");
}
