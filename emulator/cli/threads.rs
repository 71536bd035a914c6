//! `--jobs`.

/// The threads of `--jobs`: at least one, and one for each processor unless it says otherwise.
pub fn wanted(jobs: Option<usize>) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    jobs.unwrap_or_else(processors).max(1)
}
