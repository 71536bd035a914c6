//! Ctrl-C: the first ends the run in good order, the second ends the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::exit_code::ExitCode;
use super::talk;

/// Lets Ctrl-C set `flag`. Without a handler Ctrl-C kills, which is not worth failing for.
pub fn watch(flag: Arc<AtomicBool>) {
    let seen = AtomicBool::new(false);
    let handler = move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(ExitCode::Interrupted.number().into());
        }
        flag.store(true, Ordering::SeqCst);
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        talk::note(&format!("Ctrl-C will cut the output short: {e}"));
    }
}
