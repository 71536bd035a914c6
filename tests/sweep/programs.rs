//! What is swept.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{Outcome, file, iretrace, link, word};

/// A program with several parts.
pub const LONG: [&str; 4] = ["sweep", "@nmi-nestable", "--from", "ready"];

/// Without an IDT every NMI ends in a triple fault (SDM vol. 3, 6.15 and 6.8.1: the descriptor is
/// beyond the limit, #GP, #DF, shutdown).
pub const NO_IDT: &str = "
.globl _start
_start: nop
wide:   nop
        mov $0x10, %eax
        out %al, $0xf4
        hlt
";

/// Every NMI returns at once.
pub const CLEAN: &str = "
.include \"kernel.inc\"
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate NMI, nmi_entry, ist=1
ready:
    nop
    nop
    nop
last:
    succeed \"done\"
nmi_entry:
    iretq
";

/// Where [`CLEAN`] finds what it includes.
pub const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/include");

/// A sweep of what lies between `ready` and `last` of [`CLEAN`], or of what was made from it.
pub fn window(image: &Path) -> [&str; 8] {
    let image = word(image);
    [
        "sweep", image, "-I", INCLUDE, "--from", "ready", "--to", "last",
    ]
}

/// Writes a source.
pub fn source(folder: &TempDir, text: &str) -> PathBuf {
    file(folder, "program.S", text)
}

/// A report in its three forms.
#[derive(Clone, PartialEq, Eq)]
pub struct Forms {
    pub text: String,
    pub json: String,
    pub html: String,
}

/// Runs `words`, and reads what they report. It ends with a report's exit code.
#[track_caller]
pub fn forms(words: &[&str]) -> Forms {
    let folder = crate::support::folder();
    let (json, html) = (folder.path().join("r.json"), folder.path().join("r.html"));
    let mut all = words.to_vec();
    all.extend(["--json", word(&json), "--html", word(&html)]);
    let o = iretrace(&all);
    assert!(matches!(o.code, Some(0 | 100 | 103)), "{o:#?}");
    let read = |path| std::fs::read_to_string(path).expect("written");
    Forms {
        text: o.stdout,
        json: read(json),
        html: read(html),
    }
}

impl Forms {
    /// The same bytes, in every form.
    #[track_caller]
    pub fn are(&self, other: &Self) {
        assert_eq!(self.text, other.text);
        assert!(self.json == other.json, "the JSON differs");
        assert!(self.html == other.html, "the page differs");
    }
}

/// What an undisturbed, undivided sweep of [`LONG`] reports.
pub fn undivided() -> &'static Forms {
    static FORMS: OnceLock<Forms> = OnceLock::new();
    FORMS.get_or_init(|| forms(&LONG))
}

/// [`LONG`] with more words.
pub fn long<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut words: Vec<&str> = LONG.to_vec();
    words.extend(more);
    words
}

/// Runs [`LONG`] with more words.
pub fn run_long(more: &[&str]) -> Outcome {
    iretrace(long(more))
}

/// Two boundaries for each turn, few instructions, and no IDT: linked, so that nothing is assembled.
pub fn linked_loop(folder: &TempDir, turns: u32) -> PathBuf {
    let source = format!(
        "
.globl _start
_start: mov ${turns}, %ecx
1:      dec %ecx
        jnz 1b
        mov $0x10, %eax
        out %al, $0xf4
"
    );
    let script = "ENTRY(_start) SECTIONS { . = 0x100000; .text : { *(.text) } }";
    link(folder, &source, script)
}
