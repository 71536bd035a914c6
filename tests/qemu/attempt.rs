//! One event whose delivery began, as both sides tell it.

use std::fmt;

use iretrace::arch::state::gpr;

/// The state in which an event was to be delivered. Whether it was, the next attempt shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// The vector.
    pub vector: u8,
    /// The error code; 0 where there is none.
    pub error_code: u32,
    /// INT n, INT3 or INT1.
    pub software: bool,
    /// CPL before it.
    pub cpl: u8,
    /// CS and SS before it.
    pub cs: u16,
    /// SS before it.
    pub ss: u16,
    /// RIP before it: the instruction, or the boundary's next one.
    pub rip: u64,
    /// CR2, for #PF.
    pub cr2: Option<u64>,
    /// RAX to R15, in encoding order, RSP too, before it.
    pub gpr: [u64; 16],
    /// RFLAGS without RF.
    pub rflags: u64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "v={:02x} e={:04x} i={} cpl={} {:04x}:{:x} ss:rsp {:04x}:{:x} fl={:x}",
            self.vector,
            self.error_code,
            u8::from(self.software),
            self.cpl,
            self.cs,
            self.rip,
            self.ss,
            self.gpr[gpr::RSP],
            self.rflags
        )?;
        match self.cr2 {
            Some(at) => write!(f, " cr2={at:x}"),
            None => Ok(()),
        }
    }
}
