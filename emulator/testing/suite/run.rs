//! Runs the tests of files on several threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::judge::execute;
use super::outcome::{Outcome, Report, TestResult};
use crate::testing::code::Program;
use crate::testing::directive::{TestFile, TestText};
use crate::testing::error::TestError;

/// How tests are chosen and run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads.
    pub jobs: usize,
    /// Only tests whose name has one of these in it; all, if there is none.
    pub filters: Vec<String>,
    /// Filters are whole names.
    pub exact: bool,
    /// Not tests whose name has one of these in it.
    pub skip: Vec<String>,
    /// Golden traces are written, and not compared.
    pub bless: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 1,
            filters: Vec::new(),
            exact: false,
            skip: Vec::new(),
            bless: false,
        }
    }
}

/// A test that could be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its file.
    pub file: String,
    /// The line where it begins.
    pub line: usize,
    /// Its name.
    pub name: String,
}

impl Listed {
    /// `FILE::NAME`, which filters look at.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.file, self.name)
    }
}

/// A file, read, and its code when somebody has needed it.
#[derive(Debug)]
struct Loaded {
    file: TestFile,
    program: OnceLock<Result<Program, String>>,
}

impl Loaded {
    fn program(&self) -> Result<&Program, &String> {
        let built = || self.file.program().map_err(|e| e.to_string());
        self.program.get_or_init(built).as_ref()
    }
}

/// The tests of some files.
#[derive(Debug)]
pub struct Suite {
    files: Vec<Loaded>,
    /// Files that could not be read.
    broken: Vec<TestResult>,
}

impl Suite {
    /// Reads files. One that is wrong is a broken test of its own.
    #[must_use]
    pub fn read(paths: &[PathBuf]) -> Self {
        let mut suite = Self {
            files: Vec::new(),
            broken: Vec::new(),
        };
        for path in paths {
            match TestFile::read(path) {
                Ok(file) => suite.files.push(Loaded {
                    file,
                    program: OnceLock::new(),
                }),
                Err(e) => suite.broken.push(broken(path, &e)),
            }
        }
        suite
    }

    /// The tests that `options` choose, in order.
    #[must_use]
    pub fn list(&self, options: &Options) -> Vec<Listed> {
        let chosen = self.chosen(options);
        chosen.into_iter().map(|(f, t)| listed(f, t)).collect()
    }

    fn chosen(&self, options: &Options) -> Vec<(&Loaded, &TestText)> {
        let all = self
            .files
            .iter()
            .flat_map(|f| f.file.tests.iter().map(move |t| (f, t)));
        all.filter(|(f, t)| {
            let listed = listed(f, t);
            let full = listed.full_name();
            let fits = |filter: &String| {
                if options.exact {
                    *filter == full || *filter == listed.name
                } else {
                    full.contains(filter.as_str())
                }
            };
            (options.filters.is_empty() || options.filters.iter().any(fits))
                && !options.skip.iter().any(|s| full.contains(s.as_str()))
        })
        .collect()
    }

    /// Runs one test, if `options` choose it.
    #[must_use]
    pub fn run_one(&self, listed: &Listed, options: &Options) -> Option<TestResult> {
        let chosen = self.chosen(options);
        let found = chosen
            .into_iter()
            .find(|(f, t)| f.file.shown == listed.file && t.name == listed.name);
        found.map(|(f, t)| result(f, t, options))
    }

    /// Runs the chosen tests. `on_result` is told of each as it ends, in any order; it may set
    /// `interrupt`, after which no more are begun: the report has these as [`Outcome::NotRun`].
    pub fn run(
        &self,
        options: &Options,
        interrupt: &AtomicBool,
        on_result: &(dyn Fn(&TestResult) + Sync),
    ) -> Report {
        let chosen = self.chosen(options);
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, TestResult)>> = Mutex::new(Vec::new());
        for broken in &self.broken {
            on_result(broken);
        }
        std::thread::scope(|scope| {
            for _ in 0..options.jobs.clamp(1, chosen.len().max(1)) {
                scope.spawn(|| {
                    while !interrupt.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let Some((file, test)) = chosen.get(n) else {
                            break;
                        };
                        let result = result(file, test, options);
                        on_result(&result);
                        if let Ok(mut results) = results.lock() {
                            results.push((n, result));
                        }
                    }
                });
            }
        });
        let mut all: Vec<TestResult> = chosen.iter().map(|(f, t)| not_run(f, t)).collect();
        for (n, result) in results.into_inner().unwrap_or_default() {
            all[n] = result;
        }
        let broken = self.broken.iter().cloned();
        Report {
            results: broken.chain(all).collect(),
        }
    }

    /// Files that could not be read.
    pub fn broken(&self) -> impl Iterator<Item = &TestResult> {
        self.broken.iter()
    }
}

fn listed(file: &Loaded, test: &TestText) -> Listed {
    Listed {
        file: file.file.shown.clone(),
        line: test.spot.line,
        name: test.name.clone(),
    }
}

fn not_run(file: &Loaded, test: &TestText) -> TestResult {
    TestResult {
        file: file.file.shown.clone(),
        line: test.spot.line,
        name: test.name.clone(),
        outcome: Outcome::NotRun,
        instructions: 0,
        took: Duration::ZERO,
    }
}

fn broken(path: &Path, e: &TestError) -> TestResult {
    TestResult {
        file: crate::load::error::printable(&path.to_string_lossy()),
        line: 1,
        name: "the file".to_owned(),
        outcome: Outcome::Broken(e.to_string()),
        instructions: 0,
        took: Duration::ZERO,
    }
}

fn result(file: &Loaded, test: &TestText, options: &Options) -> TestResult {
    let begun = Instant::now();
    let mut instructions = 0;
    let outcome = match file.program() {
        Ok(program) => match file.file.ready(test, program) {
            Ok(ready) => execute(ready, options, &mut instructions).unwrap_or_else(|e| {
                let (file, line) = (&file.file.shown, test.spot.line);
                Outcome::Broken(format!("{file}:{line}: {}: {e}", test.name))
            }),
            Err(e) => Outcome::Broken(e.to_string()),
        },
        Err(e) => Outcome::Broken(e.clone()),
    };
    TestResult {
        outcome,
        instructions,
        took: begun.elapsed(),
        ..not_run(file, test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::suite::{Format, render};

    #[test]
    fn an_interrupted_run_names_what_was_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.S");
        let test = |n: u32| format!("#@ test t{n}\n#@ gate NMI nmi\n#@ raise nmi\n");
        let text = [test(1), test(2), "nmi: iretq\n".to_owned()].concat();
        std::fs::write(&path, text).unwrap();
        let suite = Suite::read(&[path]);
        let stop = AtomicBool::new(false);
        let report = suite.run(&Options::default(), &stop, &|_| {
            stop.store(true, Ordering::Relaxed);
        });
        let outcomes: Vec<_> = report.results.iter().map(|r| &r.outcome).collect();
        assert_eq!(outcomes, [&Outcome::Passed, &Outcome::NotRun]);
        assert!(!report.is_good());
        let human = render(&report, Format::Human);
        assert!(human.ends_with("2 tests: 1 passed, 1 not run\n"), "{human}");
        let junit = render(&report, Format::Junit);
        assert!(
            junit.contains("skipped=\"1\"") && junit.contains("<skipped "),
            "{junit}"
        );
        let ktap = render(&report, Format::Ktap);
        assert!(ktap.contains("a.S: t2 # SKIP interrupted"), "{ktap}");
    }
}
