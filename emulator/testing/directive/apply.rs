//! Directives become a case.

use std::path::PathBuf;

use super::error::{DirectiveError, unknown};
use super::file::{TestFile, TestText};
use super::line;
use super::reader::Reader;
use crate::arch::{CpuModel, Vendor};
use crate::schedule::Injection;
use crate::testing::arrange::{Arrange, Gate};
use crate::testing::case::{Case, Until};
use crate::testing::code::Program;
use crate::testing::context::Context;
use crate::testing::raise::Raise;
use crate::testing::stub::Stub;

/// A test that can be run.
#[derive(Debug)]
pub struct Ready {
    /// What is run.
    pub case: Case,
    /// The file of its golden trace.
    pub golden: Option<PathBuf>,
    /// It must fail, with these texts in its message.
    pub fails: Vec<String>,
}

/// Directives that say nothing without a word.
const SOME: [&str; 3] = ["quiet", "machine", "register"];

impl TestFile {
    /// Understands the directives of `test`, one of this file's, for `program`.
    ///
    /// # Errors
    /// The first one that cannot be understood, with its place.
    pub fn ready(&self, test: &TestText, program: &Program) -> Result<Ready, DirectiveError> {
        let mut ready = Ready {
            case: Case::new(program).named(&test.name),
            golden: None,
            fails: Vec::new(),
        };
        for directive in self.directives(test) {
            let reader = Reader {
                file: self,
                program,
                directive,
            };
            match directive.name() {
                "golden" if directive.arguments().len() > 1 => {
                    return Err(reader.usage("golden [FILE]"));
                }
                "golden" => ready.golden = Some(self.golden(test, &reader)?),
                "fails" => match directive.arguments() {
                    [text] => ready.fails.push(text.text.clone()),
                    _ => return Err(reader.usage("fails \"TEXT\"")),
                },
                _ => ready.case = reader.apply(ready.case)?,
            }
        }
        Ok(ready)
    }

    fn golden(&self, test: &TestText, reader: &Reader<'_>) -> Result<PathBuf, DirectiveError> {
        if let Some(word) = reader.arguments().first() {
            return Ok(self.folder().join(&word.text));
        }
        let name = golden_name(test);
        let others = self.tests.iter().filter(|t| t.name != test.name);
        if let Some(other) = others.into_iter().find(|t| golden_name(t) == name) {
            let problem = format!(
                "the golden trace of '{}' would be that of '{}': write golden FILE",
                test.name, other.name
            );
            return Err(reader.at(&reader.directive.words[0], problem));
        }
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(self.folder().join(format!("{stem}.{name}.trace")))
    }
}

/// A test's name, as a part of a file's.
fn golden_name(test: &TestText) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    test.name.chars().map(plain).take(80).collect()
}

impl Reader<'_> {
    fn apply(&self, case: Case) -> Result<Case, DirectiveError> {
        let arguments = self.arguments();
        let name = self.directive.name();
        let usage = || {
            let row = super::table::DIRECTIVES.iter().find(|r| r.name == name);
            self.usage(&format!("{name} {}", row.map_or("", |r| r.usage)))
        };
        let one = || match arguments {
            [w] => Ok(w),
            _ => Err(usage()),
        };
        if arguments.is_empty() && SOME.contains(&name) {
            return Err(usage());
        }
        Ok(match name {
            "cpu" => {
                let word = one()?;
                case.cpu(CpuModel::of(match word.text.as_str() {
                    "intel" => Vendor::Intel,
                    "amd" => Vendor::Amd,
                    other => {
                        let problem = unknown("vendor", other, ["intel", "amd"]);
                        return Err(self.at(word, problem));
                    }
                }))
            }
            "gate" => case.gate(self.gate(&usage)?),
            "quiet" => {
                let mut case = case;
                for w in arguments {
                    case = case.quiet(self.vector(w)?);
                }
                case
            }
            "stack" => match arguments {
                [index, place] => {
                    let n = u8::try_from(self.number(index)?).unwrap_or(u8::MAX);
                    if n > 7 {
                        return Err(self.at(
                            index,
                            "write 0 for RSP0, 1 to 7 for IST1 to IST7".to_owned(),
                        ));
                    }
                    case.stack(n, self.place(place)?)
                }
                _ => return Err(usage()),
            },
            "machine" => {
                let mut case = case;
                for w in arguments {
                    let (register, value) = self.register(w)?;
                    case = case.machine_register(register, self.value(&value)?);
                }
                case
            }
            "syscall-entry" => case.syscall_entry(self.place(one()?)?),
            "identity-map" => match arguments {
                [] => case.identity_map(),
                _ => return Err(usage()),
            },
            "map" | "lazy" => {
                let [place, size, rights @ ..] = arguments else {
                    return Err(usage());
                };
                let rights = self.rights(rights)?;
                let (place, size) = (self.place(place)?, self.number(size)?);
                case.arrange(if name == "map" {
                    Arrange::Map(place, size, rights)
                } else {
                    Arrange::Lazy(place, size, rights)
                })
            }
            "unmap" => match arguments {
                [place] => case.unmap(self.place(place)?, 1),
                [place, size] => case.unmap(self.place(place)?, self.number(size)?),
                _ => return Err(usage()),
            },
            "memory" => {
                let (place, bytes) = self.values(arguments, &usage)?;
                case.write(place, &bytes)
            }
            "context" => self.context(case, &usage)?,
            "inside" => {
                let Some((vector, options)) = arguments.split_first() else {
                    return Err(usage());
                };
                let mut at = None;
                for w in options {
                    at = Some(self.place(&self.option(w, &["at"])?.1)?);
                }
                let context = case.context.clone().inside(self.vector(vector)?, at);
                case.context(context)
            }
            "register" => {
                let mut context = case.context.clone();
                for w in arguments {
                    let (register, value) = self.register(w)?;
                    context = context.register(register, self.value(&value)?);
                }
                case.context(context)
            }
            "raise" => {
                let word = one()?;
                case.raise(match word.text.as_str() {
                    "nothing" => Raise::nothing(),
                    text => Raise::from(&self.shot(text, word)?),
                })
            }
            "inject" => {
                let Some(first) = arguments.first() else {
                    return Err(usage());
                };
                let injection = self.directive.rest.parse::<Injection>();
                case.inject(injection.map_err(|e| self.at(first, e.to_string()))?)
            }
            "stub" => self.stub_options(case, &usage)?,
            "until" => case.until(self.until(&usage)?),
            "limit" => case.limit(self.number(one()?)?),
            "nmi-body" => case.nmi_body(self.place(one()?)?),
            "expect" => {
                let mut case = case;
                for e in self.expectations()? {
                    case = case.expect(e);
                }
                case
            }
            // `test` begins one; what is of the file is read there.
            _ => case,
        })
    }

    fn gate(&self, usage: &dyn Fn() -> DirectiveError) -> Result<Gate, DirectiveError> {
        let [vector, place, options @ ..] = self.arguments() else {
            return Err(usage());
        };
        let mut gate = Gate::new(self.vector(vector)?, self.place(place)?);
        for w in options {
            if w.text == "trap" {
                gate.trap = true;
                continue;
            }
            let (name, value) = self.option(w, &["ist", "dpl", "trap"])?;
            let n = self.number(&value)?;
            let most = if name == "ist" { 7 } else { 3 };
            if n > most {
                return Err(self.at(&value, format!("{name} is at most {most}")));
            }
            if name == "ist" {
                gate.ist = n as u8;
            } else {
                gate.dpl = n as u8;
            }
        }
        Ok(gate)
    }

    fn context(
        &self,
        case: Case,
        usage: &dyn Fn() -> DirectiveError,
    ) -> Result<Case, DirectiveError> {
        const OPTIONS: [&str; 4] = ["at", "flags", "gs", "without-gs"];
        let Some((mode, options)) = self.arguments().split_first() else {
            return Err(usage());
        };
        let mut context = match mode.text.as_str() {
            "kernel" => Context::kernel(),
            "user" => Context::user(),
            "syscall-gap" => Context::syscall_gap(),
            other => {
                let problem = unknown("context", other, ["kernel", "user", "syscall-gap"]);
                return Err(self.at(mode, problem));
            }
        };
        for w in options {
            if w.text == "without-gs" {
                context = context.without_gs();
                continue;
            }
            let (name, value) = self.option(w, &OPTIONS)?;
            context = match name {
                "at" => context.at(self.place(&value)?),
                "flags" => context.flags(self.number(&value)?),
                "gs" => {
                    let bases = value.text.split_once(',').and_then(|(user, kernel)| {
                        Some((line::number(user)?, line::number(kernel)?))
                    });
                    let Some((user, kernel)) = bases else {
                        return Err(self.at(&value, "write gs=USER,KERNEL".to_owned()));
                    };
                    context.gs(user, kernel)
                }
                _ => return Err(self.at(w, "write without-gs".to_owned())),
            };
        }
        Ok(case.context(context))
    }

    fn stub_options(
        &self,
        case: Case,
        usage: &dyn Fn() -> DirectiveError,
    ) -> Result<Case, DirectiveError> {
        let Some((name, options)) = self.arguments().split_first() else {
            return Err(usage());
        };
        let name = self.stub(name)?;
        let mut stub = Stub::default();
        for w in options {
            if w.text == "preserves" {
                stub.clobbers = false;
                continue;
            }
            let (option, value) = self.option(w, &["returns", "cr2", "preserves"])?;
            match (option, value.text.as_str()) {
                ("returns", "rdi") => stub.returns_first = true,
                ("returns", _) => stub.returns = self.value(&value)?,
                ("cr2", "kept") => stub.clobbers_cr2 = Some(false),
                ("cr2", "clobbered") => stub.clobbers_cr2 = Some(true),
                ("cr2", other) => {
                    let problem = unknown("state", other, ["kept", "clobbered"]);
                    return Err(self.at(&value, problem));
                }
                _ => return Err(usage()),
            }
        }
        Ok(case.stub(&name, stub))
    }

    fn until(&self, usage: &dyn Fn() -> DirectiveError) -> Result<Until, DirectiveError> {
        match self.arguments() {
            [w] if w.text == "return" => Ok(Until::Return),
            [w] if w.text == "stop" => Ok(Until::Stop),
            [w, place] if w.text == "place" => Ok(Until::Place(self.place(place)?)),
            [w, name] if w.text == "call" => Ok(Until::Call(self.stub(name)?)),
            [w, ..] if !["return", "stop", "place", "call"].contains(&w.text.as_str()) => {
                let problem = unknown("end", &w.text, ["return", "stop", "place", "call"]);
                Err(self.at(w, problem))
            }
            _ => Err(usage()),
        }
    }
}
