//! What can be wrong with a Linux kernel image.

use crate::arch::PhysAddr;
use crate::load::elf_fault::ElfFault;

/// Why a bzImage cannot be started. Each names the place, the problem and the mend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinuxFault {
    /// The setup header is cut short or contradicts itself.
    #[error("setup header: {problem}; the file is damaged: install the package again")]
    Header {
        /// What is wrong.
        problem: String,
    },
    /// The kernel is of a kind that does not run here.
    #[error("{place}: {problem}; {mend}")]
    Unsupported {
        /// Where that shows.
        place: &'static str,
        /// What it is.
        problem: String,
        /// What to use instead.
        mend: &'static str,
    },
    /// The payload is packed in a way that is not read.
    #[error(
        "payload: begins with {magic}, which is {name}; rebuild the kernel with CONFIG_KERNEL_GZIP, CONFIG_KERNEL_ZSTD, CONFIG_KERNEL_XZ or CONFIG_KERNEL_LZ4"
    )]
    Compression {
        /// Its first bytes.
        magic: String,
        /// What these mean.
        name: &'static str,
    },
    /// The payload cannot be unpacked.
    #[error("payload: {format}: {cause}; the file is damaged: install the package again")]
    Unpack {
        /// How it is packed.
        format: &'static str,
        /// What the library said.
        cause: String,
    },
    /// What is packed in it is no kernel that can be loaded.
    #[error("unpacked kernel: {0}")]
    Elf(ElfFault),
    /// It is to lie where the state that the boot protocol asks for is made.
    #[error(
        "unpacked kernel: a segment at {at}, below {end}, where the page tables for the start end; \
         build the kernel with CONFIG_PHYSICAL_START=0x1000000, or give less --ram"
    )]
    Low {
        /// Where it is to lie.
        at: PhysAddr,
        /// The first address above the tables.
        end: PhysAddr,
    },
    /// The command line is too long.
    #[error(
        "--append: makes a command line of {len} bytes, and {whose} is {limit}; give {} bytes less",
        .len - .limit
    )]
    CommandLine {
        /// Its length.
        len: usize,
        /// Whose limit it is.
        whose: &'static str,
        /// The limit, which is less.
        limit: usize,
    },
}

impl LinuxFault {
    /// A kernel that is no x86-64 one, as `place` shows.
    pub(super) const fn not_64_bit(place: &'static str, problem: String) -> Self {
        Self::Unsupported {
            place,
            problem,
            mend: "give an x86-64 kernel (Debian: linux-image-amd64)",
        }
    }
}
