//! What can be wrong with an image: each error is one line with the file, the place and the mend.

use super::elf_fault::ElfFault;
use super::linux::LinuxFault;
use super::symbols::SymbolError;
pub use crate::printable::is_harmful;

/// Why an image cannot be loaded or started. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file.
    #[error("{file}: no such file; check the path (a built-in program is written @NAME)")]
    NotFound {
        /// The file.
        file: String,
    },
    /// The file cannot be read.
    #[error("{file}: cannot be read: {cause}; give a regular file that you may read")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        cause: String,
    },
    /// The file is larger than any image that is accepted.
    #[error(
        "{file}: has {size} bytes, more than the limit of {limit}; strip it (strip --strip-debug) or split it"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// No built-in program has this name.
    #[error("@{name}: no such built-in program; {}", known_programs(.nearest.as_deref()))]
    UnknownBuiltin {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
    },
    /// The content is nothing that can be run.
    #[error("{file}: byte 0: looks like {looks_like}; {mend}")]
    Unrecognised {
        /// The file.
        file: String,
        /// What it looks like.
        looks_like: String,
        /// What to do.
        mend: String,
    },
    /// The ELF file is malformed, or of a kind that does not run here.
    #[error("{file}: {fault}")]
    Elf {
        /// The file.
        file: String,
        /// The place, the problem and the mend.
        fault: ElfFault,
    },
    /// The Linux kernel image is malformed, or of a kind that does not run here.
    #[error("{file}: {fault}")]
    Linux {
        /// The file.
        file: String,
        /// The place, the problem and the mend.
        fault: Box<LinuxFault>,
    },
    /// An option contradicts the content.
    #[error("{file}: {problem}; {mend}")]
    Option {
        /// The file.
        file: String,
        /// The contradiction.
        problem: String,
        /// What to do.
        mend: &'static str,
    },
    /// A tool that assembles sources is not installed.
    #[error(
        "{file}: needs the program '{tool}', which was not found in PATH; install it (Debian, Ubuntu: apt install {package})"
    )]
    ToolMissing {
        /// The source.
        file: String,
        /// `as`, `ld` or `sh`.
        tool: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// The assembler or the linker refused the source.
    #[error("{file}: {tool}: {first}{}; mend the source there", more(*.others))]
    Assemble {
        /// The source.
        file: String,
        /// `as` or `ld`.
        tool: &'static str,
        /// The first message, with its `file:line`.
        first: String,
        /// How many more there are.
        others: usize,
    },
    /// The assembler or the linker was stopped at a limit.
    #[error(
        "{file}: {tool} was stopped: {limit}; look for a runaway .rept, .fill, .org or .include"
    )]
    AssembleLimit {
        /// The source.
        file: String,
        /// `as` or `ld`.
        tool: &'static str,
        /// Which limit.
        limit: String,
    },
    /// The files that assembling needs could not be made, or a tool could not be run.
    #[error(
        "{file}: cannot assemble: {place}: {cause}; check that TMPDIR exists, is writable and not full"
    )]
    Work {
        /// The source.
        file: String,
        /// What was being done.
        place: String,
        /// What the system said.
        cause: String,
    },
    /// A segment does not fit in RAM.
    #[error(
        "{file}: {segment} needs physical memory up to {end:#x}, beyond the RAM of {ram:#x} bytes; {mend}"
    )]
    BeyondRam {
        /// The file.
        file: String,
        /// The segment, by number and addresses.
        segment: String,
        /// End of the segment.
        end: u64,
        /// RAM size.
        ram: u64,
        /// What to do.
        mend: String,
    },
    /// A segment lies where RAM cannot be reached.
    #[error("{file}: {segment} covers the local APIC's page at 0xfee00000; link it elsewhere")]
    CoversApic {
        /// The file.
        file: String,
        /// The segment, by number and addresses.
        segment: String,
    },
    /// Two segments want one page to be two frames.
    #[error(
        "{file}: {first} and {second} share the virtual page {page:#x} but not its physical frame; align them to 4096 bytes in the linker script"
    )]
    SharedPage {
        /// The file.
        file: String,
        /// One segment.
        first: String,
        /// The other.
        second: String,
        /// The page.
        page: u64,
    },
    /// The RAM size is not one that a machine can have.
    #[error("RAM of {ram} bytes: {problem}; give a multiple of 4096 from {min} (1 MiB) to {max}")]
    RamSize {
        /// What was asked for.
        ram: u64,
        /// What is wrong with it.
        problem: &'static str,
        /// The least.
        min: u64,
        /// The most, of this CPU model.
        max: u64,
    },
    /// No place is left in RAM for page tables, descriptors and stack.
    #[error(
        "{file}: RAM of {ram:#x} bytes has no free run of {need:#x} bytes for the start-up page tables, GDT and stack; give more RAM"
    )]
    NoRoom {
        /// The file.
        file: String,
        /// Bytes that are needed.
        need: u64,
        /// RAM size.
        ram: u64,
    },
    /// A symbol or address is not in the image.
    #[error("{file}: {fault}")]
    Symbol {
        /// The file.
        file: String,
        /// What is wrong.
        fault: SymbolError,
    },
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    }
}

fn known_programs(nearest: Option<&str>) -> String {
    match nearest {
        Some(n) => format!("did you mean @{n}?"),
        None => "'iretrace programs' lists them".to_owned(),
    }
}

/// `text` on one line: control characters and direction marks are escaped, the length is bounded.
///
/// File and symbol names come from outside; a terminal or a one-line log must survive them.
#[must_use]
pub fn printable(text: &str) -> String {
    crate::printable::printable(text, 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_keeps_one_line_and_bounds_it() {
        assert_eq!(printable("a b/c.S"), "a b/c.S");
        assert_eq!(printable("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(printable("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(printable(&"z".repeat(10_000)).chars().count(), 401);
    }
}
