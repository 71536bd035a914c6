//! Source lines of addresses, from the DWARF line tables (DWARF 5, 6.2; versions 2 to 5).
//!
//! `.debug_line` is read alone: it is a sequence of line number programs, so that neither
//! damaged nor missing unit descriptions matter, and the work is bounded by its size.

use std::collections::BTreeMap;

use gimli::{AttributeValue, DebugLine, DebugLineOffset, EndianSlice, LittleEndian, Reader};
use goblin::elf::section_header::SHF_COMPRESSED;

use super::elf::{Sections, section_bytes};
use super::error::printable;
use super::image::LoadSegment;
use super::limits::{MAX_LINE_HEADER, MAX_LINE_ROWS, MAX_NAME};
use crate::arch::VirtAddr;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    address: u64,
    /// Index in `files`.
    file: u32,
    /// From 1; 0: no line from here on.
    line: u32,
}

/// The line table of an image: rising addresses, each row valid up to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineInfo {
    files: Vec<String>,
    rows: Vec<Row>,
}

impl LineInfo {
    /// The file and line of `at`.
    #[must_use]
    pub fn line(&self, at: VirtAddr) -> Option<(&str, u32)> {
        let n = self
            .rows
            .partition_point(|r| r.address <= at.0)
            .checked_sub(1)?;
        let row = self.rows[n];
        let file = self.files.get(row.file as usize)?;
        (row.line != 0).then_some((file.as_str(), row.line))
    }

    /// `file:line` of `at`.
    #[must_use]
    pub fn shown(&self, at: VirtAddr) -> Option<String> {
        self.line(at).map(|(file, line)| format!("{file}:{line}"))
    }

    /// The source files, in the order of their first use.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Lets `rename` change the name of each source file.
    pub(super) fn rename_files(&mut self, rename: impl Fn(&str) -> String) {
        for f in &mut self.files {
            *f = rename(f);
        }
    }

    /// Reads the line tables of an ELF file. What is malformed is left out, with a note.
    pub(super) fn from_elf(
        bytes: &[u8],
        sections: &Sections<'_>,
        segments: &[LoadSegment],
        notes: &mut Vec<String>,
    ) -> Option<Self> {
        let mut compressed = false;
        let mut find = |name: &[u8]| {
            let header = sections.headers.iter().find(|s| sections.name(s) == name)?;
            if header.sh_flags & u64::from(SHF_COMPRESSED) != 0 {
                compressed = true;
                return None;
            }
            section_bytes(bytes, header, "debug section").ok()
        };
        let line = find(b".debug_line");
        let strings = find(b".debug_str").unwrap_or_default();
        let line_strings = find(b".debug_line_str").unwrap_or_default();
        if compressed {
            notes.push(
                "no source lines: the debug sections are compressed; link with \
                 --compress-debug-sections=none"
                    .to_owned(),
            );
        }
        Self::from_sections(line?, line_strings, strings, segments, notes)
    }

    fn from_sections(
        line: &[u8],
        line_strings: &[u8],
        strings: &[u8],
        segments: &[LoadSegment],
        notes: &mut Vec<String>,
    ) -> Option<Self> {
        let mut builder = Builder {
            line_strings,
            strings,
            segments,
            sequences: Vec::new(),
            rows: 0,
            files: Vec::new(),
            numbers: BTreeMap::new(),
        };
        let mut at = 0;
        let mut bad = 0usize;
        while at < line.len() {
            let Some((size, header)) = unit_size(&line[at..]) else {
                bad += 1;
                break;
            };
            // One bad table does not spoil the others, but a budget does.
            match builder.program(line, at, header) {
                Ok(()) => {}
                Err(Stop::Malformed) => bad += 1,
                Err(Stop::Budget) => {
                    notes.push(format!(
                        "no source lines: more than {MAX_LINE_ROWS} rows of line tables"
                    ));
                    return None;
                }
            }
            at += size;
        }
        if bad != 0 {
            notes.push(format!(
                "source lines are incomplete: {bad} malformed line table(s) in .debug_line"
            ));
        }
        let info = builder.finish();
        (!info.rows.is_empty()).then_some(info)
    }
}

enum Stop {
    Malformed,
    Budget,
}

impl From<gimli::Error> for Stop {
    fn from(_: gimli::Error) -> Self {
        Self::Malformed
    }
}

/// Bytes of the whole program at the start of `unit`, and of the lists in its header.
///
/// ```text
/// unit_length 4 (or ffffffff and 8) | version 2 | [v5: address_size 1, seg_selector_size 1] | header_length 4 (8)
/// ```
fn unit_size(unit: &[u8]) -> Option<(usize, u64)> {
    let mut r = EndianSlice::new(unit, LittleEndian);
    let (length, format) = r.read_initial_length().ok()?;
    let size = (unit.len() - r.len()).checked_add(length)?;
    let version = r.read_u16().ok()?;
    if version >= 5 {
        r.read_u16().ok()?;
    }
    let header = r.read_word(format).ok()?;
    (size <= unit.len()).then_some((size, header as u64))
}

/// Rows of one sequence, by rising address; `end` is the first address after it.
struct Sequence {
    rows: Vec<Row>,
    end: u64,
}

struct Builder<'a> {
    line_strings: &'a [u8],
    strings: &'a [u8],
    segments: &'a [LoadSegment],
    sequences: Vec<Sequence>,
    rows: usize,
    files: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl<'a> Builder<'a> {
    fn program(&mut self, line: &'a [u8], at: usize, header: u64) -> Result<(), Stop> {
        if header > MAX_LINE_HEADER {
            return Err(Stop::Malformed);
        }
        let section = DebugLine::from(EndianSlice::new(line, LittleEndian));
        let mut rows = section.program(DebugLineOffset(at), 8, None, None)?.rows();
        let mut known: BTreeMap<u64, u32> = BTreeMap::new();
        let mut sequence: Vec<Row> = Vec::new();
        let mut rising = true;
        while let Some((header, row)) = rows.next_row()? {
            let address = row.address();
            if row.end_sequence() {
                let rows = std::mem::take(&mut sequence);
                if std::mem::replace(&mut rising, true) {
                    self.keep(rows, address);
                }
                continue;
            }
            self.rows += 1;
            if self.rows > MAX_LINE_ROWS {
                return Err(Stop::Budget);
            }
            let number = row.file_index();
            let file = match known.get(&number) {
                Some(&f) => f,
                None => {
                    let f = self.file(header, number);
                    known.insert(number, f);
                    f
                }
            };
            let new = Row {
                address,
                file,
                line: row
                    .line()
                    .map_or(0, |l| u32::try_from(l.get()).unwrap_or(0)),
            };
            match sequence.last_mut() {
                // The last row of an address describes it.
                Some(last) if last.address == address => *last = new,
                Some(last) if last.address > address => rising = false,
                _ => sequence.push(new),
            }
        }
        Ok(())
    }

    /// Keeps a sequence that lies in the image; code that the linker has dropped does not.
    fn keep(&mut self, rows: Vec<Row>, end: u64) {
        let Some((first, last)) = rows.first().zip(rows.last()) else {
            return;
        };
        let start = VirtAddr(first.address);
        let inside = self
            .segments
            .iter()
            .any(|s| s.contains(start) && end.wrapping_sub(s.vaddr.0) <= s.mem_size);
        if inside && end > last.address {
            self.sequences.push(Sequence { rows, end });
        }
    }

    /// The number of a file's name among all names.
    fn file(&mut self, header: &gimli::LineProgramHeader<Slice<'a>>, number: u64) -> u32 {
        let name = self
            .file_name(header, number)
            .unwrap_or_else(|| "?".to_owned());
        let next = self.files.len() as u32;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.files.push(name.clone());
            next
        })
    }

    /// The path as the table has it; relative to the compilation folder where it is below it.
    fn file_name(
        &self,
        header: &gimli::LineProgramHeader<Slice<'a>>,
        number: u64,
    ) -> Option<String> {
        let file = header.file(number)?;
        let name = self.string(file.path_name())?;
        let folder = match file.directory_index() {
            0 => String::new(),
            n => self.string(header.directory(n)?)?,
        };
        // In version 5, directory 0 is the compilation folder.
        let base = match header.version() {
            5.. => self.string(header.directory(0)?)?,
            _ => String::new(),
        };
        let path = if name.starts_with('/') || folder.is_empty() {
            name
        } else {
            format!("{}/{name}", folder.trim_end_matches('/'))
        };
        let below = path
            .strip_prefix(base.as_str())
            .and_then(|p| p.strip_prefix('/'))
            .filter(|p| !base.is_empty() && !p.is_empty());
        Some(printable(below.unwrap_or(&path)))
    }

    fn string(&self, value: AttributeValue<Slice<'a>>) -> Option<String> {
        let at = |section: &'a [u8], offset: usize| section.get(offset..);
        let bytes = match value {
            AttributeValue::String(s) => s.slice(),
            AttributeValue::DebugLineStrRef(o) => at(self.line_strings, o.0)?,
            AttributeValue::DebugStrRef(o) => at(self.strings, o.0)?,
            _ => return None,
        };
        let bytes = &bytes[..bytes.len().min(MAX_NAME)];
        let bytes = bytes.split(|&b| b == 0).next()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn finish(mut self) -> LineInfo {
        self.sequences
            .sort_by_key(|s| (s.rows.first().map(|r| r.address), s.end));
        let mut rows: Vec<Row> = Vec::new();
        for s in self.sequences {
            let first = s.rows.first().map_or(0, |r| r.address);
            match rows.last() {
                // Overlapping sequences contradict each other; the first stands.
                Some(end) if end.address > first => continue,
                Some(end) if end.address == first => {
                    rows.pop();
                }
                _ => {}
            }
            rows.extend(s.rows);
            rows.push(Row {
                address: s.end,
                file: 0,
                line: 0,
            });
        }
        LineInfo {
            files: self.files,
            rows,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
