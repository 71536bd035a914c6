//! The words of one directive, read as numbers, places, vectors and options.

use super::error::{DirectiveError, suggestion, unknown};
use super::file::{Directive, TestFile};
use super::line::{self, Word};
use crate::arch::Vector;
use crate::schedule::parse_vector;
use crate::sweep::{Shot, SweepError};
use crate::testing::arrange::Rights;
use crate::testing::code::Program;
use crate::testing::place::Place;
use crate::testing::register::Register;

/// One directive, with what it needs to be understood.
pub(super) struct Reader<'a> {
    pub(super) file: &'a TestFile,
    pub(super) program: &'a Program,
    pub(super) directive: &'a Directive,
}

impl Reader<'_> {
    pub(super) fn arguments(&self) -> &[Word] {
        self.directive.arguments()
    }

    pub(super) fn at(&self, word: &Word, problem: String) -> DirectiveError {
        self.file.error(self.directive.line, word.column, problem)
    }

    pub(super) fn usage(&self, usage: &str) -> DirectiveError {
        self.at(&self.directive.words[0], format!("write {usage}"))
    }

    /// What follows `word` in the line.
    pub(super) fn rest_after(&self, word: &str) -> String {
        let rest = &self.directive.rest;
        rest.strip_prefix(word).unwrap_or(rest).trim().to_owned()
    }

    pub(super) fn number(&self, word: &Word) -> Result<u64, DirectiveError> {
        line::number(&word.text).ok_or_else(|| {
            self.at(
                word,
                format!("'{}' is no number: write 12 or 0x1f", word.text),
            )
        })
    }

    /// A number, or the address of a place.
    pub(super) fn value(&self, word: &Word) -> Result<u64, DirectiveError> {
        if let Some(n) = line::number(&word.text) {
            return Ok(n);
        }
        self.resolved(word)
    }

    fn resolved(&self, word: &Word) -> Result<u64, DirectiveError> {
        let place = Place::from(word.text.as_str());
        let found = self.program.resolve(self.directive.name(), &place);
        found
            .map(|at| at.0)
            .map_err(|e| self.at(word, e.to_string()))
    }

    pub(super) fn place(&self, word: &Word) -> Result<Place, DirectiveError> {
        self.resolved(word)?;
        Ok(Place::from(word.text.as_str()))
    }

    /// Events that arrive together, with places that are there.
    pub(super) fn shot(&self, text: &str, word: &Word) -> Result<Shot, DirectiveError> {
        let shot: Shot = text
            .parse()
            .map_err(|e: SweepError| self.at(word, e.to_string()))?;
        shot.resolve(self.program)
            .map_err(|e| self.at(word, e.to_string()))?;
        Ok(shot)
    }

    pub(super) fn vector(&self, word: &Word) -> Result<Vector, DirectiveError> {
        const NAMES: [&str; 20] = [
            "NMI",
            "DE",
            "DB",
            "BP",
            "OF",
            "BR",
            "UD",
            "NM",
            "DF",
            "TS",
            "NP",
            "SS",
            "GP",
            "PF",
            "MF",
            "AC",
            "MC",
            "XM",
            "page-fault",
            "general-protection",
        ];
        parse_vector(&word.text).ok_or_else(|| {
            let hint = suggestion(&word.text, NAMES);
            self.at(
                word,
                format!("no such vector '{}': {hint} (or a number: 0x21)", word.text),
            )
        })
    }

    /// A stub's name.
    pub(super) fn stub(&self, word: &Word) -> Result<String, DirectiveError> {
        let stubs = self.program.stubs();
        if self.program.has_stub(&word.text) {
            return Ok(word.text.clone());
        }
        if stubs.is_empty() {
            let problem = format!(
                "no such stub '{}': the code leaves nothing undefined",
                word.text
            );
            return Err(self.at(word, problem));
        }
        let names: Vec<&str> = stubs.iter().map(|s| s.0.as_str()).collect();
        Err(self.at(word, unknown("stub", &word.text, names)))
    }

    /// `NAME=VALUE`, with one of these names.
    pub(super) fn option<'w>(
        &self,
        word: &'w Word,
        names: &[&str],
    ) -> Result<(&'w str, Word), DirectiveError> {
        let name = word.option().map_or(word.text.as_str(), |o| o.0);
        if !names.contains(&name) {
            return Err(self.at(word, unknown("option", name, names.iter().copied())));
        }
        word.option()
            .ok_or_else(|| self.at(word, format!("write {name}=VALUE")))
    }

    /// `REGISTER=VALUE`.
    pub(super) fn register(&self, word: &Word) -> Result<(Register, Word), DirectiveError> {
        let Some((name, value)) = word.option() else {
            return Err(self.at(word, "write REGISTER=VALUE".to_owned()));
        };
        let register = name.parse().map_err(|e: String| self.at(word, e))?;
        Ok((register, value))
    }

    /// `PLACE u64 VALUE...`: the place and the bytes.
    pub(super) fn values(
        &self,
        words: &[Word],
        usage: &dyn Fn() -> DirectiveError,
    ) -> Result<(Place, Vec<u8>), DirectiveError> {
        let [place, size, values @ ..] = words else {
            return Err(usage());
        };
        if values.is_empty() {
            return Err(usage());
        }
        const SIZES: [(&str, usize); 4] = [("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8)];
        let Some((_, bytes)) = SIZES.iter().find(|s| s.0 == size.text) else {
            let names = SIZES.map(|s| s.0);
            return Err(self.at(size, unknown("size", &size.text, names)));
        };
        let mut all = Vec::new();
        for w in values {
            let value = self.value(w)?;
            if *bytes < 8 && value >> (8 * bytes) != 0 {
                return Err(self.at(w, format!("does not fit in {}", size.text)));
            }
            all.extend_from_slice(&value.to_le_bytes()[..*bytes]);
        }
        Ok((self.place(place)?, all))
    }

    /// The words, each of which must be one of the `known` flags.
    pub(super) fn flags<'w>(
        &self,
        words: &'w [Word],
        known: &[&str],
    ) -> Result<Vec<&'w str>, DirectiveError> {
        words
            .iter()
            .map(|w| {
                if known.contains(&w.text.as_str()) {
                    Ok(w.text.as_str())
                } else {
                    Err(self.at(w, unknown("option", &w.text, known.iter().copied())))
                }
            })
            .collect()
    }

    pub(super) fn rights(&self, words: &[Word]) -> Result<Rights, DirectiveError> {
        let flags = self.flags(words, &["user", "read-only", "execute"])?;
        Ok(Rights {
            user: flags.contains(&"user"),
            write: !flags.contains(&"read-only"),
            execute: flags.contains(&"execute"),
        })
    }
}
