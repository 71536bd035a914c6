//! Linux kernels as distributions ship them: bzImage files, started by the 64-bit boot protocol.

mod fault;
mod image;
mod initrd;
mod kallsyms;
mod payload;
mod setup;
mod start;
mod vmlinux;
mod zero_page;

#[cfg(test)]
mod tests;

pub use fault::LinuxFault;
pub use image::{Linux, LinuxOptions, is_bzimage, load};
pub(super) use start::start;
