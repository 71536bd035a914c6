//! Limits on what is loaded: hostile input costs bounded memory and time.

/// RAM when nothing is asked for: 64 MiB.
pub const DEFAULT_RAM: u64 = 64 << 20;
/// RAM of a Linux kernel when nothing is asked for: 256 MiB.
pub const LINUX_RAM: u64 = 256 << 20;
/// The least RAM: 1 MiB.
pub const MIN_RAM: u64 = 1 << 20;
/// The most RAM: 64 GiB.
pub const MAX_RAM: u64 = 64 << 30;
/// The largest file that is read: 1 GiB.
pub const MAX_FILE: u64 = 1 << 30;
/// The largest source that is assembled: 16 MiB.
pub const MAX_SOURCE: usize = 16 << 20;
/// The most PT_LOAD segments.
pub const MAX_SEGMENTS: usize = 256;
/// The most section headers.
pub const MAX_SECTIONS: usize = 1 << 16;
/// The most symbols.
pub const MAX_SYMBOLS: usize = 1 << 20;
/// The longest symbol name, in bytes; longer ones are left out.
pub const MAX_NAME: usize = 4096;
/// The most rows of line tables.
pub const MAX_LINE_ROWS: usize = 4 << 20;
/// The longest header (directories and files) of one line table, in bytes.
pub const MAX_LINE_HEADER: u64 = 1 << 20;
