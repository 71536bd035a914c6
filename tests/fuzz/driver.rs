//! Runs one target: seeds, changes to them, and what must hold whatever comes.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::random::Random;

/// Far more than any input takes in an unoptimised build: only what hangs takes longer.
const SLOW: Duration = Duration::from_secs(4);

/// The most memory that the whole process may ever have touched.
const MEMORY: u64 = 512 << 20;

/// The most inputs that are kept because something new was said about them.
const KEPT: usize = 2048;

/// What strangers hand in, and what it must not do.
pub trait Target {
    /// Names its failures and their files.
    const NAME: &'static str;
    /// Inputs in the part that always runs.
    const CASES: u64;

    /// Well-formed inputs.
    fn seeds() -> Vec<Vec<u8>>;
    /// One change that keeps most of an input's form.
    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random);
    /// Reads `input`, panics if a rule is broken, and says in words what came of it.
    fn check(input: &[u8]) -> String;
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
    )
}

/// Peak resident memory in bytes; `None` where the system does not tell.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    text.unwrap_or_else(|| "a panic".to_owned())
}

fn file<T: Target>() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", T::NAME))
}

/// Checks one input, and panics with where it was kept if it breaks a rule.
fn one<T: Target>(input: &[u8]) -> String {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| T::check(input)));
    let took = started.elapsed();
    let broken = match &outcome {
        Err(payload) => Some(words(&**payload)),
        Ok(_) if took > SLOW => Some(format!("took {took:?}")),
        Ok(_) if peak().is_some_and(|bytes| bytes > MEMORY) => Some("memory beyond bound".into()),
        Ok(_) => None,
    };
    if let Some(what) = broken {
        let path = file::<T>();
        let kept = match std::fs::write(&path, input) {
            Ok(()) => format!("FUZZ_REPLAY={} reads it again", path.display()),
            Err(e) => format!("not kept: {e}"),
        };
        let head = &input[..input.len().min(600)];
        panic!(
            "{}: {what}\n{:?}\n{kept}",
            T::NAME,
            String::from_utf8_lossy(head)
        );
    }
    outcome.unwrap_or_default()
}

/// What was said, up to a quotation and without numbers: two inputs of one class teach nothing new.
fn class(said: &str) -> String {
    let plain = said.split(['"', '`', '\'']).next().unwrap_or_default();
    let words = plain
        .split(' ')
        .filter(|w| !w.contains(|c: char| c.is_ascii_digit()));
    words.take(60).collect()
}

/// Checks the seeds, then inputs made of them: [`Target::CASES`] of them, or for `FUZZ_SECONDS`.
pub fn fuzz<T: Target>() {
    if let Some(path) = std::env::var_os("FUZZ_REPLAY") {
        let input = std::fs::read(path).expect("FUZZ_REPLAY names a readable file");
        println!("{}: {}", T::NAME, T::check(&input));
        return;
    }
    let mut r = Random::new(number("FUZZ_SEED").unwrap_or(1));
    let seconds = number("FUZZ_SECONDS").map(Duration::from_secs);
    let mut kept = T::seeds();
    assert!(!kept.is_empty(), "{}: no seeds", T::NAME);
    let mut classes: BTreeSet<String> = kept.iter().map(|s| class(&one::<T>(s))).collect();
    let (started, mut cases) = (Instant::now(), 0u64);
    while seconds.map_or(cases < T::CASES, |s| started.elapsed() < s) {
        cases += 1;
        let mut input = kept[r.below(kept.len())].clone();
        let other = kept[r.below(kept.len())].clone();
        for _ in 0..1 + r.below(4) {
            T::mutate(&mut input, &other, &mut r);
        }
        let new = classes.insert(class(&one::<T>(&input)));
        if new && kept.len() < KEPT {
            kept.push(input);
        }
    }
    if std::env::var_os("FUZZ_OUTCOMES").is_some() {
        classes.iter().for_each(|c| println!("{c}"));
    }
    let (took, count) = (started.elapsed(), classes.len());
    println!(
        "{}: {cases} inputs in {took:.1?}, {count} different outcomes",
        T::NAME
    );
}

/// An error as people see it: on one line, not endless, without what changes a terminal.
pub fn one_line(message: &str) {
    assert!(!message.trim().is_empty(), "an empty message");
    let bad =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    assert!(!message.contains(bad), "not one plain line: {message:?}");
    assert!(
        message.len() < 64 << 10,
        "a message of {} bytes",
        message.len()
    );
}
