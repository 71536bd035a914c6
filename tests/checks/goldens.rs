//! What is said of each rule's program, in full: `traces/checks/RULE.txt`.
//!
//! With `IRETRACE_BLESS=1` they are written anew; read the difference before it is committed.

use std::path::Path;

use iretrace::check::RULES;

use super::command::iretrace;

#[test]
fn findings_are_as_committed() {
    let bless = std::env::var_os("IRETRACE_BLESS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/checks");
    for rule in &RULES {
        let words = ["run", "-q", "--notes"];
        let run = iretrace(words.into_iter().chain(rule.program.split(' ')));
        let said = String::from_utf8(run.stderr).expect("UTF-8");
        let now = format!("$ iretrace run {} -q --notes\n{said}", rule.program);
        let path = folder.join(format!("{}.txt", rule.name));
        if bless {
            std::fs::write(&path, now).expect("written");
            continue;
        }
        let golden = std::fs::read_to_string(&path);
        let golden = golden.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(
            golden,
            now,
            "{} (IRETRACE_BLESS=1 writes it anew)",
            path.display()
        );
    }
}
