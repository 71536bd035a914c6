//! Debug registers: breakpoint matching by linear address, general detect, DR6
//! (SDM vol. 3, 17.2).

use crate::arch::bits::{cr4, dr6, dr7, rflags};
use crate::arch::{AccessKind, CpuState, EventType, Exception, Vector, VirtAddr};

/// The R/W field of a breakpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    Execute = 0,
    Write = 1,
    Io = 2,
    ReadWrite = 3,
}

/// One enabled breakpoint of DR0 to DR3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Breakpoint {
    /// B0 to B3 in DR6.
    bit: u64,
    condition: Condition,
    /// The first byte, aligned to `len`: the processor ignores the low bits.
    at: u64,
    /// 1, 2, 4 or 8.
    len: u64,
}

/// LEN to bytes (SDM vol. 3, 17.2.4).
const LENGTHS: [u64; 4] = [1, 2, 8, 4];

const CONDITIONS: [Condition; 4] = [
    Condition::Execute,
    Condition::Write,
    Condition::Io,
    Condition::ReadWrite,
];

/// L0 to G3.
const ENABLES: u64 = 0xff;

/// The breakpoints that L or G enables.
fn enabled(regs: &CpuState) -> impl Iterator<Item = Breakpoint> + '_ {
    let dr7 = regs.dr7;
    (0..4usize)
        .filter(move |i| dr7 >> (2 * i) & 3 != 0)
        .map(move |i| {
            let condition = CONDITIONS[(dr7 >> (16 + 4 * i) & 3) as usize];
            let len = match condition {
                Condition::Execute => 1,
                _ => LENGTHS[(dr7 >> (18 + 4 * i) & 3) as usize],
            };
            Breakpoint {
                bit: dr6::B0 << i,
                condition,
                at: regs.dr[i] & !(len - 1),
                len,
            }
        })
}

/// Whether any breakpoint is enabled at all.
#[must_use]
pub const fn any_enabled(regs: &CpuState) -> bool {
    regs.dr7 & ENABLES != 0
}

/// The DR6 bits of the instruction breakpoints at `rip`; none while RF is set.
#[must_use]
pub fn instruction_breakpoints(regs: &CpuState, rip: VirtAddr) -> u64 {
    if !any_enabled(regs) || regs.rflags & rflags::RF != 0 {
        return 0;
    }
    enabled(regs)
        .filter(|b| b.condition == Condition::Execute && b.at == rip.0)
        .fold(0, |bits, b| bits | b.bit)
}

/// The DR6 bits of the data breakpoints that an access to `len` bytes at `at` hits.
#[must_use]
pub fn data_breakpoints(regs: &CpuState, at: VirtAddr, len: u64, kind: AccessKind) -> u64 {
    if !any_enabled(regs) {
        return 0;
    }
    enabled(regs)
        .filter(|b| match b.condition {
            Condition::Write => kind == AccessKind::Write,
            Condition::ReadWrite => kind != AccessKind::Fetch,
            Condition::Execute | Condition::Io => false,
        })
        .filter(|b| overlap(b, at.0, len))
        .fold(0, |bits, b| bits | b.bit)
}

/// The DR6 bits of the I/O breakpoints that an access to `size` ports from `port` on hits;
/// there are none with CR4.DE = 0.
#[must_use]
pub fn io_breakpoints(regs: &CpuState, port: u16, size: u8) -> u64 {
    if !any_enabled(regs) || regs.cr4 & cr4::DE == 0 {
        return 0;
    }
    enabled(regs)
        .filter(|b| b.condition == Condition::Io && overlap(b, u64::from(port), u64::from(size)))
        .fold(0, |bits, b| bits | b.bit)
}

/// Whether `len` bytes at `at` meet the breakpoint; both may wrap round the top of the space.
const fn overlap(b: &Breakpoint, at: u64, len: u64) -> bool {
    len != 0 && (at.wrapping_sub(b.at) < b.len || b.at.wrapping_sub(at) < len)
}

/// The 4 KiB pages that hold a byte of an enabled data breakpoint: natively running code must
/// not reach them unseen. A breakpoint is aligned, so it lies in one page.
pub fn armed_pages(regs: &CpuState) -> impl Iterator<Item = VirtAddr> + '_ {
    enabled(regs)
        .filter(|b| matches!(b.condition, Condition::Write | Condition::ReadWrite))
        .map(|b| VirtAddr(b.at).page())
}

/// The linear addresses of the enabled instruction breakpoints.
pub fn armed_instructions(regs: &CpuState) -> impl Iterator<Item = VirtAddr> + '_ {
    enabled(regs)
        .filter(|b| b.condition == Condition::Execute)
        .map(|b| VirtAddr(b.at))
}

/// General detect: any MOV to or from a debug register raises this while DR7.GD is set. The MOV SS
/// shadow does not hold it.
#[must_use]
pub const fn general_detect(regs: &CpuState) -> Option<Exception> {
    if regs.dr7 & dr7::GD == 0 {
        return None;
    }
    Some(Exception {
        kind: EventType::Fault,
        dr6: dr6::BD,
        ..Exception::fault(Vector::DB)
    })
}

/// DR6 after a #DB for the conditions `bits`: B0 to B3 tell of this #DB alone, the other
/// conditions add up until software clears them (SDM vol. 3, 17.2.3). No conditions (INT1):
/// DR6 stays.
#[must_use]
pub const fn updated_dr6(old: u64, bits: u64) -> u64 {
    const B: u64 = 0xf;
    if bits == 0 { old } else { (old & !B) | bits }
}
