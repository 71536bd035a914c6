//! What can be wrong with a Linux kernel image.

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
    #[error("setup header: {problem}; {mend}")]
    Unsupported {
        /// What it is.
        problem: String,
        /// What to use instead.
        mend: &'static str,
    },
    /// The payload is packed in a way that is not read.
    #[error(
        "payload: begins with {magic}, which is {name}; rebuild the kernel with CONFIG_KERNEL_ZSTD, CONFIG_KERNEL_XZ or CONFIG_KERNEL_LZ4"
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
    /// The command line is too long.
    #[error("--append: {len} bytes, and this kernel takes {limit}; shorten it")]
    CommandLine {
        /// Its length.
        len: usize,
        /// The limit of the kernel.
        limit: usize,
    },
}
