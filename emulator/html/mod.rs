//! Pages for a browser that need nothing else: no script, no font, no other file.

mod escaped;
mod page;

pub use escaped::Escaped;
pub use page::{THEME, begin};
