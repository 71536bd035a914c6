//! `expect`: what must hold.

use super::error::{DirectiveError, unknown};
use super::line::Word;
use super::reader::Reader;
use super::table::EXPECTATIONS;
use crate::check::{RuleId, Severity};
use crate::testing::defect::DefectKind;
use crate::testing::expect::{
    ARGUMENTS, EndWanted, Expectation, FAULT_AND_NMI, FrameWanted, Restored,
};

impl Reader<'_> {
    /// The expectations that the words after `expect` mean.
    pub(super) fn expectations(&self) -> Result<Vec<Expectation>, DirectiveError> {
        let Some((first, rest)) = self.arguments().split_first() else {
            return Err(self.usage("expect sound, expect returns, expect call NAME, ..."));
        };
        let Some(row) = EXPECTATIONS.iter().find(|r| r.name == first.text) else {
            let names = EXPECTATIONS.iter().map(|r| r.name);
            return Err(self.at(first, unknown("expectation", &first.text, names)));
        };
        let usage = || self.usage(&format!("expect {} {}", row.name, row.usage));
        let one = || match rest {
            [w] => Ok(w),
            _ => Err(usage()),
        };
        let none = |e: Expectation| match rest {
            [] => Ok(e),
            [w, ..] => Err(self.at(w, format!("nothing follows 'expect {}'", row.name))),
        };
        let ends = Expectation::Ends;
        let expectation = match row.name {
            "sound" => none(Expectation::Sound)?,
            "no" => {
                let word = one()?;
                let found = DefectKind::ALL.into_iter().find(|k| k.name() == word.text);
                let names = DefectKind::ALL.map(DefectKind::name);
                Expectation::No(
                    found.ok_or_else(|| self.at(word, unknown("mistake", &word.text, names)))?,
                )
            }
            "returns" => none(ends(EndWanted::Returned))?,
            "returns-to" => ends(EndWanted::ReturnedTo(self.place(one()?)?)),
            "reaches" => ends(EndWanted::Reached(self.place(one()?)?)),
            "stops" => none(ends(EndWanted::Stopped))?,
            "exit" => {
                let word = one()?;
                let value = u32::try_from(self.number(word)?);
                ends(EndWanted::Exit(value.map_err(|_| {
                    self.at(word, "has more than 32 bits".to_owned())
                })?))
            }
            "halts" => none(ends(EndWanted::Halted))?,
            "triple-fault" => none(ends(EndWanted::TripleFault))?,
            "stray" => ends(EndWanted::Stray(self.vector(one()?)?)),
            "restored" => Expectation::Restored(self.restored(rest)?),
            "frame" => Expectation::Frame(self.frame(rest)?),
            "aligned" => {
                let places = rest.iter().map(|w| self.place(w));
                Expectation::Aligned(places.collect::<Result<_, _>>()?)
            }
            "call" => self.call(rest)?,
            "writes-within" => {
                let mut ranges = Vec::new();
                for w in rest {
                    let Some((place, size)) = w.text.rsplit_once(',') else {
                        return Err(self.at(w, "write PLACE,SIZE: counters,64".to_owned()));
                    };
                    let part = |text: &str, column| Word {
                        text: text.to_owned(),
                        column,
                    };
                    let place_word = part(place, w.column);
                    let size = part(size, w.column + place.chars().count() + 1);
                    ranges.push((self.place(&place_word)?, self.number(&size)?));
                }
                Expectation::WritesWithin(ranges)
            }
            "no-findings" => match rest {
                [] => Expectation::NoFindings(Severity::Error),
                _ => {
                    let word = one()?;
                    let found = Severity::ALL.into_iter().find(|s| s.name() == word.text);
                    let names = Severity::ALL.map(Severity::name);
                    Expectation::NoFindings(
                        found
                            .ok_or_else(|| self.at(word, unknown("severity", &word.text, names)))?,
                    )
                }
            },
            "finding" => self.finding(rest, &usage)?,
            "nmi" if rest.is_empty() => return Err(usage()),
            "nmi" => self.nmi(rest)?,
            "instructions" => Expectation::Instructions(self.number(one()?)?),
            "stack" => Expectation::StackDepth(self.number(one()?)?),
            "register" => return self.registers(rest, &usage),
            "memory" => {
                let (place, bytes) = self.values(rest, &usage)?;
                Expectation::Memory(place, bytes)
            }
            "console" if rest.is_empty() => return Err(usage()),
            "console" => Expectation::Console(match rest {
                [w] => w.text.clone(),
                _ => self.rest_after(&first.text),
            }),
            "survives" => {
                let word = one()?;
                let text = match word.text.as_str() {
                    "fault-with-nmi" => FAULT_AND_NMI,
                    text => text,
                };
                Expectation::Survives(self.shot(text, word)?)
            }
            other => unreachable!("{other} is in the table"),
        };
        Ok(vec![expectation])
    }

    fn restored(&self, rest: &[Word]) -> Result<Restored, DirectiveError> {
        let mut restored = Restored::default();
        for w in rest {
            let (name, value) = self.option(w, &["except"])?;
            debug_assert_eq!(name, "except");
            for register in value.text.split(',') {
                let parsed = register.parse();
                restored
                    .except
                    .push(parsed.map_err(|e: String| self.at(&value, e))?);
            }
        }
        Ok(restored)
    }

    fn frame(&self, rest: &[Word]) -> Result<FrameWanted, DirectiveError> {
        const NAMES: [&str; 9] = [
            "rip",
            "cs",
            "rflags",
            "rsp",
            "ss",
            "error_code",
            "cr2",
            "ist",
            "vector",
        ];
        let mut frame = FrameWanted::default();
        for w in rest {
            let (name, value) = self.option(w, &NAMES)?;
            let small =
                |n: u64| u32::try_from(n).map_err(|_| self.at(&value, "is too large".to_owned()));
            let byte =
                |n: u64| u8::try_from(n).map_err(|_| self.at(&value, "is too large".to_owned()));
            match name {
                "rip" => frame.rip = Some(self.place(&value)?),
                "cs" => frame.cs = Some(self.number(&value)?),
                "rflags" => frame.rflags = Some(self.number(&value)?),
                "rsp" => frame.rsp = Some(self.place(&value)?),
                "ss" => frame.ss = Some(self.number(&value)?),
                "error_code" => frame.error_code = Some(small(self.number(&value)?)?),
                "cr2" => frame.cr2 = Some(self.place(&value)?),
                "ist" => frame.ist = Some(byte(self.number(&value)?)?),
                _ => frame.vector = Some(self.vector(&value)?.0),
            }
        }
        Ok(frame)
    }

    fn call(&self, rest: &[Word]) -> Result<Expectation, DirectiveError> {
        let Some((name, options)) = rest.split_first() else {
            return Err(self.usage("expect call NAME [times=N] [rdi=VALUE]"));
        };
        let names: Vec<&str> = ARGUMENTS.into_iter().chain(["times"]).collect();
        let (mut times, mut arguments) = (None, Vec::new());
        for w in options {
            let (option, value) = self.option(w, &names)?;
            match ARGUMENTS.iter().position(|a| *a == option) {
                Some(n) => arguments.push((n, self.value(&value)?)),
                None => {
                    times = Some(usize::try_from(self.number(&value)?).unwrap_or(usize::MAX));
                }
            }
        }
        Ok(Expectation::Calls {
            name: self.stub(name)?,
            times,
            arguments,
        })
    }

    fn finding(
        &self,
        rest: &[Word],
        usage: &dyn Fn() -> DirectiveError,
    ) -> Result<Expectation, DirectiveError> {
        let Some((rule, options)) = rest.split_first() else {
            return Err(usage());
        };
        let id = rule.text.parse::<RuleId>();
        let id = id.map_err(|e| self.at(rule, e.to_string()))?;
        let mut place = None;
        for w in options {
            place = Some(self.place(&self.option(w, &["at"])?.1)?);
        }
        Ok(Expectation::Finding(id, place))
    }

    fn nmi(&self, rest: &[Word]) -> Result<Expectation, DirectiveError> {
        let (mut before, mut after) = (None, None);
        for w in rest {
            let (name, value) = self.option(w, &["before", "after"])?;
            let blocked = match value.text.as_str() {
                "blocked" => true,
                "unblocked" => false,
                other => {
                    let problem = unknown("state", other, ["blocked", "unblocked"]);
                    return Err(self.at(&value, problem));
                }
            };
            if name == "before" {
                before = Some(blocked);
            } else {
                after = Some(blocked);
            }
        }
        Ok(Expectation::Nmi { before, after })
    }

    fn registers(
        &self,
        rest: &[Word],
        usage: &dyn Fn() -> DirectiveError,
    ) -> Result<Vec<Expectation>, DirectiveError> {
        if rest.is_empty() {
            return Err(usage());
        }
        rest.iter()
            .map(|w| {
                let (register, value) = self.register(w)?;
                Ok(Expectation::Register(register, self.value(&value)?))
            })
            .collect()
    }
}
