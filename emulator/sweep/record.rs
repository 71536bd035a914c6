//! The lines of a sweep's file: a header, and one a part. A line counts when it has its end.

use std::io::BufRead;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::SweepError;
use super::plan::MAX_BOUNDARIES;
use super::report::{Line, Report};
use super::tally::TallyRecord;
use crate::load::error::printable;
use crate::trace::image_hash;

/// What marks a file as a sweep's: the value of the key `iretrace`.
pub const SWEEP_MARK: &str = "sweep";

/// The version of the file.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// [`SWEEP_MARK`].
    pub iretrace: String,
    /// The version of the file.
    pub version: u32,
    /// K and N: the file is for the parts of which the number modulo N is K - 1.
    pub shard: [u64; 2],
    /// What the parts depend on: [`inputs`](super::inputs()).
    pub inputs: Map<String, Value>,
    /// The report without its cases.
    pub outline: Report,
}

/// Another line: what a part came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartRecord {
    /// Its number.
    pub part: u64,
    /// Its cases.
    pub tally: TallyRecord,
    /// The instructions that it names and no earlier line of the file does.
    pub code: Vec<Line>,
}

impl PartRecord {
    /// What tells it from another of the same number.
    pub(super) fn hash(&self) -> String {
        image_hash(
            serde_json::to_string(&self.tally)
                .unwrap_or_default()
                .as_bytes(),
        )
    }
}

/// A line that is wrong.
pub(super) fn bad(file: &str, line: u64, why: impl Into<String>) -> SweepError {
    SweepError::Record {
        place: format!("{file}:{line}"),
        why: why.into(),
    }
}

/// The mend.
pub(super) const OTHER: &str = "give another file, or remove this one";

impl CheckpointHeader {
    /// For a sweep with these inputs.
    #[must_use]
    pub fn new(shard: [u64; 2], inputs: Map<String, Value>, outline: Report) -> Self {
        Self {
            iretrace: SWEEP_MARK.to_owned(),
            version: VERSION,
            shard,
            inputs,
            outline,
        }
    }

    /// Whether a part belongs to this file.
    #[must_use]
    pub fn has(&self, part: u64) -> bool {
        let [k, n] = self.shard;
        part < self.outline.parts && part % n.max(1) == k.wrapping_sub(1)
    }

    /// The line.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    fn read(file: &str, text: &[u8]) -> Result<Self, SweepError> {
        let value: Option<Value> = serde_json::from_slice(text).ok();
        let marked = value.filter(|v| v["iretrace"] == SWEEP_MARK);
        let value = marked.ok_or_else(|| {
            bad(
                file,
                1,
                format!("this is no checkpoint of a sweep; {OTHER}"),
            )
        })?;
        if value["version"] != VERSION {
            let found = printable(&value["version"].to_string());
            let why =
                format!("it has version {found}, this program reads version {VERSION}; {OTHER}");
            return Err(bad(file, 1, why));
        }
        let header: Self = serde_json::from_value(value)
            .map_err(|e| bad(file, 1, format!("the header is broken: {e}; {OTHER}")))?;
        let o = &header.outline;
        let [k, n] = header.shard;
        if o.boundaries > MAX_BOUNDARIES as u64
            || o.part_size == 0
            || o.parts != o.boundaries.div_ceil(o.part_size)
            || !(1..=n).contains(&k)
        {
            return Err(bad(
                file,
                1,
                format!("the header contradicts itself; {OTHER}"),
            ));
        }
        Ok(header)
    }
}

/// What is told of a file: its header, then each part with its line.
pub(super) trait Reader {
    fn header(&mut self, header: CheckpointHeader) -> Result<(), SweepError>;
    fn part(&mut self, line: u64, record: PartRecord) -> Result<(), SweepError>;
}

/// Reads a file. Returned are the bytes of its whole lines, and what follows the last one if that
/// one is the header's.
pub(super) fn read(
    name: &str,
    input: impl BufRead,
    to: &mut dyn Reader,
) -> Result<(u64, Vec<u8>), SweepError> {
    let mut input = input;
    let (mut text, mut good, mut number) = (Vec::new(), 0u64, 0u64);
    let mut of_shard = None;
    loop {
        text.clear();
        let n = input
            .read_until(b'\n', &mut text)
            .map_err(|e| SweepError::Record {
                place: name.to_owned(),
                why: format!("cannot be read: {e}"),
            })?;
        number += 1;
        if text.last() != Some(&b'\n') {
            return Ok((good, if number == 1 { text } else { Vec::new() }));
        }
        match &of_shard {
            None => {
                let header = CheckpointHeader::read(name, &text)?;
                to.header(header.clone())?;
                of_shard = Some(header);
            }
            Some(header) => {
                let record: PartRecord = serde_json::from_slice(&text).map_err(|e| {
                    bad(
                        name,
                        number,
                        format!("this is no part of a sweep: {e}; {OTHER}"),
                    )
                })?;
                if !header.has(record.part) {
                    let why = format!(
                        "there is no part {} in this file's sweep; {OTHER}",
                        record.part
                    );
                    return Err(bad(name, number, why));
                }
                to.part(number, record)?;
            }
        }
        good += n as u64;
    }
}
