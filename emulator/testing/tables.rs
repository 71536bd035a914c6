//! GDT, IDT and TSS, as bytes.

use super::layout::{self, Stack, selector};
use crate::arch::tss::{IO_MAP_BASE, ist_offset, rsp_offset};
use crate::load::boot::{GDT, descriptor};

/// Bytes of the TSS; without an I/O map.
pub(super) const TSS_SIZE: u32 = 104;

/// The flat GDT of start-up, and the TSS (SDM vol. 3, 7.2.3).
pub(super) fn gdt() -> Vec<u8> {
    let base = layout::TSS;
    // P, type 11: a busy 64-bit TSS.
    let low =
        u64::from(TSS_SIZE - 1) | (base & 0xff_ffff) << 16 | 0x8b << 40 | (base >> 24 & 0xff) << 56;
    std::iter::once(0)
        .chain(GDT.iter().map(descriptor))
        .chain([low, base >> 32])
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// The TSS (SDM vol. 3, 7.7); `tops` are RSP0 and IST1 to IST7.
pub(super) fn tss(tops: [u64; 8]) -> Vec<u8> {
    let mut bytes = vec![0; TSS_SIZE as usize];
    let mut put = |at: u32, value: u64| {
        bytes[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(rsp_offset(0), tops[0]);
    for (n, top) in (1..=7).zip(&tops[1..]) {
        put(ist_offset(n), *top);
    }
    bytes[IO_MAP_BASE as usize..][..2].copy_from_slice(&(TSS_SIZE as u16).to_le_bytes());
    bytes
}

/// The harness's own stacks.
pub(super) fn tops() -> [u64; 8] {
    let mut tops = [Stack::Kernel.top(); 8];
    for (n, top) in (1..=7).zip(&mut tops[1..]) {
        *top = Stack::Ist(n).top();
    }
    tops
}

/// A gate (SDM vol. 3, 6.14.1).
pub(super) fn gate(handler: u64, ist: u8, dpl: u8, trap: bool) -> [u8; 16] {
    let kind: u64 = if trap { 15 } else { 14 };
    let low = (handler & 0xffff)
        | u64::from(selector::KERNEL_CS) << 16
        | u64::from(ist & 7) << 32
        | kind << 40
        | u64::from(dpl & 3) << 45
        | 1 << 47
        | (handler >> 16 & 0xffff) << 48;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&(handler >> 32).to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Gate;

    #[test]
    fn a_gate_reads_as_it_was_written() {
        let gate = Gate::from_bytes(gate(0xffff_8123_4567_89ab, 3, 3, false));
        assert_eq!(gate.offset(), 0xffff_8123_4567_89ab);
        assert_eq!((gate.ist(), gate.selector().0), (3, selector::KERNEL_CS));
        assert!(gate.is_interrupt_or_trap());
    }

    #[test]
    fn the_gdt_ends_with_the_tss() {
        let gdt = gdt();
        assert_eq!(gdt.len(), usize::from(selector::TSS) + 16);
        assert_eq!(gdt[usize::from(selector::TSS) + 5], 0x8b);
    }
}
