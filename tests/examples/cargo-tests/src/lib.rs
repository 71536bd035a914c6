//! Entry code of a kernel, as Rust embeds it.

/// The entry of page faults.
pub const PAGE_FAULT: &str = include_str!("page_fault.S");
