//! One report from the files of several shards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::code::Code;
use super::error::SweepError;
use super::inputs::difference;
use super::record::{CheckpointHeader, PartRecord, Reader, bad, read};
use super::report::Report;
use super::tally::Tally;
use crate::load::error::printable;

/// Missing parts that are named.
const NAMED: usize = 8;

/// What the files have come to.
#[derive(Default)]
struct Sum {
    file: String,
    /// The first header and its file.
    first: Option<(CheckpointHeader, String)>,
    /// The numbers of shards that there may be.
    divisions: BTreeSet<u64>,
    /// Hash and file of each part.
    parts: BTreeMap<u64, (String, String)>,
    tally: Tally,
    code: Code,
}

impl Reader for Sum {
    fn header(&mut self, header: CheckpointHeader) -> Result<(), SweepError> {
        self.divisions.insert(header.shard[1]);
        match &self.first {
            None => self.first = Some((header, self.file.clone())),
            Some((first, file)) => {
                if let Some(how) = difference(&first.inputs, &header.inputs) {
                    let why = format!(
                        "this is another sweep than that of {file}: {how}; give the files of one sweep"
                    );
                    return Err(bad(&self.file, 1, why));
                }
            }
        }
        Ok(())
    }

    fn part(&mut self, line: u64, record: PartRecord) -> Result<(), SweepError> {
        let hash = record.hash();
        if let Some((known, file)) = self.parts.get(&record.part) {
            if *known == hash {
                return Ok(());
            }
            let why = format!(
                "part {} is in {file} too, and differs: one of them is broken; run that shard again",
                record.part
            );
            return Err(bad(&self.file, line, why));
        }
        self.parts.insert(record.part, (hash, self.file.clone()));
        self.code.extend(record.code);
        self.tally.merge(record.tally.into());
        Ok(())
    }
}

/// Numbers as a list of which the end may be left out.
fn listed(numbers: &[u64]) -> String {
    let shown: Vec<String> = numbers.iter().take(NAMED).map(u64::to_string).collect();
    match numbers.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Sum {
    /// What is missing, in words.
    fn missing(&self, parts: u64) -> Option<String> {
        let missing: Vec<u64> = (0..parts).filter(|n| !self.parts.contains_key(n)).collect();
        if missing.is_empty() {
            return None;
        }
        let division = self.divisions.first().copied().unwrap_or(1);
        if self.divisions.len() != 1 || division == 1 {
            return Some(format!("parts {} of {parts} are missing", listed(&missing)));
        }
        let mut of_shards: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for &n in &missing {
            of_shards.entry(n % division).or_default().push(n);
        }
        let whole = |k: u64| (parts - k).div_ceil(division) as usize;
        let texts = of_shards.iter().take(NAMED).map(|(&k, of)| {
            let shard = format!("shard {}/{division}", k + 1);
            if of.len() == whole(k) {
                format!("{shard} is missing")
            } else {
                format!("{shard} lacks parts {}", listed(of))
            }
        });
        Some(texts.collect::<Vec<_>>().join("; "))
    }
}

/// The report of the sweep of which `files` have the parts: the one that the undivided sweep gives.
///
/// # Errors
/// Where a file cannot be read, they are of several sweeps, or parts are missing or contradict.
pub fn merge(files: &[PathBuf]) -> Result<Report, SweepError> {
    let mut sum = Sum::default();
    for path in files {
        sum.file = printable(&path.to_string_lossy());
        let unread = |e: std::io::Error| SweepError::Record {
            place: printable(&path.to_string_lossy()),
            why: format!("cannot be read: {e}; give the file of a shard's --checkpoint"),
        };
        let file = File::open(path).map_err(unread)?;
        if !file.metadata().map_err(unread)?.is_file() {
            return Err(unread(std::io::Error::other("it is no regular file")));
        }
        let name = sum.file.clone();
        let (good, _) = read(&name, BufReader::new(file), &mut sum)?;
        if good == 0 {
            let why = "this is no checkpoint of a sweep, or none that has begun";
            return Err(bad(&name, 1, why));
        }
    }
    let Some((header, _)) = &sum.first else {
        return Err(SweepError::Record {
            place: "merge".to_owned(),
            why: "there is no file".to_owned(),
        });
    };
    if let Some(why) = sum.missing(header.outline.parts) {
        return Err(SweepError::Record {
            place: "merge".to_owned(),
            why: format!(
                "the files are not the whole sweep: {why}; start it again with the same --checkpoint, it goes on where it was"
            ),
        });
    }
    Ok(header.outline.filled(&sum.tally, &sum.code, &|_| true))
}
