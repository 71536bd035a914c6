//! Images: what is loaded, its symbols and lines, and the state in which it starts.

pub mod assemble;
pub mod boot;
pub mod builtin;
pub mod define;
pub mod detect;
pub mod elf;
pub mod elf_fault;
pub mod error;
pub mod flat;
mod foreign;
pub mod image;
pub mod limits;
pub mod lines;
pub mod link;
pub mod linux;
pub mod paging;
pub mod placement;
mod relocate;
mod spans;
pub mod symbols;
mod tool;
mod undefined;
mod work;

#[cfg(test)]
mod samples;

pub use boot::{Boot, BootLayout, boot};
pub use builtin::Builtin;
pub use define::{Define, DefineError, DefineValue};
pub use elf_fault::ElfFault;
pub use error::LoadError;
pub use image::read as read_file;
pub use image::{Format, Image, LoadOptions, LoadSegment, SegmentFlags};
pub use lines::LineInfo;
pub use link::{Linkage, Linked, Source};
pub use linux::{LinuxFault, LinuxOptions};
pub use placement::Placement;
pub use symbols::{SymbolError, SymbolTable};
