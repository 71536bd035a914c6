//! The page walk (SDM vol. 3, 4.5): read, present?, reserved?, leaf? at each level from the
//! root; then the rights of all levels together; then A and D.

use super::entry::{Entry, index_offset, page_size};
use super::reserved::reserved_bits;
use super::{PagingContext, Rights};
use crate::arch::bits::{cr3, pf, pte};
use crate::arch::{Access, AccessKind, PhysAddr, VirtAddr};

/// Physical memory as the walk needs it: aligned quadwords.
pub trait PhysMemory {
    /// Reads the quadword at `at`, a multiple of 8.
    fn read_u64(&mut self, at: PhysAddr) -> u64;

    /// Writes the quadword at `at`, a multiple of 8.
    fn write_u64(&mut self, at: PhysAddr, value: u64);
}

/// One level of a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// 5 (PML5E) down to 1 (PTE).
    pub level: u8,
    /// Where the entry lies.
    pub entry_at: PhysAddr,
    /// Its value as read.
    pub entry: u64,
    /// Its value after setting A or D, if that changed it.
    pub updated: Option<u64>,
}

/// A translation of a whole page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Physical address of the byte that was asked for.
    pub phys: PhysAddr,
    /// 4096, 2 MiB or 1 GiB.
    pub page_size: u64,
    /// What all levels grant together.
    pub rights: Rights,
    /// The protection key.
    pub key: u8,
    /// Survives MOV to CR3: G of the leaf, with CR4.PGE.
    pub global: bool,
    /// D of the leaf, after this walk.
    pub dirty: bool,
}

/// A walk and how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageWalk {
    steps: [Step; 5],
    len: u8,
    /// The translation, or a #PF with this error code.
    pub outcome: Result<Translation, u32>,
}

impl PageWalk {
    /// The entries that were read, from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps[..usize::from(self.len)]
    }
}

/// Walks the tables of `context` for `access` to the canonical address `at`, and sets A and D.
///
/// A walk that faults sets nothing, or, with `set_a_on_failed_walk`, A in the levels above the
/// one that ends it; never in the leaf, and never D (both are allowed: SDM vol. 3, 4.8).
pub fn walk<M: PhysMemory + ?Sized>(
    context: &PagingContext,
    memory: &mut M,
    at: VirtAddr,
    access: Access,
) -> PageWalk {
    if !context.paging() {
        return unpaged(at);
    }
    let mut result = PageWalk {
        steps: [Step::default(); 5],
        len: 0,
        outcome: Err(0),
    };
    result.outcome = descend(context, memory, at, access, &mut result);
    match result.outcome {
        Ok(ref mut translation) => {
            let write = access.kind == AccessKind::Write;
            translation.dirty |= write;
            let (upper, leaf) = result.steps.split_at_mut(usize::from(result.len) - 1);
            set_accessed(memory, upper);
            set_bits(
                memory,
                &mut leaf[0],
                pte::A | if write { pte::D } else { 0 },
            );
        }
        Err(_) if context.knobs.set_a_on_failed_walk => {
            let last = usize::from(result.len) - 1;
            set_accessed(memory, &mut result.steps[..last]);
        }
        Err(_) => {}
    }
    result
}

/// Reads entries down to the leaf and checks the rights; changes no memory.
fn descend<M: PhysMemory + ?Sized>(
    context: &PagingContext,
    memory: &mut M,
    at: VirtAddr,
    access: Access,
    result: &mut PageWalk,
) -> Result<Translation, u32> {
    let mut table = context.cr3 & cr3::ROOT;
    let mut rights = Rights::ALL;
    let mut level = context.levels();
    loop {
        let entry_at = PhysAddr(table | index_offset(at.0, level));
        let entry = Entry(memory.read_u64(entry_at));
        result.steps[usize::from(result.len)] = Step {
            level,
            entry_at,
            entry: entry.0,
            updated: None,
        };
        result.len += 1;
        if !entry.present() {
            return Err(context.access_code(access));
        }
        let leaf = entry.is_leaf(level);
        if entry.0 & reserved_bits(context, level, leaf) != 0 {
            return Err(context.access_code(access) | pf::P | pf::RSVD);
        }
        rights = rights.and(entry.0);
        if leaf {
            return match context.denial(rights, entry.key(), access) {
                Some(code) => Err(code),
                None => Ok(Translation {
                    phys: PhysAddr(entry.frame(level) | (at.0 & (page_size(level) - 1))),
                    page_size: page_size(level),
                    rights,
                    key: entry.key(),
                    global: context.pge() && entry.0 & pte::G != 0,
                    dirty: entry.0 & pte::D != 0,
                }),
            };
        }
        table = entry.table();
        level -= 1;
    }
}

/// CR0.PG = 0: the low 32 bits are the physical address, and everything is allowed.
fn unpaged(at: VirtAddr) -> PageWalk {
    PageWalk {
        steps: [Step::default(); 5],
        len: 0,
        outcome: Ok(Translation {
            phys: PhysAddr(at.0 & 0xffff_ffff),
            page_size: 4096,
            rights: Rights::ALL,
            key: 0,
            global: false,
            dirty: true,
        }),
    }
}

fn set_accessed<M: PhysMemory + ?Sized>(memory: &mut M, steps: &mut [Step]) {
    for step in steps {
        set_bits(memory, step, pte::A);
    }
}

fn set_bits<M: PhysMemory + ?Sized>(memory: &mut M, step: &mut Step, bits: u64) {
    if step.entry & bits != bits {
        // An entry that a recursive table makes serve two levels may have changed since.
        let value = memory.read_u64(step.entry_at) | bits;
        memory.write_u64(step.entry_at, value);
        step.updated = Some(value);
    }
}
