//! 64-bit IDT gates (SDM vol. 3, 6.14.1).
//!
//! ```text
//!  31                              16 15 14 13 12 11   8 7     3 2   0
//! +----------------------------------------------------------------+
//! | reserved                                                       | +12
//! | offset 63:32                                                   | +8
//! | offset 31:16                    |P | DPL |0 | type | 0     |IST| +4
//! | selector                        | offset 15:0                  | +0
//! +----------------------------------------------------------------+
//! ```

use super::descriptor::system_type;
use super::selector::Selector;

/// Bytes of a gate.
pub const GATE_SIZE: u64 = 16;

/// An IDT gate, as it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gate {
    /// Bytes 0 to 7.
    pub low: u64,
    /// Bytes 8 to 15.
    pub high: u64,
}

impl Gate {
    /// A gate from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let all = u128::from_le_bytes(bytes);
        Self {
            low: all as u64,
            high: (all >> 64) as u64,
        }
    }

    /// The handler's offset.
    #[must_use]
    pub const fn offset(self) -> u64 {
        (self.low & 0xffff) | ((self.low >> 32) & 0xffff_0000) | self.high << 32
    }

    /// The handler's code segment.
    #[must_use]
    pub const fn selector(self) -> Selector {
        Selector((self.low >> 16) as u16)
    }

    /// The IST index, 0 to 7; 0: none.
    #[must_use]
    pub const fn ist(self) -> u8 {
        ((self.low >> 32) & 7) as u8
    }

    /// Whether S is 0 and the type is a 64-bit interrupt or trap gate.
    #[must_use]
    pub const fn is_interrupt_or_trap(self) -> bool {
        // Bits 44:40: S, then the type.
        matches!(
            ((self.low >> 40) & 0x1f) as u8,
            system_type::INTERRUPT_GATE | system_type::TRAP_GATE
        )
    }

    /// An interrupt gate: delivery clears IF.
    #[must_use]
    pub const fn is_interrupt(self) -> bool {
        ((self.low >> 40) & 0x1f) as u8 == system_type::INTERRUPT_GATE
    }

    /// The descriptor privilege level.
    #[must_use]
    pub const fn dpl(self) -> u8 {
        ((self.low >> 45) & 3) as u8
    }

    /// P.
    #[must_use]
    pub const fn present(self) -> bool {
        self.low & (1 << 47) != 0
    }
}
