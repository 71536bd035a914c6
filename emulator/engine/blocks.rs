//! Decoded translation blocks: what is counted, and what is stopped at.
//!
//! Unicorn announces each block before it runs it, with its address and size only. What we know of
//! it was decoded once, when it was translated. `icount` grows by a block's weight when it is
//! announced; where a block is left early (a fault, a stop), the rest is taken off again. Branches
//! to themselves have no weight here and are counted by the code hook.

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction};
use std::collections::HashMap;

use super::classify::{Class, classify, is_plain, may_pass};
use super::crash::is_prefix;

/// An instruction of a block that needs more than running it.
#[derive(Clone, Debug)]
pub(super) struct Special {
    pub(super) offset: u16,
    pub(super) class: Option<Class>,
    /// The machine wants to stop before it.
    pub(super) breakpoint: bool,
    /// A guard that may let the instruction run on.
    pub(super) may_pass: bool,
    pub(super) insn: Instruction,
}

impl Special {
    /// Counted by the code hook, not by the block.
    const fn counts_itself(&self) -> bool {
        matches!(self.class, Some(Class::SelfBranch))
    }

    /// Whether Unicorn never runs on from here in a block of several instructions.
    const fn always_stops(&self) -> bool {
        match self.class {
            Some(Class::Intercept | Class::Undefined | Class::Alone | Class::Rep) => true,
            Some(Class::Guard(_)) => !self.may_pass,
            Some(Class::SelfBranch | Class::Flagged | Class::BitTest | Class::PushFlags) | None => {
                false
            }
        }
    }
}

/// One decoded block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) start: u64,
    pub(super) size: u32,
    /// Physical pages of its first and last byte.
    pub(super) pages: [u64; 2],
    pub(super) bytes: Box<[u8]>,
    /// Offset of each instruction.
    pub(super) insns: Box<[u16]>,
    pub(super) specials: Box<[Special]>,
    /// A bit for each offset at which an instruction begins that is special, or not plain: others need no
    /// look where they are hooked for no reason of their own.
    attended: Box<[u64]>,
    /// Instructions, less those that are counted by hooks.
    pub(super) weight: u32,
    /// The last instruction.
    pub(super) last: Instruction,
    /// Unicorn may have taken the last one for an instruction, which it is not (LOCK MOV).
    ends_invalid: bool,
}

impl Block {
    /// Decodes `bytes`, which Unicorn translated as one block at `start`.
    pub(super) fn decode(
        start: u64,
        bytes: &[u8],
        pages: [u64; 2],
        bitness: u32,
        stop_at: &dyn Fn(u64) -> bool,
    ) -> Self {
        let mut decoder = Decoder::with_ip(bitness, bytes, start, DecoderOptions::NONE);
        let mut insns = Vec::new();
        let mut specials = Vec::new();
        let mut weight = 0;
        let mut last = Instruction::default();
        let mut ends_invalid = false;
        let mut attended = vec![0; bytes.len() / 64 + 1];
        while decoder.can_decode() {
            let offset = decoder.position() as u16;
            let insn = decoder.decode();
            insns.push(offset);
            let at = start.wrapping_add(u64::from(offset));
            let class = if insn.code() == Code::INVALID {
                // Cut short: Unicorn has seen enough to refuse it, or takes it for another.
                ends_invalid = decoder.last_error() == DecoderError::InvalidInstruction
                    || is_extended(&bytes[usize::from(offset)..]);
                ends_invalid.then_some(Class::Undefined)
            } else {
                // What begins a block finds all flags as they are.
                classify(&insn).filter(|c| offset != 0 || !c.may_begin_block())
            };
            let may_pass = matches!(class, Some(Class::Guard(g)) if may_pass(g, &insn));
            let special = Special {
                offset,
                class,
                breakpoint: stop_at(at),
                may_pass,
                insn,
            };
            if !special.counts_itself() {
                weight += 1;
            }
            let is_special = special.class.is_some() || special.breakpoint;
            if is_special || !is_plain(&insn) {
                attended[usize::from(offset) / 64] |= 1 << (offset % 64);
            }
            if is_special {
                specials.push(special);
            }
            last = insn;
            if insn.code() == Code::INVALID {
                break;
            }
        }
        Self {
            start,
            size: bytes.len() as u32,
            pages,
            bytes: bytes.into(),
            insns: insns.into(),
            specials: specials.into(),
            attended: attended.into(),
            weight,
            last,
            ends_invalid,
        }
    }

    /// Whether Unicorn's block of `count` instructions is this one. What Unicorn made of the bytes
    /// from an invalid instruction on does not matter: it is stopped at.
    pub(super) fn agrees_with(&self, count: usize) -> bool {
        self.insns.len() == count || (self.ends_invalid && self.insns.len() < count)
    }

    /// The number of counted instructions before the one at `rip`; `None` if none starts there.
    pub(super) fn counted_before(&self, rip: u64) -> Option<u32> {
        let offset = u16::try_from(rip.wrapping_sub(self.start)).ok()?;
        let index = self.insns.binary_search(&offset).ok()?;
        let uncounted = self
            .specials
            .iter()
            .filter(|s| s.offset < offset && s.counts_itself())
            .count();
        Some((index - uncounted) as u32)
    }

    /// Whether one of its instructions after the first begins at `rip`.
    pub(super) fn comes_to(&self, rip: u64) -> bool {
        u16::try_from(rip.wrapping_sub(self.start))
            .is_ok_and(|offset| offset != 0 && self.insns.binary_search(&offset).is_ok())
    }

    /// Whether the instruction at `rip`, which is hooked, needs a look before it runs.
    #[inline]
    pub(super) fn is_attended(&self, rip: u64) -> bool {
        let offset = rip.wrapping_sub(self.start) as usize;
        let word = self.attended.get(offset / 64);
        word.is_none_or(|w| w & 1 << (offset % 64) != 0)
    }

    /// The special instruction at `rip`.
    pub(super) fn special_at(&self, rip: u64) -> Option<&Special> {
        let offset = u16::try_from(rip.wrapping_sub(self.start)).ok()?;
        self.specials.iter().find(|s| s.offset == offset)
    }

    /// Whether it is one REP string instruction.
    pub(super) fn is_rep(&self) -> bool {
        self.is_single() && matches!(self.specials.first(), Some(s) if s.class == Some(Class::Rep))
    }

    /// Whether it has one instruction.
    pub(super) fn is_single(&self) -> bool {
        self.insns.len() == 1
    }

    /// First and last address of what must be hooked: control does not come further than the first
    /// place where the engine stops in any case. A REP instruction alone needs no hook: its block's
    /// announcement is enough.
    pub(super) fn window(&self) -> Option<(u64, u64)> {
        let hooked =
            |s: &&Special| s.breakpoint || (!self.is_rep() && s.class != Some(Class::PushFlags));
        let first = self.specials.iter().find(hooked)?;
        let end = self.specials.iter().find(|s| s.always_stops());
        let last = end.or_else(|| self.specials.iter().rfind(hooked))?;
        let at = |s: &Special| self.start.wrapping_add(s.offset.into());
        Some((at(first), at(last)))
    }
}

/// Whether what follows the prefixes is or may be an XOP, VEX or EVEX prefix. Unicorn takes XOP for POP,
/// and runs legacy instructions behind VEX (C5 00 30 is its WRMSR).
fn is_extended(bytes: &[u8]) -> bool {
    let opcode = bytes.iter().find(|&&byte| !is_prefix(byte));
    matches!(opcode, Some(0x62 | 0x8f | 0xc4 | 0xc5))
}

const FAST: usize = 16384;
/// Blocks kept before all are forgotten: about 150 MB at the worst.
pub(super) const MAX_BLOCKS: usize = 200_000;

/// Set in the tag of a REP instruction's block, which wants a closer look.
const REP: u64 = 1 << 31;

/// The tag that no block has.
pub(super) const NO_TAG: u64 = u64::MAX;

/// A block that has been looked up since the mapping last changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fast {
    pub(super) start: u64,
    /// Size in the low half, the epoch in the high half: both change what a block means.
    pub(super) tag: u64,
    pub(super) weight: u32,
    pub(super) index: u32,
}

impl Fast {
    /// See [`Block::is_rep`].
    pub(super) const fn is_rep(&self) -> bool {
        self.tag & REP != 0
    }
}

/// All decoded blocks, with a direct-mapped table for the ones in use.
#[derive(Debug)]
pub(super) struct BlockCache {
    blocks: Vec<Block>,
    index: HashMap<
        (u64, u32),
        u32,
        std::hash::BuildHasherDefault<crate::system::page_hash::PageHasher>,
    >,
    fast: Box<[Fast; FAST]>,
    epoch: u32,
}

impl BlockCache {
    pub(super) fn new() -> Self {
        Self {
            blocks: Vec::new(),
            index: HashMap::default(),
            fast: Box::new(
                [Fast {
                    start: 0,
                    tag: 0,
                    weight: 0,
                    index: 0,
                }; FAST],
            ),
            epoch: 1,
        }
    }

    const fn slot(start: u64) -> usize {
        ((start ^ (start >> 12)) as usize) & (FAST - 1)
    }

    /// The upper half of every tag at present.
    pub(super) const fn epoch(&self) -> u64 {
        (self.epoch as u64) << 32
    }

    /// Where a block that begins at `start` is found if it has been looked up lately.
    #[inline]
    pub(super) fn candidate(&self, start: u64) -> &Fast {
        &self.fast[Self::slot(start)]
    }

    /// The block, if it has been looked up since the mapping last changed.
    pub(super) fn fast(&self, start: u64, size: u32) -> Option<Fast> {
        let f = *self.candidate(start);
        let tag = self.epoch() | u64::from(size);
        (f.start == start && f.tag & !REP == tag).then_some(f)
    }

    /// The block at `start`, if it still lies in these physical pages.
    pub(super) fn find(&mut self, start: u64, size: u32, pages: [u64; 2]) -> Option<u32> {
        let index = *self.index.get(&(start, size))?;
        let block = &self.blocks[index as usize];
        if block.pages != pages {
            return None;
        }
        self.remember(index);
        Some(index)
    }

    fn remember(&mut self, index: u32) {
        let block = &self.blocks[index as usize];
        let rep = if block.is_rep() { REP } else { 0 };
        let (start, weight) = (block.start, block.weight);
        self.fast[Self::slot(start)] = Fast {
            start,
            tag: self.epoch() | u64::from(block.size) | rep,
            weight,
            index,
        };
    }

    /// Adds a block, in the place of an older one at the same address and of the same size.
    pub(super) fn insert(&mut self, block: Block) -> u32 {
        let key = (block.start, block.size);
        let index = match self.index.get(&key) {
            Some(&index) => {
                self.blocks[index as usize] = block;
                index
            }
            None => {
                let index = self.blocks.len() as u32;
                self.blocks.push(block);
                self.index.insert(key, index);
                index
            }
        };
        self.remember(index);
        index
    }

    pub(super) fn get(&self, index: u32) -> Option<&Block> {
        self.blocks.get(index as usize)
    }

    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= MAX_BLOCKS
    }

    /// Linear addresses may mean other pages now.
    pub(super) fn mapping_changed(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.fast.fill(Fast {
                start: 0,
                tag: 0,
                weight: 0,
                index: 0,
            });
            self.epoch = 1;
        }
    }

    /// Forgets everything; Unicorn's blocks are flushed with it.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.index.clear();
        self.mapping_changed();
    }
}
