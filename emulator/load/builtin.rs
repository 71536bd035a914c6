//! Built-in programs: the sources in `programs/`, embedded by the build script.

use super::error::{LoadError, printable};
use crate::suggest::Nearest;

/// What a built-in program is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// The kernel thread of 2010, and the handlers that came of it.
    Thread,
    /// What the processor does, without a bug.
    Basics,
    /// What each rule of the checks finds.
    Checks,
    /// Bugs of kernels' entry code.
    Bugs,
    /// What is measured.
    Benchmarks,
}

impl Group {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 5] = [
        Self::Thread,
        Self::Basics,
        Self::Bugs,
        Self::Checks,
        Self::Benchmarks,
    ];

    /// What its programs are, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Thread => {
                "The thread: faults in NMI handlers, and handlers that NMIs may interrupt"
            }
            Self::Basics => "Basics: what the processor does",
            Self::Checks => "Checks: what each rule finds",
            Self::Bugs => "Bugs: fifteen years of entry code",
            Self::Benchmarks => "Benchmarks",
        }
    }
}

/// A program that is part of iretrace; `@NAME` runs it from anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Builtin {
    /// Its file's name, without `.S`.
    pub name: &'static str,
    /// Where it belongs.
    pub group: Group,
    /// The name of its twin, which does the same without the mistake.
    pub twin: Option<&'static str>,
    /// Its source.
    pub source: &'static str,
    /// The first line of its header comment, without its name.
    pub summary: &'static str,
}

impl Builtin {
    /// The comment at the top of its source, without comment marks.
    pub fn header(&self) -> impl Iterator<Item = &'static str> {
        self.source
            .lines()
            .map_while(|line| line.strip_prefix('#'))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
    }

    /// The commands to try: the lines under [`TRY`] at the end of its header.
    pub fn tries(&self) -> impl Iterator<Item = &'static str> {
        let below = self.header().skip_while(|line| *line != TRY).skip(1);
        below.map(str::trim).filter(|line| !line.is_empty())
    }
}

/// The line of a header under which its commands are.
pub const TRY: &str = "Try:";

/// A file that programs include.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Include {
    /// Its path below `programs/include`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// All built-in programs, by name.
#[must_use]
pub const fn list() -> &'static [Builtin] {
    BUILTIN
}

/// The files that built-in programs, and any other source, can `.include`.
#[must_use]
pub const fn includes() -> &'static [Include] {
    INCLUDES
}

/// The program that is called `name` (without `@`).
///
/// # Errors
/// [`LoadError::UnknownBuiltin`] with the most similar name.
pub fn find(name: &str) -> Result<&'static Builtin, LoadError> {
    if let Some(b) = BUILTIN.iter().find(|b| b.name == name) {
        return Ok(b);
    }
    let mut nearest = Nearest::to(name);
    BUILTIN.iter().for_each(|b| nearest.offer(b.name));
    Err(LoadError::UnknownBuiltin {
        name: printable(name),
        nearest: nearest.into_best(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_one_line_with_a_mend() {
        let e = find("no\nsuch").unwrap_err().to_string();
        assert_eq!(
            e,
            "@no\\nsuch: no such built-in program; 'iretrace programs' lists them"
        );
    }

    #[test]
    fn every_source_in_programs_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
        let names = |folder: &str, extension: &str| -> Vec<String> {
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|e| e.unwrap())
                .filter(|e| e.file_type().unwrap().is_file())
                .filter_map(|e| e.file_name().into_string().ok())
                .filter_map(|n| n.strip_suffix(extension).map(str::to_owned))
                .collect();
            names.sort();
            names
        };
        let folders = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
        // What runs below a Linux kernel is no program by itself.
        let other = ["include", "linux"];
        let folders = folders.filter(|e| {
            e.file_type().unwrap().is_dir() && !other.iter().any(|o| e.file_name() == *o)
        });
        let mut all = names(folder, ".S");
        for f in folders {
            all.extend(names(f.path().to_str().unwrap(), ".S"));
        }
        let programs = BUILTIN.iter().filter(|b| !b.name.ends_with(".ok"));
        let mut embedded: Vec<&str> = programs.map(|b| b.name).collect();
        embedded.sort_unstable();
        all.sort();
        assert_eq!(embedded, all);
        let includes: Vec<&str> = INCLUDES.iter().map(|i| i.name).collect();
        assert_eq!(includes, names(&format!("{folder}/include"), ""));
        assert!(includes.contains(&"program.ld"));
    }

    #[test]
    fn each_twin_is_its_program_s_with_one_definition_more() {
        for b in BUILTIN {
            let Some(twin) = b.twin else {
                let both = matches!(b.group, Group::Checks | Group::Bugs);
                assert!(!both || b.name.ends_with(".ok"), "{} has no twin", b.name);
                continue;
            };
            let twin = find(twin).unwrap();
            assert_eq!((twin.group, twin.twin), (b.group, None));
            let head = twin.source.strip_suffix(b.source).unwrap();
            assert!(head.contains("\nMENDED = 1\n"), "{head}");
        }
    }

    #[test]
    fn every_group_is_listed() {
        for b in BUILTIN {
            assert!(Group::ALL.contains(&b.group));
        }
        for group in Group::ALL {
            assert!(BUILTIN.iter().any(|b| b.group == group), "{group:?}");
        }
    }

    #[test]
    fn names_are_sorted_and_summaries_are_there() {
        assert!(BUILTIN.is_sorted_by(|a, b| a.name < b.name));
        for b in BUILTIN {
            assert!(!b.summary.is_empty(), "{} has no header comment", b.name);
            assert_eq!(find(b.name).unwrap().source, b.source);
        }
    }
}
