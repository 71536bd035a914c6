//! Error codes in selector format (SDM vol. 3, 6.13).
//!
//! ```text
//!  31       16 15           3  2   1   0
//! +-----------+--------------+--+---+---+
//! | 0         | index        |TI|IDT|EXT|
//! +-----------+--------------+--+---+---+
//! ```

use super::{EventType, Selector, Vector};

/// EXT: the exception came from delivering an event that the program did not ask for.
pub const EXT: u32 = 1 << 0;
/// IDT: the index is that of a gate.
pub const IDT: u32 = 1 << 1;

/// EXT for exceptions raised while an event of `kind` is delivered: 0 for INT n, INT3 and
/// INTO; 1 for all others, INT1 included (SDM vol. 2, INT).
#[must_use]
pub const fn ext(kind: EventType) -> u32 {
    if kind.is_software() { 0 } else { EXT }
}

/// The error code that names `selector`.
#[must_use]
pub const fn selector(selector: Selector, ext: u32) -> u32 {
    selector.error_code() | ext
}

/// The error code that names the gate of `vector`.
#[must_use]
pub const fn gate(vector: Vector, ext: u32) -> u32 {
    (vector.0 as u32) << 3 | IDT | ext
}
