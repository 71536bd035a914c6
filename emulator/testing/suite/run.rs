//! Runs the tests of files on several threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::machine::StopReason;
use crate::testing::code::Program;
use crate::testing::directive::{Ready, TestFile, TestText};
use crate::testing::error::TestError;
use crate::testing::expect::Expectation;
use crate::testing::session::End;

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

/// What became of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything holds.
    Passed,
    /// Its golden trace was written.
    Blessed,
    /// Something does not hold.
    Failed {
        /// The cause, in one line.
        headline: String,
        /// Everything.
        text: String,
        /// Only the golden trace differs.
        golden: bool,
    },
    /// The test itself is wrong: a directive, the code, a file.
    Broken(String),
    /// The code needs what is not modelled.
    NotModelled(String),
}

impl Outcome {
    /// Whether all is well.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Passed | Self::Blessed)
    }
}

/// One test and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestResult {
    /// Its file.
    pub file: String,
    /// The line where it begins.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Instructions of the code under test.
    pub instructions: u64,
    /// How long it took, on the clock.
    pub took: Duration,
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

/// All results, in the order of the files and of the tests in them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// One for each test.
    pub results: Vec<TestResult>,
}

impl Report {
    /// How many are of this kind.
    pub fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.results.iter().filter(|r| of(&r.outcome)).count()
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.results.iter().all(|r| r.outcome.is_good())
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
    /// Files that could not be read, by the number of those before them.
    broken: Vec<(usize, TestResult)>,
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
                Err(e) => suite.broken.push((suite.files.len(), broken(path, &e))),
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

    /// Runs one test, by its file's number and its own.
    #[must_use]
    pub fn run_one(&self, listed: &Listed, options: &Options) -> Option<TestResult> {
        let chosen = self.chosen(options);
        let found = chosen
            .into_iter()
            .find(|(f, t)| f.file.shown == listed.file && t.name == listed.name);
        found.map(|(f, t)| result(f, t, options))
    }

    /// Runs the chosen tests. `on_result` is told of each as it ends, in any order; it may set
    /// `interrupt`, after which no more are begun.
    pub fn run(
        &self,
        options: &Options,
        interrupt: &AtomicBool,
        on_result: &(dyn Fn(&TestResult) + Sync),
    ) -> Report {
        let chosen = self.chosen(options);
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<(usize, TestResult)>> = Mutex::new(Vec::new());
        for (_, broken) in &self.broken {
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
        let mut results = results.into_inner().unwrap_or_default();
        results.sort_by_key(|r| r.0);
        let broken = self.broken.iter().map(|b| b.1.clone());
        Report {
            results: broken.chain(results.into_iter().map(|r| r.1)).collect(),
        }
    }

    /// Files that could not be read.
    pub fn broken(&self) -> impl Iterator<Item = &TestResult> {
        self.broken.iter().map(|b| &b.1)
    }
}

fn listed(file: &Loaded, test: &TestText) -> Listed {
    Listed {
        file: file.file.shown.clone(),
        line: test.spot.line,
        name: test.name.clone(),
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
        file: file.file.shown.clone(),
        line: test.spot.line,
        name: test.name.clone(),
        outcome,
        instructions,
        took: begun.elapsed(),
    }
}

fn execute(ready: Ready, options: &Options, instructions: &mut u64) -> Result<Outcome, TestError> {
    let Ready {
        case,
        golden,
        fails,
    } = ready;
    let mut run = case.run()?;
    *instructions = run.seen().instructions;
    if let End::Stopped(stop @ StopReason::NotModelled { .. }) = run.end() {
        return Ok(Outcome::NotModelled(stop.to_string()));
    }
    let mut expected = case.expectations().to_vec();
    if !expected.iter().any(|e| !e.is_about_the_end()) {
        expected.push(Expectation::Sound);
    }
    let mut blessed = false;
    if let Some(path) = &golden {
        let unusable = |e: std::io::Error, what: &str| {
            TestError::setup(format!("golden {}", path.display()), format!("{what}: {e}"))
        };
        if options.bless {
            let text = run.trace();
            if std::fs::read_to_string(path).ok().as_deref() != Some(text.as_str()) {
                std::fs::write(path, text).map_err(|e| unusable(e, "cannot be written"))?;
                blessed = true;
            }
        } else {
            let text = std::fs::read_to_string(path)
                .map_err(|e| unusable(e, "cannot be read (--bless writes it)"))?;
            expected.push(Expectation::Golden(text));
        }
    }
    let failure = run.check_all(&expected)?;
    Ok(match failure {
        None if fails.is_empty() => {
            if blessed {
                Outcome::Blessed
            } else {
                Outcome::Passed
            }
        }
        None => Outcome::Failed {
            headline: "it passes, although it must fail".to_owned(),
            text: format!("{} passes, although it must fail: {fails:?}", case.name()),
            golden: false,
        },
        Some(failure) => {
            let text = failure.to_string();
            let missing = fails.iter().find(|f| !text.contains(f.as_str()));
            match missing {
                None if !fails.is_empty() => Outcome::Passed,
                Some(words) => Outcome::Failed {
                    headline: format!("it fails, but its message has not {words:?}"),
                    text: format!(
                        "{} fails as it must, but its message has not {words:?}:\n{text}",
                        case.name()
                    ),
                    golden: false,
                },
                None => Outcome::Failed {
                    headline: failure.headline(),
                    golden: failure.problems.iter().all(|p| p.expected == "golden"),
                    text,
                },
            }
        }
    })
}
