//! Reads the text of an injection.

use super::error::ScheduleError;
use super::injection::{Injection, Origin, Place, Stimulus, StimulusKind, Trigger};
use super::vector::{self, parse_number, pushes_error_code, vector_name};
use crate::arch::{Vector, VirtAddr};
use crate::printable::printable;
use crate::suggest::Nearest;
use crate::trace::Boundary;

/// Longest text that is read, in bytes: longer than any symbol of a real image.
const MAX_TEXT: usize = 16 << 10;

const KEYS: [&str; 9] = [
    "at", "icount", "after", "before", "every", "storm", "from", "ec", "addr",
];

const WHEN: &str = "write at=, icount=, after=, before=, every= or storm=, as in at=main+0x1a";

/// The text, and the option it belongs to, for errors.
#[derive(Clone, Copy)]
struct Source<'t> {
    kind: StimulusKind,
    text: &'t str,
}

impl<'t> Source<'t> {
    /// An error at `part`, a subslice of the text.
    fn error(
        &self,
        part: &str,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> ScheduleError {
        let at = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..at).unwrap_or_default();
        ScheduleError {
            option: self.kind.option(),
            text: shown(self.text),
            column: before.chars().count() + 1,
            // Both may quote the text.
            problem: printable(&problem.into(), 400),
            mend: printable(&mend.into(), 400),
        }
    }

    fn number(&self, part: &'t str, what: &str, mend: &str) -> Result<u64, ScheduleError> {
        parse_number(part).ok_or_else(|| self.error(part, format!("expected {what}"), mend))
    }
}

/// The beginning of what is very long.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut out: String = text.chars().take(SHOWN).collect();
    if out.len() < text.len() {
        out.push_str("...");
    }
    out
}

/// A key with its value, both subslices of the text.
#[derive(Clone, Copy)]
struct Pair<'t> {
    key: &'t str,
    value: &'t str,
}

/// Reads the argument of the option of `kind`.
pub(super) fn injection(kind: StimulusKind, text: &str) -> Result<Injection, ScheduleError> {
    let source = Source { kind, text };
    if text.len() > MAX_TEXT {
        return Err(source.error(text, "the text is too long", "name one place and one time"));
    }
    let (target, rest) = target(&source)?;
    let pairs = pairs(&source, rest)?;
    let (trigger_pair, trigger) = trigger(&source, rest, &pairs)?;
    let what = match (kind, target) {
        (StimulusKind::Irq, Some(vector)) => Stimulus::Irq(vector),
        (StimulusKind::Exception, Some(vector)) => exception(&source, rest, vector, &pairs)?,
        (StimulusKind::MachineCheck, _) => Stimulus::MachineCheck,
        _ => Stimulus::Nmi,
    };
    if matches!(trigger, Trigger::Storm { .. }) && kind != StimulusKind::Nmi {
        return Err(source.error(
            trigger_pair.key,
            "storm= is for NMIs: it follows the NMI latch",
            "use --nmi, or every= here",
        ));
    }
    for pair in &pairs {
        let misplaced = match pair.key {
            "ec" | "addr" if kind != StimulusKind::Exception => "--exception",
            "from" if !matches!(trigger, Trigger::Every { .. } | Trigger::Storm { .. }) => {
                "every= and storm="
            }
            _ => continue,
        };
        return Err(source.error(
            pair.key,
            format!("{}= goes with {misplaced} only", pair.key),
            "leave it out",
        ));
    }
    Ok(Injection {
        what,
        when: trigger,
    })
}

/// What stands before `@`, for the options that have one, and the text after it.
fn target<'t>(source: &Source<'t>) -> Result<(Option<Vector>, &'t str), ScheduleError> {
    let text = source.text;
    match source.kind {
        StimulusKind::Nmi => Ok((None, text)),
        StimulusKind::MachineCheck => text.strip_prefix('@').map_or_else(
            || Err(source.error(text, "expected '@'", "write for example @icount=500")),
            |rest| Ok((None, rest)),
        ),
        StimulusKind::Irq | StimulusKind::Exception => {
            let Some((word, rest)) = text.split_once('@') else {
                let mend = match source.kind {
                    StimulusKind::Irq => "write for example 0x21@at=main",
                    _ => "write for example page-fault@at=main,ec=0x2,addr=0x1000",
                };
                return Err(source.error(text, "expected a vector, '@' and a time", mend));
            };
            let vector = vector::parse(word).ok_or_else(|| unknown_vector(source, word))?;
            Ok((Some(vector), rest))
        }
    }
}

fn unknown_vector(source: &Source<'_>, word: &str) -> ScheduleError {
    let mend = match vector::nearest(word) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "write a name such as page-fault or #PF, or a number from 0 to 255 such as 0x21"
            .to_owned(),
    };
    source.error(word, format!("{word:?} is no vector"), mend)
}

/// Splits `key=value,key=value`. Keys are known and come once each.
fn pairs<'t>(source: &Source<'t>, rest: &'t str) -> Result<Vec<Pair<'t>>, ScheduleError> {
    let mut found: Vec<Pair<'t>> = Vec::new();
    if rest.is_empty() {
        return Err(source.error(rest, "expected a time", WHEN));
    }
    for part in rest.split(',') {
        let Some((key, value)) = part.split_once('=') else {
            return Err(source.error(part, format!("expected KEY=VALUE, found {part:?}"), WHEN));
        };
        if !KEYS.contains(&key) {
            let mut nearest = Nearest::to(key);
            KEYS.iter().for_each(|k| nearest.offer(k));
            let mend = match nearest.into_best() {
                Some(nearest) => format!("did you mean {nearest}=?"),
                None => WHEN.to_owned(),
            };
            return Err(source.error(key, format!("{key:?} is no key"), mend));
        }
        if found.iter().any(|p| p.key == key) {
            return Err(source.error(key, format!("{key}= is there twice"), "leave one out"));
        }
        found.push(Pair { key, value });
    }
    Ok(found)
}

fn value<'t>(pairs: &[Pair<'t>], key: &str) -> Option<&'t str> {
    pairs.iter().find(|p| p.key == key).map(|p| p.value)
}

/// The one key that says when, and what it says.
fn trigger<'t>(
    source: &Source<'t>,
    rest: &'t str,
    pairs: &[Pair<'t>],
) -> Result<(Pair<'t>, Trigger), ScheduleError> {
    let mut times = pairs
        .iter()
        .filter(|p| !matches!(p.key, "from" | "ec" | "addr"));
    let Some(&pair) = times.next() else {
        return Err(source.error(rest, "expected a time", WHEN));
    };
    if let Some(second) = times.next() {
        return Err(source.error(
            second.key,
            format!("{}= and {}= in one injection", pair.key, second.key),
            format!("use {} once for each", source.kind.option()),
        ));
    }
    let trigger = match pair.key {
        "at" => at(source, pair.value)?,
        "icount" => icount(source, pair.value)?,
        "after" => after(source, pair.value)?,
        "before" => before(source, pair.value)?,
        "every" => {
            let mend = "write for example every=100";
            let period = source.number(pair.value, "a number of instructions", mend)?;
            if period == 0 {
                return Err(source.error(pair.value, "every 0 instructions is never", mend));
            }
            Trigger::Every {
                period,
                from: origin(source, pairs)?.unwrap_or(Origin::Icount(period)),
            }
        }
        _ => {
            let mend = "write for example storm=4";
            let count = source.number(pair.value, "a number of NMIs", mend)?;
            let count = u32::try_from(count)
                .ok()
                .filter(|&n| n > 0)
                .ok_or_else(|| source.error(pair.value, "expected 1 to 4294967295", mend))?;
            Trigger::Storm {
                count,
                from: origin(source, pairs)?.unwrap_or(Origin::Icount(0)),
            }
        }
    };
    Ok((pair, trigger))
}

/// Splits `#3` off. What follows the last `#` must be digits, or it belongs to what is before.
fn arrivals<'t>(source: &Source<'t>, text: &'t str) -> Result<(&'t str, u32), ScheduleError> {
    let Some((before, digits)) = text
        .rsplit_once('#')
        .filter(|_| ends_like_a_number_of_arrivals(text))
    else {
        return Ok((text, 1));
    };
    match digits.parse() {
        Ok(0) => Err(source.error(digits, "#0: the first one is #1", "count from 1")),
        Ok(n) => Ok((before, n)),
        Err(_) => Err(source.error(
            digits,
            "the number is too large",
            "write at most #4294967295",
        )),
    }
}

/// Whether `name` ends in `#` and digits.
pub(super) fn ends_like_a_number_of_arrivals(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether `name` ends in `+` and a number.
pub(super) fn ends_like_an_offset(name: &str) -> bool {
    name.rsplit_once('+')
        .is_some_and(|(_, n)| n.bytes().next().is_some_and(|b| b.is_ascii_digit()))
}

fn at(source: &Source<'_>, text: &str) -> Result<Trigger, ScheduleError> {
    let (text, nth) = arrivals(source, text)?;
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) && !is_hex(text) {
        return Err(source.error(
            text,
            format!("{text:?} is neither a symbol nor an address"),
            match parse_number(text) {
                Some(n) => format!("write at={n:#x} for an address, icount={n} for a time"),
                None => "write an address as at=0xffffffff80001000".to_owned(),
            },
        ));
    }
    Ok(Trigger::At {
        place: place(source, text)?,
        nth,
    })
}

fn is_hex(text: &str) -> bool {
    text.starts_with("0x") || text.starts_with("0X")
}

fn place(source: &Source<'_>, text: &str) -> Result<Place, ScheduleError> {
    const MEND: &str = "write for example main, main+0x1a or 0xffffffff80001000";
    if text.is_empty() {
        return Err(source.error(text, "expected a symbol or an address", MEND));
    }
    if is_hex(text) {
        return match parse_number(text) {
            Some(at) => Ok(Place::Address(VirtAddr(at))),
            None => Err(source.error(text, format!("{text:?} is no 64-bit address"), MEND)),
        };
    }
    let Some((name, offset)) = text.rsplit_once('+').filter(|_| ends_like_an_offset(text)) else {
        if let Some(name) = text.strip_suffix('+') {
            return Err(source.error(
                &text[name.len() + 1..],
                "expected an offset after '+'",
                format!("write for example {name}+0x1a"),
            ));
        }
        return Ok(Place::Symbol {
            name: text.to_owned(),
            offset: 0,
        });
    };
    if name.is_empty() {
        return Err(source.error(text, "expected a symbol before '+'", MEND));
    }
    Ok(Place::Symbol {
        name: name.to_owned(),
        offset: source.number(
            offset,
            "an offset of at most 64 bits after '+'",
            "write for example +0x1a or +26",
        )?,
    })
}

fn icount(source: &Source<'_>, text: &str) -> Result<Trigger, ScheduleError> {
    const MEND: &str = "write for example icount=1234 or icount=1234.2";
    let (whole, sub) = match text.split_once('.') {
        Some((whole, sub)) => (whole, Some(sub)),
        None => (text, None),
    };
    let icount = source.number(whole, "a number of instructions", MEND)?;
    let sub = match sub {
        None => 0,
        Some(part) => {
            let n = source.number(part, "a number after '.'", MEND)?;
            u32::try_from(n)
                .map_err(|_| source.error(part, "the number after '.' is too large", MEND))?
        }
    };
    Ok(Trigger::Icount(Boundary { icount, sub }))
}

fn after(source: &Source<'_>, text: &str) -> Result<Trigger, ScheduleError> {
    let (word, nth) = arrivals(source, text)?;
    match vector::parse(word) {
        Some(vector) => Ok(Trigger::After { vector, nth }),
        None => Err(unknown_vector(source, word)),
    }
}

fn before(source: &Source<'_>, text: &str) -> Result<Trigger, ScheduleError> {
    match arrivals(source, text)? {
        ("iret", nth) => Ok(Trigger::BeforeIret { nth }),
        (word, _) => Err(source.error(
            word,
            format!("expected iret, found {word:?}"),
            "write for example before=iret#1",
        )),
    }
}

fn origin(source: &Source<'_>, pairs: &[Pair<'_>]) -> Result<Option<Origin>, ScheduleError> {
    let Some(text) = value(pairs, "from") else {
        return Ok(None);
    };
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) && !is_hex(text) {
        let mend = "write an icount such as from=5000, or a place such as from=main";
        return source
            .number(text, "an icount of at most 64 bits", mend)
            .map(|n| Some(Origin::Icount(n)));
    }
    place(source, text).map(|p| Some(Origin::Place(p)))
}

/// What `addr=` says: a place, of which an address may be in decimal.
fn fault_address(source: &Source<'_>, text: &str) -> Result<Place, ScheduleError> {
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) && !is_hex(text) {
        let mend = "write for example 0xffffc90000000000, jiffies or jiffies+0x8";
        return source
            .number(text, "an address for CR2", mend)
            .map(|at| Place::Address(VirtAddr(at)));
    }
    place(source, text)
}

/// An exception that an instruction could raise, with what belongs to it.
fn exception(
    source: &Source<'_>,
    rest: &str,
    vector: Vector,
    pairs: &[Pair<'_>],
) -> Result<Stimulus<Place>, ScheduleError> {
    let name = vector_name(vector);
    let refused = match vector {
        Vector::NMI => Some("use --nmi"),
        Vector::MC => Some("use --mce"),
        Vector(32..) => Some("use --irq: vectors from 32 on are interrupts"),
        v if !vector::is_named(v) => Some("use a vector that is not reserved"),
        _ => None,
    };
    if let Some(mend) = refused {
        return Err(source.error(source.text, format!("{name} is no exception"), mend));
    }
    let error_code = match value(pairs, "ec") {
        Some(text) if !pushes_error_code(vector) => {
            return Err(source.error(
                text,
                format!("{name} pushes no error code"),
                "leave ec= out",
            ));
        }
        Some(text) => {
            let mend = "write a number of at most 32 bits, such as ec=0x2";
            let n = source.number(text, "an error code", mend)?;
            Some(
                u32::try_from(n)
                    .map_err(|_| source.error(text, "the error code is too large", mend))?,
            )
        }
        None => pushes_error_code(vector).then_some(0),
    };
    let address = match (value(pairs, "addr"), vector == Vector::PF) {
        (Some(text), true) => Some(fault_address(source, text)?),
        (Some(text), false) => {
            return Err(source.error(
                text,
                format!("{name} has no address"),
                "leave addr= out: it is the CR2 of a page fault",
            ));
        }
        (None, true) => {
            return Err(source.error(
                &rest[rest.len()..],
                "expected addr=, the address that a page fault leaves in CR2",
                "write for example page-fault@at=main,ec=0x2,addr=0xffffc90000000000; a symbol is good too",
            ));
        }
        (None, false) => None,
    };
    Ok(Stimulus::Exception {
        vector,
        error_code,
        address,
    })
}

#[cfg(test)]
mod tests;
