//! IA-32e paging: entries, reserved bits, rights, the walk (SDM vol. 3, Paging).

pub mod context;
pub mod entry;
pub mod reserved;
pub mod rights;
pub mod walk;

pub use context::PagingContext;
pub use entry::Entry;
pub use rights::Rights;
pub use walk::{PageWalk, PhysMemory, Step, Translation, walk};
