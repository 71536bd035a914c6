//! Segment descriptors of 8 bytes and system descriptors of 16 (SDM vol. 3, 3.4.5 and 7.2.3).
//!
//! ```text
//!  31        24 23 22  21 20  19   16 15 14 13 12 11   8 7          0
//! +------------+--+---+--+---+-------+--+-----+--+------+------------+
//! | base 31:24 |G |D/B|L |AVL| limit |P | DPL |S | type | base 23:16 | +4
//! +------------+--+---+--+---+-------+--+-----+--+------+------------+
//! | base 15:0                        | limit 15:0                    | +0
//! +----------------------------------+-------------------------------+
//! ```

use super::state::Segment;

/// A segment descriptor, as it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor(pub u64);

impl Descriptor {
    /// The second doubleword, with the bits that a hidden part keeps.
    #[must_use]
    pub const fn attr(self) -> u32 {
        (self.0 >> 32) as u32 & Segment::ATTR_MASK
    }

    const fn has(self, bit: u32) -> bool {
        self.attr() & bit != 0
    }

    /// The base address (for a 16-byte descriptor, its low half).
    #[must_use]
    pub const fn base(self) -> u64 {
        ((self.0 >> 16) & 0x00ff_ffff) | ((self.0 >> 32) & 0xff00_0000)
    }

    /// The limit in bytes, granularity applied.
    #[must_use]
    pub const fn limit(self) -> u32 {
        let raw = (self.0 & 0xffff) as u32 | ((self.0 >> 32) as u32 & 0x000f_0000);
        if self.has(Segment::G) {
            (raw << 12) | 0xfff
        } else {
            raw
        }
    }

    /// The type field.
    #[must_use]
    pub const fn kind(self) -> u8 {
        ((self.attr() >> Segment::TYPE_SHIFT) & 0xf) as u8
    }

    /// The descriptor privilege level.
    #[must_use]
    pub const fn dpl(self) -> u8 {
        ((self.attr() >> Segment::DPL_SHIFT) & 3) as u8
    }

    /// P.
    #[must_use]
    pub const fn present(self) -> bool {
        self.has(Segment::P)
    }

    /// S = 0: a system descriptor.
    #[must_use]
    pub const fn is_system(self) -> bool {
        !self.has(Segment::S)
    }

    /// A code segment.
    #[must_use]
    pub const fn is_code(self) -> bool {
        self.has(Segment::S) && self.has(Segment::CODE)
    }

    /// A data segment.
    #[must_use]
    pub const fn is_data(self) -> bool {
        self.has(Segment::S) && !self.has(Segment::CODE)
    }

    /// A conforming code segment.
    #[must_use]
    pub const fn is_conforming(self) -> bool {
        self.is_code() && self.has(Segment::CONFORMING_EXPAND)
    }

    /// A writable data segment.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.is_data() && self.has(Segment::WRITABLE_READABLE)
    }

    /// A data segment, or a readable code segment.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.is_data() || (self.is_code() && self.has(Segment::WRITABLE_READABLE))
    }

    /// L: a 64-bit code segment.
    #[must_use]
    pub const fn is_long(self) -> bool {
        self.has(Segment::L)
    }

    /// D/B.
    #[must_use]
    pub const fn is_big(self) -> bool {
        self.has(Segment::DB)
    }

    /// A; meaningful for code and data only.
    #[must_use]
    pub const fn accessed(self) -> bool {
        self.has(Segment::ACCESSED)
    }

    /// The same descriptor with A set.
    #[must_use]
    pub const fn with_accessed(self) -> Self {
        Self(self.0 | (Segment::ACCESSED as u64) << 32)
    }

    /// The segment register that a load of this descriptor through `selector` gives.
    #[must_use]
    pub const fn segment(self, selector: u16) -> Segment {
        Segment {
            selector,
            base: self.base(),
            limit: self.limit(),
            attr: self.attr(),
        }
    }
}

/// System descriptor types in IA-32e mode (SDM vol. 3, table 3-2).
#[rustfmt::skip]
#[expect(missing_docs, reason = "the manuals' names")]
pub mod system_type {
    pub const LDT: u8 = 0x2;
    pub const TSS_AVAILABLE: u8 = 0x9;
    pub const TSS_BUSY: u8 = 0xb;
    pub const CALL_GATE: u8 = 0xc;
    pub const INTERRUPT_GATE: u8 = 0xe;
    pub const TRAP_GATE: u8 = 0xf;
}

/// A 16-byte LDT or TSS descriptor, or call gate, as it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemDescriptor {
    /// Bytes 0 to 7.
    pub low: Descriptor,
    /// Bytes 8 to 15: base 63:32; bits 44:40 (the type of what would be a
    /// descriptor there) must be 0 in call gates, LDT and TSS descriptors.
    pub high: u64,
}

impl SystemDescriptor {
    /// The 64-bit base address.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.low.base() | self.high << 32
    }

    /// Bits 12:8 of the last doubleword, that must be 0 (SDM vol. 3, figure 7-4).
    #[must_use]
    pub const fn upper_type(self) -> u8 {
        ((self.high >> 40) & 0x1f) as u8
    }

    /// LDTR or TR after a load through `selector`.
    #[must_use]
    pub const fn segment(self, selector: u16) -> Segment {
        Segment {
            base: self.base(),
            ..self.low.segment(selector)
        }
    }
}
