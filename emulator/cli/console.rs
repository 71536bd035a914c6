//! `--console`: what the guest prints, on standard output as it is.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iretrace::machine::ConsoleListener;

/// Passes the guest's bytes on, and remembers how that failed.
#[derive(Clone, Debug, Default)]
pub struct Console {
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Console {
    /// What a machine calls with the bytes. The first failure sets `stop`; nothing follows it.
    pub fn writer(&self, stop: Arc<AtomicBool>) -> ConsoleListener {
        let failed = Rc::clone(&self.failed);
        let watched = io::stdout().is_terminal();
        Box::new(move |_, bytes| {
            if failed.borrow().is_some() {
                return;
            }
            let mut out = io::stdout().lock();
            let result = out
                .write_all(bytes)
                .and_then(|()| if watched { out.flush() } else { Ok(()) });
            if let Err(e) = result {
                *failed.borrow_mut() = Some(e);
                stop.store(true, Ordering::SeqCst);
            }
        })
    }

    /// The run is over.
    pub fn finish(&self) -> io::Result<()> {
        match self.failed.borrow_mut().take() {
            Some(e) => Err(e),
            None => io::stdout().flush(),
        }
    }
}
