//! Golden traces: `traces/*.txt`, each the output of the command in its second line (`# again: …`).
//!
//! A new program needs a golden of its name, and nothing in Rust (those in `programs/checks` have
//! one of their findings). With `IRETRACE_BLESS=1` the goldens are written anew, and those that are missing are made; read the
//! difference line by line before it is committed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder_name: &str, extension: &str) -> BTreeSet<PathBuf> {
    std::fs::read_dir(folder(folder_name))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .expect("a file has a name")
        .to_string_lossy()
        .into_owned()
}

/// The output of `iretrace` with `words`.
fn output(words: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_iretrace"))
        .args(words)
        .env("NO_COLOR", "1")
        .current_dir(folder("."))
        .output()
        .expect("iretrace runs");
    let code = run.status.code();
    assert!(
        matches!(code, Some(0 | 98 | 102 | 103)),
        "{words:?} ended with {code:?}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    String::from_utf8(run.stdout).expect("text")
}

/// All but the first line, which names the version and the image's size and hash: assemblers pad
/// in different ways.
fn body(trace: &str) -> &str {
    trace.split_once('\n').map_or("", |(_, body)| body)
}

/// The words of the command that makes the golden again.
fn command(golden: &str, path: &Path) -> Vec<String> {
    golden
        .lines()
        .find_map(|line| line.strip_prefix("# again: iretrace "))
        .unwrap_or_else(|| panic!("{} has no line '# again: iretrace …'", path.display()))
        .split(' ')
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

#[test]
fn traces_are_as_committed() {
    let bless = std::env::var_os("IRETRACE_BLESS").is_some();
    let mut differing = Vec::new();
    for path in files("traces", "txt") {
        let golden = std::fs::read_to_string(&path).expect("text");
        let words = command(&golden, &path);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let now = output(&words);
        if body(&now) == body(&golden) {
            continue;
        }
        if bless {
            std::fs::write(&path, now).expect("the golden can be written");
        } else {
            let line = now.lines().zip(golden.lines()).position(|(a, b)| a != b);
            let line = line.unwrap_or_else(|| now.lines().count().min(golden.lines().count()));
            differing.push(format!(
                "{}:{}\n  golden {:?}\n  now    {:?}",
                path.display(),
                line + 1,
                golden.lines().nth(line),
                now.lines().nth(line)
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\n(IRETRACE_BLESS=1 writes them anew)",
        differing.join("\n")
    );
}

#[test]
fn every_program_has_a_golden_trace() {
    let goldens: BTreeSet<String> = files("traces", "txt")
        .iter()
        .map(|path| stem(path).split('.').next().unwrap_or_default().to_owned())
        .collect();
    for program in iretrace::load::builtin::list() {
        let twin = program.name.ends_with(".ok");
        if twin || program.group == iretrace::load::builtin::Group::Checks {
            continue;
        }
        let program = program.name;
        if goldens.contains(program) {
            continue;
        }
        assert!(
            std::env::var_os("IRETRACE_BLESS").is_some(),
            "traces/{program}.txt is missing; IRETRACE_BLESS=1 makes it"
        );
        let text = output(&["run", &format!("@{program}")]);
        std::fs::write(folder("traces").join(format!("{program}.txt")), text).expect("written");
    }
}
