//! Columns: where what stands, names cut to fit, text made harmless.

use std::rc::Rc;

use super::WIDTH;
use super::palette::{Palette, Tone};
use crate::arch::{Vector, VirtAddr};
use crate::printable::is_harmful;
use crate::trace::event::{Boundary, DeliveryId};
use crate::trace::header::Header;
use crate::trace::number::{push_dec, push_hex};
use crate::trace::symbols::{AddressCache, Symbols};

const SPACES: &[u8; WIDTH] = &[b' '; WIDTH];

/// Columns of the icount, right-aligned; the sub follows in [`SUB`].
const ICOUNT: usize = 9;
/// Columns of `.sub`.
const SUB: usize = 3;
/// Where the place begins, after the CPL (shown when it is not 0) and a space.
const PLACE: usize = ICOUNT + SUB + 2;
/// Columns of the place, indentation included.
const PLACE_WIDTH: usize = 24;
/// Where the message begins.
const MESSAGE: usize = PLACE + PLACE_WIDTH + 1;
/// Deeper nesting than this is shown as a number.
const MAX_GUIDES: u16 = 3;
/// Columns of a name inside a message: at most, and at least.
const NAME_WIDTH: usize = 24;
const MIN_NAME: usize = 18;

/// The names of one address, harmless to print.
#[derive(Debug)]
struct Name {
    text: Shown,
    line: Option<Shown>,
}

/// Harmless text, and how many columns it takes.
#[derive(Clone, Debug)]
struct Shown {
    text: Rc<str>,
    columns: usize,
}

impl Shown {
    fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            columns: text.chars().count(),
        }
    }
}

/// The symboliser with its answers.
pub(super) struct Names<'s> {
    symbols: Box<dyn Symbols + 's>,
    known: AddressCache<Name>,
}

impl std::fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl<'s> Names<'s> {
    pub(super) fn new(symbols: Box<dyn Symbols + 's>) -> Self {
        Self {
            symbols,
            known: AddressCache::new(),
        }
    }

    fn get(&mut self, at: VirtAddr) -> &Name {
        let symbols = &self.symbols;
        self.known.get(at, || Name {
            text: match symbols.name(at) {
                Some(name) => Shown::new(&harmless(&name)),
                None => Shown::new(&at.to_string()),
            },
            line: symbols.line(at).map(|line| Shown::new(&harmless(&line))),
        })
    }
}

/// `s` with harmful characters written as `\x1b` or `\u{202e}`.
fn harmless(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if !is_harmful(c) {
            out.push(c);
        } else if c.is_ascii() {
            out.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// The parts of `name` that fit into `width` columns: its beginning, whether something was left
/// out, and its offset.
fn fit(name: &str, width: usize) -> (&str, bool, &str) {
    if name.len() <= width || name.chars().count() <= width {
        return (name, false, "");
    }
    let offset = name.rfind('+').map_or("", |at| &name[at..]);
    // An offset is ASCII; what is longer than half the room is part of a name.
    let offset = if offset.len() * 2 > width { "" } else { offset };
    let room = width.saturating_sub(offset.chars().count() + 2);
    let cut = name.char_indices().nth(room).map_or(name.len(), |(i, _)| i);
    (&name[..cut], true, offset)
}

/// The lines of one event.
pub(super) struct Page<'a, 's> {
    out: &'a mut Vec<u8>,
    names: &'a mut Names<'s>,
    palette: &'a Palette,
    depth: u16,
    /// Columns in use on the current line.
    column: usize,
    toned: bool,
}

impl<'a, 's> Page<'a, 's> {
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        names: &'a mut Names<'s>,
        palette: &'a Palette,
        depth: u16,
    ) -> Self {
        Self {
            out,
            names,
            palette,
            depth,
            column: 0,
            toned: false,
        }
    }

    /// The left columns: when and where.
    pub(super) fn place(&mut self, at: Boundary, rip: VirtAddr, cpl: u8) {
        self.open(Tone::Quiet);
        let digits = at.icount.checked_ilog10().map_or(1, |n| n as usize + 1);
        self.pad_to(ICOUNT.saturating_sub(digits));
        self.dec(at.icount);
        if at.sub > 0 {
            self.s(".").dec(at.sub);
        }
        self.pad_to(ICOUNT + SUB);
        if cpl > 0 {
            self.dec(cpl);
        }
        self.close();
        self.pad_to(PLACE);
        let start = self.column;
        self.guides();
        let width = PLACE_WIDTH
            .saturating_sub(self.column - start)
            .max(MIN_NAME);
        self.name_within(rip, width);
        self.gap_to(MESSAGE);
    }

    /// The left columns when they are those of the row above.
    pub(super) fn blank_place(&mut self) {
        self.pad_to(PLACE);
        self.guides();
        self.gap_to(MESSAGE);
    }

    /// Begins a further line of the same event.
    pub(super) fn detail(&mut self) -> &mut Self {
        self.close();
        self.out.push(b'\n');
        self.column = 0;
        self.blank_place();
        self.s("  ").tone(Tone::Quiet)
    }

    /// Ends the event's last line.
    pub(super) fn end(mut self) {
        self.close();
        self.out.push(b'\n');
    }

    /// The rest of this line has `tone`.
    pub(super) fn tone(&mut self, tone: Tone) -> &mut Self {
        self.close();
        self.open(tone);
        self
    }

    fn open(&mut self, tone: Tone) {
        self.out.extend_from_slice(self.palette.open(tone));
        self.toned = true;
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.toned) {
            self.out.extend_from_slice(self.palette.close());
        }
    }

    fn guides(&mut self) {
        let depth = self.depth;
        if depth > MAX_GUIDES {
            self.s("[").dec(depth).s("] ");
        } else {
            for _ in 0..depth {
                self.s("| ");
            }
        }
    }

    /// Columns that are left on this line.
    pub(super) const fn room(&self) -> usize {
        WIDTH.saturating_sub(self.column)
    }

    /// Spaces up to `column`.
    pub(super) fn pad_to(&mut self, column: usize) -> &mut Self {
        if let Some(n) = column.checked_sub(self.column) {
            self.out.extend_from_slice(&SPACES[..n.min(WIDTH)]);
            self.column = column;
        }
        self
    }

    /// Spaces up to `column`, and at least one.
    fn gap_to(&mut self, column: usize) {
        let column = column.max(self.column + 1);
        self.pad_to(column);
    }

    /// Spaces up to `column` of the message, and at least one.
    pub(super) fn tab(&mut self, column: usize) -> &mut Self {
        self.gap_to(MESSAGE + column);
        self
    }

    /// ASCII of our own.
    pub(super) fn s(&mut self, s: &str) -> &mut Self {
        self.out.extend_from_slice(s.as_bytes());
        self.column += s.len();
        self
    }

    /// Text from outside, made harmless.
    pub(super) fn text(&mut self, s: &str) -> &mut Self {
        if s.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return self.s(s);
        }
        let shown = harmless(s);
        self.out.extend_from_slice(shown.as_bytes());
        self.column += shown.chars().count();
        self
    }

    /// `0x…`
    pub(super) fn hex(&mut self, v: impl Into<u64>) -> &mut Self {
        self.column += push_hex(self.out, v.into());
        self
    }

    /// Decimal.
    pub(super) fn dec(&mut self, v: impl Into<u64>) -> &mut Self {
        self.column += push_dec(self.out, v.into());
        self
    }

    /// The symbol at `at`, or its address; `tail` columns stay free for what follows.
    pub(super) fn name(&mut self, at: VirtAddr, tail: usize) -> &mut Self {
        let room = self.room().saturating_sub(tail);
        self.name_within(at, room.clamp(MIN_NAME, NAME_WIDTH))
    }

    fn name_within(&mut self, at: VirtAddr, width: usize) -> &mut Self {
        let name = &self.names.get(at).text;
        if name.columns <= width {
            self.out.extend_from_slice(name.text.as_bytes());
            self.column += name.columns;
            return self;
        }
        let (begin, cut, offset) = fit(&name.text, width);
        self.out.extend_from_slice(begin.as_bytes());
        self.column += begin.chars().count();
        if cut {
            self.out.extend_from_slice(b"..");
            self.out.extend_from_slice(offset.as_bytes());
            self.column += 2 + offset.chars().count();
        }
        self
    }

    /// `#PF`, or `vector 0x21`.
    pub(super) fn vector(&mut self, v: Vector) -> &mut Self {
        match v.mnemonic() {
            Some(m) => self.s(m),
            None => self.s("vector ").hex(v.0),
        }
    }

    /// `NMI#2`, as the id prints itself.
    pub(super) fn id(&mut self, id: DeliveryId) -> &mut Self {
        match id.vector.mnemonic() {
            Some(m) => self.s(m),
            None => self.s("INT ").hex(id.vector.0),
        };
        self.s("#").dec(id.nth)
    }

    /// The source line of `at`, at the end of this line or on one of its own.
    pub(super) fn source_line(&mut self, at: VirtAddr) {
        let Some(line) = self.names.get(at).line.clone() else {
            return;
        };
        let Shown {
            text: line,
            columns: chars,
        } = line;
        if self.room() < 2 + chars {
            self.detail();
        } else {
            self.s("  ").tone(Tone::Quiet);
        }
        // A path that is too long even for a line of its own keeps its end.
        let room = self.room();
        let skip = if chars > room {
            self.s("..");
            chars - room + 2
        } else {
            0
        };
        let begin = line.char_indices().nth(skip).map_or(line.len(), |(i, _)| i);
        self.out.extend_from_slice(line[begin..].as_bytes());
        self.column += chars.saturating_sub(skip);
    }
}

/// Appends a trace's header as comment lines.
pub(super) fn header(out: &mut Vec<u8>, header: &Header) {
    let vendor = header.cpu.get("vendor").and_then(|v| v.as_str());
    let mut lines = vec![format!(
        "{}; image {} ({} bytes{}{}){}",
        header.program,
        header.image.name,
        header.image.size,
        if header.image.hash.is_some() {
            ", "
        } else {
            ""
        },
        header.image.hash.as_deref().unwrap_or_default(),
        vendor.map(|v| format!("; cpu {v}")).unwrap_or_default(),
    )];
    lines.extend(header.schedule.iter().map(|s| format!("schedule: {s}")));
    if !header.argv.is_empty() {
        let words: Vec<String> = header.argv.iter().map(|w| shell_word(w)).collect();
        lines.push(format!("again: {}", words.join(" ")));
    }
    for line in lines {
        out.extend_from_slice(b"# ");
        out.extend_from_slice(harmless(&line).as_bytes());
        out.push(b'\n');
    }
}

/// `word` as a POSIX shell takes it unchanged.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_in_the_middle() {
        let cut = |name, width| {
            let (begin, cut, offset) = fit(name, width);
            format!("{begin}{}{offset}", if cut { ".." } else { "" })
        };
        assert_eq!(cut("nmi_entry+0x1f", 24), "nmi_entry+0x1f");
        assert_eq!(
            cut("a_function_with_a_long_name+0x1f", 20),
            "a_function_wi..+0x1f"
        );
        assert_eq!(
            cut("core::ops::Add<A+B>::add_all_of_it", 20),
            "core::ops::Add<A+B.."
        );
        assert_eq!(cut("größe_größe_größe_größe+0x1", 20).chars().count(), 20);
        assert_eq!(cut("abc", 0), "..");
    }

    #[test]
    fn harmful_characters_are_shown_as_escapes() {
        assert_eq!(
            harmless("a\u{1b}[31m\u{7f}é\u{202e}\n"),
            "a\\x1b[31m\\x7fé\\u{202e}\\x0a"
        );
    }

    #[test]
    fn shell_words_are_quoted_when_they_must_be() {
        assert_eq!(shell_word("at=main+0x1"), "at=main+0x1");
        assert_eq!(shell_word("at=main#2"), "'at=main#2'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
