//! What `iretrace programs NAME` tells to try can be tried.

use iretrace::load::builtin::{self, Group, TRY};

use crate::command::iretrace;

/// The words after `iretrace` of a line under "Try:", without its comment.
pub fn words(line: &str) -> Vec<&str> {
    let command = line.split("  #").next().unwrap_or_default();
    let words = command.split_whitespace();
    let mut words = words.map(|w| w.trim_matches('\''));
    assert_eq!(words.next(), Some("iretrace"), "{line}");
    words.collect()
}

/// The lines under "Try:" that `iretrace programs` shows of the program `name`.
fn shown(name: &str) -> Vec<String> {
    let run = iretrace(["programs", name]);
    assert_eq!(run.status.code(), Some(0), "{name}");
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    let tries = text.lines().skip_while(|l| *l != TRY).skip(1);
    tries.map(|l| l.trim().to_owned()).collect()
}

/// The program that `words` run or sweep, or its twin.
fn program<'a>(words: &[&'a str]) -> &'a str {
    let named = words.iter().find_map(|w| w.strip_prefix('@'));
    named.expect("a program").trim_end_matches(".ok")
}

#[test]
fn each_command_to_try_a_bug_runs() {
    each_command_runs(|group| group == Group::Bugs);
}

#[test]
fn each_other_command_runs() {
    each_command_runs(|group| group != Group::Bugs);
}

/// Each one ends as documented, for the programs of some groups.
fn each_command_runs(wanted: fn(Group) -> bool) {
    for b in builtin::list().iter().filter(|b| wanted(b.group)) {
        let tries = shown(b.name);
        assert!(!tries.is_empty(), "{}", b.name);
        for line in &tries {
            let mut words = words(line);
            match words[0] {
                "sweep" => words.extend(["--limit=1", "--patience=2k"]),
                _ if words.contains(&"--max-insns") => {}
                _ => words.push("--max-insns=5k"),
            }
            assert_eq!(program(&words), b.name.trim_end_matches(".ok"), "{line}");
            let run = iretrace(words.clone());
            let said = String::from_utf8(run.stderr).expect("UTF-8");
            // 1 is a bug, 2 and 96 are mistakes of the command, 97 is something that is not modelled.
            let code = run.status.code();
            assert!(
                matches!(code, Some(0 | 98 | 100 | 102..=104)),
                "{line}: {code:?}: {said}"
            );
            assert!(!said.contains("was never due"), "{line}: {said}");
        }
    }
}

#[test]
fn each_bug_has_a_command_for_itself_and_one_for_its_twin() {
    for b in builtin::list() {
        if let (Group::Bugs, Some(twin)) = (b.group, b.twin) {
            let first = b.tries().next().unwrap_or_default();
            assert_eq!(words(first)[1], format!("@{}", b.name));
            let last = b.tries().last().unwrap_or_default();
            assert_eq!(words(last)[1], format!("@{twin}"));
        }
    }
}
