//! What can be wrong with an ELF file. Each message is `place: problem; mend`.

/// Why an ELF file does not load (System V gABI, chapters 4 and 5).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfFault {
    /// Something lies beyond the end of the file.
    #[error(
        "{place}: reaches to byte {end:#x}, but the file ends at {len:#x}; it is cut off or damaged: build or copy it again"
    )]
    Truncated {
        /// What.
        place: String,
        /// Where it should end.
        end: u64,
        /// Where the file ends.
        len: u64,
    },
    /// e_ident EI_CLASS.
    #[error(
        "ELF header, byte 4: a 32-bit ELF (class {class}), but only ELF64 starts in long mode; build it for x86-64 (-m64)"
    )]
    Class {
        /// EI_CLASS.
        class: u8,
    },
    /// e_ident EI_DATA.
    #[error(
        "ELF header, byte 5: big-endian (data encoding {data}), but x86-64 is little-endian; build it for x86-64"
    )]
    Endian {
        /// EI_DATA.
        data: u8,
    },
    /// EI_VERSION or e_version.
    #[error(
        "ELF header, version: {version}, but only 1 is defined; the file is damaged: build it again"
    )]
    Version {
        /// What it is.
        version: u32,
    },
    /// e_machine.
    #[error(
        "ELF header, e_machine: made for {name} ({machine}), not for x86-64 (62); build it for x86-64"
    )]
    Machine {
        /// e_machine.
        machine: u16,
        /// Its name.
        name: &'static str,
    },
    /// ET_REL.
    #[error(
        "ELF header, e_type: an object file that is not linked (ET_REL); link it first: ld -o kernel.elf FILE.o"
    )]
    NotLinked,
    /// Another e_type than ET_EXEC or ET_DYN.
    #[error("ELF header, e_type: {kind}, not an executable; give a statically linked executable")]
    Type {
        /// What it is.
        kind: String,
    },
    /// e_phentsize or e_shentsize.
    #[error(
        "ELF header, {field}: {size} bytes, but ELF64 has {expected}; the file is damaged: build it again"
    )]
    EntrySize {
        /// Which.
        field: &'static str,
        /// What it is.
        size: u16,
        /// What it must be.
        expected: u16,
    },
    /// Nothing to load.
    #[error(
        "program headers: no PT_LOAD segment with memory; link it as an executable (ld, not ld -r)"
    )]
    NoSegments,
    /// More than any kernel has.
    #[error("{place}: {count} of them, more than the limit of {limit}; {mend}")]
    TooMany {
        /// Of what.
        place: &'static str,
        /// How many.
        count: u64,
        /// The limit.
        limit: u64,
        /// What to do.
        mend: &'static str,
    },
    /// One segment's numbers make no sense.
    #[error("{segment}: {problem}; {mend}")]
    Segment {
        /// Its number and addresses.
        segment: String,
        /// The problem.
        problem: String,
        /// What to do.
        mend: &'static str,
    },
    /// Two segments want the same addresses.
    #[error(
        "{first} and {second}: overlap in {space} memory at {at:#x}; give them separate addresses in the linker script"
    )]
    Overlap {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// `virtual` or `physical`.
        space: &'static str,
        /// The first shared address.
        at: u64,
    },
    /// e_entry lies in no segment.
    #[error(
        "ELF header, e_entry: {entry:#x} lies in no segment; set it with ENTRY(_start) in the linker script or ld -e"
    )]
    Entry {
        /// e_entry.
        entry: u64,
    },
    /// PT_INTERP or DT_NEEDED.
    #[error(
        "{place}: needs {what}, and there is no dynamic linker here; link it statically (-static, or -static-pie)"
    )]
    Dynamic {
        /// PT_INTERP or DT_NEEDED.
        place: &'static str,
        /// What it asks for.
        what: String,
    },
    /// A dynamic relocation that cannot be applied.
    #[error("relocation {index} of {table}: {problem}; {mend}")]
    Relocation {
        /// Its number.
        index: usize,
        /// DT_RELA or DT_JMPREL.
        table: &'static str,
        /// The problem.
        problem: String,
        /// What to do.
        mend: &'static str,
    },
    /// Anything else that contradicts the format.
    #[error("{place}: {problem}; the file is damaged: build it again")]
    Malformed {
        /// Where.
        place: String,
        /// The problem.
        problem: String,
    },
}
