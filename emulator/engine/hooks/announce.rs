//! Blocks, as Unicorn translates them and as it begins them.

use unicorn_engine_sys::{TranslationBlock, uc_engine};

use super::super::blocks::{Block, Fast};
use super::{Halt, HookState, NONE, REP_SLICE, Rep};

impl HookState {
    pub(super) fn on_edge(&mut self, uc: *mut uc_engine, tb: &TranslationBlock) {
        let (start, size) = (tb.pc, u32::from(tb.size));
        if !self.stepping {
            self.translated += u64::from(tb.icount);
        }
        let Some(index) = self.decode(start, size) else {
            return self.stop(uc, Halt::Disagree { start });
        };
        let Some(block) = self.blocks.get(index) else {
            return;
        };
        if !block.agrees_with(usize::from(tb.icount)) {
            let halt = if tb.icount == 1 {
                Halt::Undefined { start }
            } else {
                Halt::Disagree { start }
            };
            return self.stop(uc, halt);
        }
        if self.new_code {
            // Translations through which it can be written to may be in the TLB.
            return self.stop(uc, Halt::Retranslate { start });
        }
        // A step is stopped when its block begins. (To translate it again would drop the blocks
        // that it is a part of.)
        if self.stepping && !self.window.is_everywhere() {
            return;
        }
        let Some((begin, end)) = block.window() else {
            return;
        };
        // If so, the calls are compiled in. The window stays: what is translated next may well be
        // a block with the same end, that begins where an event has interrupted this one.
        if !self.window.covers(begin, end) {
            self.window.set(begin, end);
            self.stop(uc, Halt::Retranslate { start });
        }
    }

    /// The block that begins, where nothing but its instructions' number matters. (This is called
    /// for every block: what it costs is what the engine costs.)
    #[inline]
    pub(super) fn on_quick_block(&mut self, start: u64, size: u32) -> bool {
        let known = self.blocks.candidate(start);
        let icount = self.icount.wrapping_add(known.weight.into());
        let quick = known.start == start
            && known.tag == self.quick | u64::from(size)
            && icount <= self.limit;
        if quick {
            self.icount = icount;
            self.current = known.index;
        }
        quick
    }

    #[cold]
    pub(super) fn on_block(&mut self, uc: *mut uc_engine, start: u64, size: u32) {
        let known = self.blocks.fast(start, size);
        let Some(known) = known.or_else(|| self.look_up(start, size)) else {
            return self.stop(uc, Halt::Disagree { start });
        };
        let index = known.index;
        if self.rep.active && self.rep_goes_on(uc, start, index) {
            return;
        }
        if self.trace {
            self.trace_block(None);
        }
        if let Some(halt) = self.watched(start, size, index) {
            self.current = NONE;
            return self.stop(uc, halt);
        }
        let weight = u64::from(known.weight);
        // (A block of weight 0 counts itself.)
        let stepped = self.stepping && self.icount >= self.limit;
        if stepped || self.icount.saturating_add(weight) > self.limit {
            self.current = NONE;
            return self.stop(uc, Halt::BeforeBlock);
        }
        if known.is_single() && self.blocks.get(index).is_some_and(Block::is_rep) {
            if self.begin != (start, self.icount) {
                // Begin it by itself: RCX is known then.
                self.current = NONE;
                return self.stop(uc, Halt::Rep);
            }
            self.rep = Rep {
                active: true,
                rip: start,
                looks: 0,
            };
            self.set_quick();
        }
        self.block_base = self.icount;
        self.icount += weight;
        self.current = index;
        let special = |b: &Block| !b.specials.is_empty();
        if self.stepping
            && !self.window.is_everywhere()
            && self.blocks.get(index).is_some_and(special)
        {
            self.on_code(uc, start);
            self.asked = true;
        }
    }

    /// Why the block is not to run if there is a watched address in it.
    fn watched(&self, start: u64, size: u32, index: u32) -> Option<Halt> {
        let within = |at: u64| at.wrapping_sub(start) < u64::from(size);
        if !self.watch.iter().any(|&at| within(at)) {
            return None;
        }
        if self.watch.contains(&start) && (start, self.icount) != self.began {
            return Some(Halt::Watched);
        }
        let block = self.blocks.get(index)?;
        let inside = self.watch.iter().any(|&at| block.comes_to(at));
        inside.then_some(Halt::BeforeBlock)
    }

    /// Whether the block is a further iteration of the REP instruction under way.
    fn rep_goes_on(&mut self, uc: *mut uc_engine, start: u64, index: u32) -> bool {
        if self.rep.rip != start || index != self.current {
            self.rep.active = false;
            self.set_quick();
            return false;
        }
        self.rep.looks += 1;
        if self.rep.looks.is_multiple_of(REP_SLICE) && !self.stepping {
            self.stop(uc, Halt::RepSlice);
        }
        true
    }

    fn look_up(&mut self, start: u64, size: u32) -> Option<Fast> {
        let frames = self.code_frames(start, size)?;
        if self.blocks.find(start, size, frames).is_none() {
            self.decode(start, size)?;
        }
        self.blocks.fast(start, size)
    }
}
