//! Segment selectors (SDM vol. 3, 3.4.2).
//!
//! ```text
//!  15            3  2  1 0
//! +---------------+--+---+
//! | index         |TI|RPL|
//! +---------------+--+---+
//! ```

/// A segment selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selector(pub u16);

impl Selector {
    /// The requested privilege level.
    #[must_use]
    pub const fn rpl(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// Whether it is null: index 0 of the GDT, with any RPL.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 & !3 == 0
    }

    /// TI: the LDT, not the GDT.
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.0 & 4 != 0
    }

    /// The byte offset of its descriptor in the table.
    #[must_use]
    pub const fn offset(self) -> u64 {
        (self.0 & !7) as u64
    }

    /// This selector with another RPL.
    #[must_use]
    pub const fn with_rpl(self, rpl: u8) -> Self {
        Self((self.0 & !3) | (rpl & 3) as u16)
    }

    /// The selector as an error code: EXT and IDT are 0 (SDM vol. 3, 6.13).
    #[must_use]
    pub const fn error_code(self) -> u32 {
        (self.0 & !3) as u32
    }
}
