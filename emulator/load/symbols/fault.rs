//! What can be wrong with a place that is named.

use crate::arch::VirtAddr;

/// Why a place cannot be resolved. Messages name the place and the mend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// No such symbol.
    #[error("symbol '{name}': not in the image; {}", suggestion(.nearest.as_deref(), *.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
        /// How many symbols there are.
        known: usize,
    },
    /// Several local symbols have this name and no global one does.
    #[error(
        "symbol '{name}': {count} local symbols have this name, the first two at {first} and {second}; give the address itself"
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
        /// One.
        first: VirtAddr,
        /// Another.
        second: VirtAddr,
    },
    /// Not `NAME`, `NAME+OFFSET`, `NAME-OFFSET` or `0x…`.
    #[error("address '{text}': {problem}; write NAME, NAME+0x1f, NAME-4 or 0xffffffff80000000")]
    Malformed {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

fn suggestion(nearest: Option<&str>, known: usize) -> String {
    match (nearest, known) {
        (Some(n), _) => format!("did you mean '{n}'?"),
        (None, 0) => "it has no symbols: give an address (0x…)".to_owned(),
        (None, _) => "list its symbols with nm".to_owned(),
    }
}
