//! Addresses. A linear address may be non-canonical: the rules must be able
//! to speak of it, so nothing here refuses one.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares a 64-bit newtype that prints and serialises as `0x…` hex.
macro_rules! hex_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                // `from_str_radix` would also take a sign.
                text.strip_prefix("0x")
                    .filter(|t| !t.starts_with('+'))
                    .and_then(|t| u64::from_str_radix(t, 16).ok())
                    .map(Self)
                    .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a hex string such as 0x1f")))
            }
        }
    };
}

hex_newtype!(
    /// A linear (virtual) address, canonical or not.
    VirtAddr
);
hex_newtype!(
    /// A physical address.
    PhysAddr
);
hex_newtype!(
    /// A 64-bit register value, shown in hex.
    Hex
);

/// Bytes in a 4 KiB page.
pub const PAGE_SIZE: u64 = 4096;

impl VirtAddr {
    /// The address of the 4 KiB page that holds this byte.
    #[must_use]
    pub const fn page(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// Whether bits 63 down to the sign bit agree (SDM vol. 1, 3.3.7.1):
    /// bit 47 with 4-level paging, bit 56 with 5-level (`la57`).
    #[must_use]
    pub const fn is_canonical(self, la57: bool) -> bool {
        let shift = if la57 { 64 - 57 } else { 64 - 48 };
        ((self.0 << shift) as i64 >> shift) as u64 == self.0
    }
}

impl PhysAddr {
    /// The address of the 4 KiB frame that holds this byte.
    #[must_use]
    pub const fn page(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }
}
