//! The file that keeps the parts that are done. What a kill or a full disk leaves of a line is cut
//! off.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::code::Code;
use super::error::SweepError;
use super::inputs::difference;
use super::record::{CheckpointHeader, OTHER, PartRecord, Reader, bad, read};
use super::tally::Tally;
use crate::load::Image;
use crate::load::error::printable;

/// A machine that crashes loses what is younger than this.
const SYNC: Duration = Duration::from_secs(1);

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
    hashes: BTreeMap<u64, String>,
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
            hashes: BTreeMap::new(),
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
