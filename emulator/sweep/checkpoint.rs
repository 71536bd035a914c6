//! The file that keeps the parts that are done: JSON Lines, a header and one line a part.
//!
//! A line counts when it has its end. What a kill or a full disk leaves of the last one is cut off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::code::Code;
use super::driver::PART;
use super::error::SweepError;
use super::inputs::difference;
use super::plan::MAX_BOUNDARIES;
use super::report::{Line, Report};
use super::tally::{Tally, TallyRecord};
use crate::load::Image;
use crate::load::error::printable;
use crate::trace::image_hash;

/// What marks a file as a sweep's: the value of the key `iretrace`.
pub const SWEEP_MARK: &str = "sweep";

/// The version of the file.
const VERSION: u32 = 1;

/// A machine that crashes loses what is younger than this.
const SYNC: Duration = Duration::from_secs(1);

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

fn bad(file: &str, line: u64, why: impl Into<String>) -> SweepError {
    SweepError::Record {
        place: format!("{file}:{line}"),
        why: why.into(),
    }
}

const OTHER: &str = "give another file, or remove this one";

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

    fn line(&self) -> String {
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
            || o.parts != o.boundaries.div_ceil(PART as u64)
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

/// A file to which parts are added.
#[derive(Debug)]
pub struct Checkpoint {
    file: File,
    name: String,
    /// Bytes of whole lines.
    good: u64,
    code: Code,
    synced: Instant,
}

/// Takes the parts of an earlier run.
struct Earlier<'a> {
    name: &'a str,
    wanted: &'a CheckpointHeader,
    on_part: &'a mut dyn FnMut(usize, Tally),
    hashes: std::collections::BTreeMap<u64, String>,
    code: Code,
}

impl Reader for Earlier<'_> {
    fn header(&mut self, header: CheckpointHeader) -> Result<(), SweepError> {
        let shards = |h: &CheckpointHeader| format!("{}/{}", h.shard[0], h.shard[1]);
        let mut differs = difference(&header.inputs, &self.wanted.inputs);
        if header.shard != self.wanted.shard {
            let text = format!(
                "shard is {} there, {} here",
                shards(&header),
                shards(self.wanted)
            );
            differs = Some(differs.map_or_else(|| text.clone(), |d| format!("{d}; {text}")));
        }
        match differs {
            None => {
                self.code
                    .extend(self.wanted.outline.listing.iter().cloned());
                Ok(())
            }
            Some(how) => Err(bad(
                self.name,
                1,
                format!("this is the checkpoint of another sweep: {how}; {OTHER}"),
            )),
        }
    }

    fn part(&mut self, line: u64, record: PartRecord) -> Result<(), SweepError> {
        let hash = record.hash();
        match self.hashes.insert(record.part, hash.clone()) {
            Some(old) if old == hash => return Ok(()),
            Some(_) => {
                let why = format!("part {} is there twice, and differs; {OTHER}", record.part);
                return Err(bad(self.name, line, why));
            }
            None => {}
        }
        self.code.extend(record.code);
        let number = usize::try_from(record.part).unwrap_or(usize::MAX);
        (self.on_part)(number, record.tally.into());
        Ok(())
    }
}

impl Checkpoint {
    /// Opens the file at `path`, or begins it. `on_part` is told of each part that it has.
    ///
    /// # Errors
    /// Where it belongs to another sweep, is no such file, is in use, or cannot be read or written.
    pub fn open(
        path: &Path,
        header: &CheckpointHeader,
        on_part: &mut dyn FnMut(usize, Tally),
    ) -> Result<Self, SweepError> {
        let name = printable(&path.to_string_lossy());
        let failed = |error| SweepError::Output {
            file: name.clone(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(SweepError::Record {
                place: name,
                why: "another sweep writes to it; wait for its end, or give another file"
                    .to_owned(),
            });
        }
        let mut earlier = Earlier {
            name: &name,
            wanted: header,
            on_part,
            hashes: std::collections::BTreeMap::new(),
            code: Code::default(),
        };
        let regular = file.metadata().map_err(failed)?.is_file();
        let (good, torn) = if regular {
            read(&name, BufReader::new(&file), &mut earlier)?
        } else {
            (0, Vec::new())
        };
        let line = header.line();
        if !line.as_bytes().starts_with(&torn) {
            return Err(bad(
                &name,
                1,
                format!("this is no checkpoint of a sweep; {OTHER}"),
            ));
        }
        let mut code = earlier.code;
        code.extend(header.outline.listing.iter().cloned());
        if regular {
            file.set_len(good).map_err(failed)?;
            file.seek(SeekFrom::Start(good)).map_err(failed)?;
        }
        let mut checkpoint = Self {
            file,
            name,
            good,
            code,
            synced: Instant::now(),
        };
        if good == 0 {
            checkpoint.write(line.as_bytes())?;
            checkpoint.sync()?;
        }
        Ok(checkpoint)
    }

    /// Adds a part. When this returns, a kill of the program no longer loses it.
    ///
    /// # Errors
    /// Where it cannot be written; then the file ends with the last whole line.
    pub fn add(&mut self, part: usize, tally: &Tally, image: &Image) -> Result<(), SweepError> {
        let record = PartRecord {
            part: part as u64,
            tally: tally.into(),
            code: self.code.add(image, tally.rips()),
        };
        let line = serde_json::to_string(&record).unwrap_or_default() + "\n";
        self.write(line.as_bytes())?;
        if self.synced.elapsed() >= SYNC {
            self.sync()?;
        }
        Ok(())
    }

    /// The code that its lines name.
    #[must_use]
    pub const fn code(&self) -> &Code {
        &self.code
    }

    /// Ends it: what was added is on the disk.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn finish(mut self) -> Result<(), SweepError> {
        self.sync()
    }

    fn failed(&self, error: std::io::Error) -> SweepError {
        SweepError::Output {
            file: self.name.clone(),
            error,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SweepError> {
        if let Err(e) = self.file.write_all(bytes) {
            // The rest of a line; if it cannot be cut off, the next reader does.
            let _ = self.file.set_len(self.good);
            return Err(self.failed(e));
        }
        self.good += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SweepError> {
        self.synced = Instant::now();
        match self.file.sync_data() {
            // Not every file has a disk behind it.
            Err(e) if e.kind() != std::io::ErrorKind::InvalidInput => Err(self.failed(e)),
            _ => Ok(()),
        }
    }
}
