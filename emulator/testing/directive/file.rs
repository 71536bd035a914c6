//! Files of tests: which directives belong to which test.

use std::path::{Path, PathBuf};

use super::error::{DirectiveError, unknown};
use super::line::{UNTERMINATED, Word, words};
use super::table::DIRECTIVES;
use super::toml;
use crate::load::error::printable;
use crate::testing::code::{Code, Program};
use crate::testing::error::TestError;

/// Where a directive stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    /// The line, from 1.
    pub line: usize,
    /// The column of its first word, from 1.
    pub column: usize,
}

/// A directive with its words; the first is one of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Directive {
    pub(super) line: usize,
    pub(super) words: Vec<Word>,
    /// Everything behind the first word.
    pub(super) rest: String,
}

impl Directive {
    pub(super) fn name(&self) -> &str {
        &self.words[0].text
    }

    pub(super) fn arguments(&self) -> &[Word] {
        &self.words[1..]
    }
}

/// One test of a file, as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestText {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub spot: Spot,
    pub(super) directives: Vec<Directive>,
}

/// A file of tests.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// The file.
    pub path: PathBuf,
    /// As messages name it.
    pub shown: String,
    /// The tests, in order.
    pub tests: Vec<TestText>,
    /// What is of the whole file.
    own: Vec<Directive>,
    /// What is in it, if it is a source itself.
    source: Option<String>,
}

/// Whether a file that is met in a folder is one of tests: a source with a directive, or
/// `*.test.toml`. A source that cannot be read may be one: reading it says why.
#[must_use]
pub fn is_test_file(path: &Path) -> bool {
    let name = path.to_string_lossy();
    if name.ends_with(".test.toml") {
        return true;
    }
    if !crate::load::detect::is_source_name(&name) {
        return false;
    }
    crate::load::image::read(path).map_or(true, |b| {
        String::from_utf8_lossy(&b)
            .lines()
            .any(|l| directive_of(l).is_some())
    })
}

/// What follows `#@` or `//@`, and its column.
fn directive_of(line: &str) -> Option<(&str, usize)> {
    let trimmed = line.trim_start();
    let indent = line.chars().count() - trimmed.chars().count();
    for mark in ["#@", "//@"] {
        if let Some(rest) = trimmed.strip_prefix(mark) {
            return Some((rest, indent + mark.len() + 1));
        }
    }
    None
}

impl TestFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, or a directive that there is not.
    pub fn read(path: &Path) -> Result<Self, TestError> {
        let bytes = crate::load::image::read(path)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self::parse(path, text)
    }

    /// Reads `text`, the content of `path`.
    ///
    /// # Errors
    /// A directive that there is not.
    pub fn parse(path: &Path, text: String) -> Result<Self, TestError> {
        let shown = printable(&path.to_string_lossy());
        let is_toml = path.extension().is_some_and(|e| e == "toml");
        let mut file = Self {
            path: path.to_path_buf(),
            shown,
            tests: Vec::new(),
            own: Vec::new(),
            source: None,
        };
        if is_toml {
            toml::read(&mut file, &text)?;
        } else {
            for (n, line) in text.lines().enumerate() {
                if let Some((rest, column)) = directive_of(line) {
                    let words = words(rest, column)
                        .map_err(|open| file.error(n + 1, open, UNTERMINATED))?;
                    file.add(n + 1, words, rest)?;
                }
            }
            file.source = Some(text);
        }
        if file.tests.is_empty() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            file.begin(stem.trim_end_matches(".test"), Spot { line: 1, column: 1 })?;
        }
        Ok(file)
    }

    pub(super) fn error(
        &self,
        line: usize,
        column: usize,
        problem: impl Into<String>,
    ) -> DirectiveError {
        DirectiveError {
            file: self.shown.clone(),
            line,
            column,
            problem: problem.into(),
        }
    }

    /// Begins a test.
    pub(super) fn begin(&mut self, name: &str, spot: Spot) -> Result<(), DirectiveError> {
        let name = printable(&name.split_whitespace().collect::<Vec<_>>().join(" "));
        if name.is_empty() {
            return Err(self.error(spot.line, spot.column, "a test needs a name"));
        }
        if self.tests.iter().any(|t| t.name == name) {
            let problem = format!("a second test is called '{name}'");
            return Err(self.error(spot.line, spot.column, problem));
        }
        self.tests.push(TestText {
            name,
            spot,
            directives: Vec::new(),
        });
        Ok(())
    }

    /// Adds one directive.
    pub(super) fn add(
        &mut self,
        line: usize,
        words: Vec<Word>,
        text: &str,
    ) -> Result<(), DirectiveError> {
        let Some(first) = words.first().cloned() else {
            return Ok(());
        };
        let Some(row) = DIRECTIVES.iter().find(|r| r.name == first.text) else {
            let names = DIRECTIVES.iter().map(|r| r.name);
            let problem = unknown("directive", &first.text, names);
            return Err(self.error(line, first.column, problem));
        };
        let rest = text
            .trim_start()
            .strip_prefix(row.name)
            .unwrap_or_default()
            .trim()
            .to_owned();
        if row.name == "test" {
            let column = first.column;
            return self.begin(&rest, Spot { line, column });
        }
        let directive = Directive { line, words, rest };
        match self.tests.last_mut() {
            Some(_) if row.of_file => {
                let problem = format!(
                    "'{}' is of the whole file: write it before the first test",
                    row.name
                );
                Err(self.error(line, first.column, problem))
            }
            Some(test) => {
                test.directives.push(directive);
                Ok(())
            }
            None => {
                self.own.push(directive);
                Ok(())
            }
        }
    }

    /// The directives of a test: those of all, then its own.
    pub(super) fn directives<'a>(
        &'a self,
        test: &'a TestText,
    ) -> impl Iterator<Item = &'a Directive> {
        let own = self.own.iter();
        let of_all = own.filter(|d| DIRECTIVES.iter().any(|r| r.name == d.name() && !r.of_file));
        of_all.chain(&test.directives)
    }

    /// The folder that paths in it are relative to.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The code that it tests.
    ///
    /// # Errors
    /// A directive that cannot be understood.
    pub fn code(&self) -> Result<Code, TestError> {
        let mut code = match &self.source {
            Some(text) => {
                let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                Code::default().source_in(&printable(&name), text, self.folder())
            }
            None => Code::default(),
        };
        let mut elf = None;
        for d in &self.own {
            let at = |w: &Word, problem: String| self.error(d.line, w.column, problem);
            let number = |w: &Word| {
                super::line::number(&w.text)
                    .ok_or_else(|| at(w, format!("'{}' is no number", w.text)))
            };
            match d.name() {
                "code" => {
                    for w in d.arguments() {
                        code = code.and(self.folder().join(&w.text));
                    }
                }
                "elf" => match d.arguments() {
                    [w] => {
                        let spot = Spot {
                            line: d.line,
                            column: d.words[0].column,
                        };
                        elf = Some((self.folder().join(&w.text), spot));
                    }
                    _ => return Err(at(&d.words[0], "write elf PATH".to_owned()).into()),
                },
                "include" => {
                    for w in d.arguments() {
                        code = code.include(self.folder().join(&w.text));
                    }
                }
                "base" => match d.arguments() {
                    [w] => code = code.base(number(w)?),
                    _ => return Err(at(&d.words[0], "write base ADDRESS".to_owned()).into()),
                },
                "stubs" => code = code.stubs(d.arguments().iter().map(|w| w.text.as_str())),
                "root" => {
                    for w in d.arguments() {
                        code = code.root(&w.text);
                    }
                }
                "define" => {
                    for w in d.arguments() {
                        let Some((name, value)) = w.option() else {
                            return Err(at(w, "write NAME=VALUE".to_owned()).into());
                        };
                        code = code.define(name, number(&value)?);
                    }
                }
                _ => {}
            }
        }
        let Some((path, spot)) = elf else {
            return Ok(code);
        };
        const BUILDS: [&str; 6] = ["code", "include", "base", "stubs", "root", "define"];
        let unused = self.own.iter().find(|d| BUILDS.contains(&d.name()));
        if self.source.is_some() || unused.is_some() {
            let other = unused.map_or("this source", |d| d.name());
            let problem = format!("elf is a whole program: leave {other} out, or elf");
            return Err(self.error(spot.line, spot.column, problem).into());
        }
        Ok(Code::elf(path))
    }

    /// Assembles and links the code.
    ///
    /// # Errors
    /// As [`code`](Self::code), and what the tools say.
    pub fn program(&self) -> Result<Program, TestError> {
        self.code()?.build()
    }
}
