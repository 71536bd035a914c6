//! The 64-bit TSS (SDM vol. 3, 7.7).
//!
//! ```text
//! +100 I/O map base   +36..+92 IST1..IST7   +4 RSP0   +12 RSP1   +20 RSP2
//! ```

/// The offset of RSP`cpl`, for `cpl` 0 to 2.
#[must_use]
pub const fn rsp_offset(cpl: u8) -> u32 {
    4 + 8 * (cpl as u32)
}

/// The offset of IST`index`, for `index` 1 to 7.
#[must_use]
pub const fn ist_offset(index: u8) -> u32 {
    28 + 8 * (index as u32)
}

/// The offset of the 16-bit I/O map base address.
pub const IO_MAP_BASE: u32 = 102;
