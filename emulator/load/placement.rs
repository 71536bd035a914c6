//! Where an ELF's segments lie in physical memory.

use super::elf_fault::ElfFault;
use super::image::LoadSegment;
use super::limits::MAX_RAM;
use crate::arch::{PAGE_SIZE, PhysAddr};

/// Where [`Placement::Linear`] puts the lowest segment: 2 MiB, so that large pages can map it.
pub const LINEAR_BASE: u64 = 0x20_0000;

const LARGE_PAGE: u64 = 2 << 20;

/// How physical addresses were chosen. The first rule that fits holds for all segments:
///
/// 1. [`Headers`](Self::Headers): `p_paddr` as the file has it, if every segment ends within the
///    largest RAM (64 GiB). Not if there are several segments and all have `p_paddr` 0: then the
///    linker did not fill it in.
/// 2. [`Identity`](Self::Identity): `p_vaddr`, if every segment ends within the largest RAM.
/// 3. [`Linear`](Self::Linear): in the order and at the distances of the virtual addresses,
///    from [`LINEAR_BASE`] on; the base is lowered to a multiple of 2 MiB in virtual memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// `p_paddr`. A flat binary's base counts as this.
    Headers,
    /// `p_vaddr`.
    Identity,
    /// A straight copy of the virtual layout at [`LINEAR_BASE`].
    Linear,
}

/// Chooses physical addresses for `segments` (rising, non-overlapping virtual addresses; `paddr`
/// is `p_paddr`), and checks the result: no overlap, and whole pages can map it.
///
/// # Errors
/// [`ElfFault::Segment`] and [`ElfFault::Overlap`].
pub fn place(segments: &mut [LoadSegment]) -> Result<Placement, ElfFault> {
    let placement = choose(segments)?;
    for s in segments.iter() {
        if (s.vaddr.0 ^ s.paddr.0) & (PAGE_SIZE - 1) != 0 {
            return Err(ElfFault::Segment {
                segment: s.shown(),
                problem: format!(
                    "physical address {:#x} has another offset in its page, so no page can map it",
                    s.paddr.0
                ),
                mend: "make AT() and the address equal modulo 4096 in the linker script",
            });
        }
    }
    let mut order: Vec<&LoadSegment> = segments.iter().collect();
    order.sort_by_key(|s| (s.paddr, s.index));
    for pair in order.windows(2) {
        if pair[0].pend() > pair[1].paddr.0 {
            return Err(ElfFault::Overlap {
                first: pair[0].shown(),
                second: pair[1].shown(),
                space: "physical",
                at: pair[1].paddr.0,
            });
        }
    }
    Ok(placement)
}

fn choose(segments: &mut [LoadSegment]) -> Result<Placement, ElfFault> {
    let within = |at: u64, size: u64| at.checked_add(size).is_some_and(|end| end <= MAX_RAM);
    let unfilled = segments.len() > 1 && segments.iter().all(|s| s.paddr.0 == 0);
    if !unfilled && segments.iter().all(|s| within(s.paddr.0, s.mem_size)) {
        return Ok(Placement::Headers);
    }
    if segments.iter().all(|s| within(s.vaddr.0, s.mem_size)) {
        for s in segments.iter_mut() {
            s.paddr = PhysAddr(s.vaddr.0);
        }
        return Ok(Placement::Identity);
    }
    let low = segments.first().map_or(0, |s| s.vaddr.0) & !(LARGE_PAGE - 1);
    for s in segments.iter_mut() {
        let at = LINEAR_BASE.saturating_add(s.vaddr.0 - low);
        if !within(at, s.mem_size) {
            return Err(ElfFault::Segment {
                segment: s.shown(),
                problem: format!(
                    "physical address {:#x} is beyond the largest RAM ({MAX_RAM:#x}), and so far \
                     above the first segment that it cannot be moved with it",
                    s.paddr.0
                ),
                mend: "give physical addresses with AT() in the linker script",
            });
        }
        s.paddr = PhysAddr(at);
    }
    Ok(Placement::Linear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::VirtAddr;
    use crate::load::SegmentFlags;

    const HIGH: u64 = 0xffff_ffff_8000_0000;

    fn segments(list: &[(u64, u64, u64)]) -> Vec<LoadSegment> {
        let one = |(index, &(v, p, mem_size)): (usize, &(u64, u64, u64))| LoadSegment {
            index,
            vaddr: VirtAddr(v),
            paddr: PhysAddr(p),
            data: Vec::new(),
            mem_size,
            flags: SegmentFlags::all(),
        };
        list.iter().enumerate().map(one).collect()
    }

    fn placed(list: &[(u64, u64, u64)]) -> (Placement, Vec<u64>) {
        let mut s = segments(list);
        let p = place(&mut s).unwrap();
        (p, s.iter().map(|s| s.paddr.0).collect())
    }

    #[test]
    fn the_three_rules() {
        assert_eq!(
            placed(&[(HIGH, 0x10_0000, 0x1000), (HIGH + 0x1000, 0x20_0000, 8)]),
            (Placement::Headers, vec![0x10_0000, 0x20_0000])
        );
        // One segment at physical 0 is a wish, several are an empty field.
        assert_eq!(placed(&[(HIGH, 0, 8)]), (Placement::Headers, vec![0]));
        assert_eq!(
            placed(&[(0x10_0000, 0, 8), (0x10_1000, 0, 8)]),
            (Placement::Identity, vec![0x10_0000, 0x10_1000])
        );
        // A flash address beyond RAM, while the run address is in RAM.
        assert_eq!(
            placed(&[(0x10_0000, 0xffff_ffff_fff0_0000, 8)]),
            (Placement::Identity, vec![0x10_0000])
        );
        assert_eq!(
            placed(&[
                (HIGH + 0x10_0123, HIGH + 0x10_0123, 8),
                (HIGH + 0x30_0000, HIGH + 0x30_0000, 8)
            ]),
            (
                Placement::Linear,
                vec![LINEAR_BASE + 0x10_0123, LINEAR_BASE + 0x30_0000]
            )
        );
    }

    #[test]
    fn what_no_rule_can_place_is_refused() {
        let mut s = segments(&[(0x10_0000, HIGH, 8), (HIGH, HIGH, 8)]);
        let e = place(&mut s).unwrap_err().to_string();
        assert!(
            e.starts_with("segment 1 (0xffffffff80000000..0xffffffff80000008): "),
            "{e}"
        );
        let mut s = segments(&[(HIGH + 0x10, 0x10_0020, 8)]);
        assert!(matches!(place(&mut s), Err(ElfFault::Segment { .. })));
        let mut s = segments(&[(HIGH, 0x10_0000, 0x1001), (HIGH + 0x2000, 0x10_1000, 8)]);
        assert_eq!(
            place(&mut s),
            Err(ElfFault::Overlap {
                first: s[0].shown(),
                second: s[1].shown(),
                space: "physical",
                at: 0x10_1000
            })
        );
    }
}
