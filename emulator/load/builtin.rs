//! Built-in programs: the sources in `programs/`, embedded by the build script.

use super::error::{LoadError, printable};
use crate::suggest::Nearest;

/// A program that is part of iretrace; `@NAME` runs it from anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Builtin {
    /// Its file's name, without `.S`.
    pub name: &'static str,
    /// It shows what one check finds, or does not.
    pub check: bool,
    /// Its source.
    pub source: &'static str,
    /// The first line of its header comment, without its name.
    pub summary: &'static str,
}

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
                .filter_map(|e| e.unwrap().file_name().into_string().ok())
                .filter_map(|n| n.strip_suffix(extension).map(str::to_owned))
                .collect();
            names.sort();
            names
        };
        let of = |check: bool| BUILTIN.iter().filter(move |b| b.check == check);
        let programs: Vec<&str> = of(false).map(|b| b.name).collect();
        assert_eq!(programs, names(folder, ".S"));
        let checks: Vec<&str> = of(true).map(|b| b.name).collect();
        let with_twins: Vec<String> = names(&format!("{folder}/checks"), ".S")
            .into_iter()
            .flat_map(|n| [n.clone(), n + ".ok"])
            .collect();
        assert_eq!(checks, with_twins);
        let includes: Vec<&str> = INCLUDES.iter().map(|i| i.name).collect();
        assert_eq!(includes, names(&format!("{folder}/include"), ""));
        assert!(includes.contains(&"program.ld"));
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
