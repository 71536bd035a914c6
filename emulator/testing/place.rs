//! Places in code: names, with an offset, or addresses.

use std::fmt;

use crate::arch::VirtAddr;

/// `page_fault`, `page_fault+0x1a` or `0xffffffff80001000`; it is looked up when the test runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place(String);

impl Place {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Place {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<u64> for Place {
    fn from(at: u64) -> Self {
        Self(format!("{at:#x}"))
    }
}

impl From<VirtAddr> for Place {
    fn from(at: VirtAddr) -> Self {
        Self::from(at.0)
    }
}
