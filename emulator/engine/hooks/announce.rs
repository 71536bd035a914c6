//! Blocks, as Unicorn translates them and as it begins them.

use unicorn_engine_sys::{TranslationBlock, uc_engine};

use super::super::blocks::{Block, Fast};
use super::{Halt, HookState, NONE, REP_SLICE, Rep, page_bit};

impl HookState {
    pub(super) fn on_edge(&mut self, uc: *mut uc_engine, tb: &TranslationBlock) {
        let (start, size) = (tb.pc, u32::from(tb.size));
        if !self.stepping {
            self.translated += u64::from(tb.icount);
        }
        let index = match self.decode(start, size) {
            Ok(index) => index,
            Err(halt) => return self.stop(uc, halt),
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
            if block.is_rep() && self.window.covers(start, start) && !self.window.is_everywhere() {
                // Left there by the block that ends with it: each iteration would call.
                self.window.set_nowhere();
                self.stop(uc, Halt::Retranslate { start });
            }
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
            && self.watch_pages & page_bit(start) == 0
            && icount <= self.limit;
        if quick {
            self.icount = icount;
            self.current = known.index;
            return true;
        }
        self.rep_iterates(start)
    }

    /// Whether the block is a further iteration of the REP instruction under way, and no more.
    #[inline]
    fn rep_iterates(&mut self, start: u64) -> bool {
        let looks = self.rep.looks + 1;
        let goes_on = self.rep.active && self.rep.rip == start && !looks.is_multiple_of(REP_SLICE);
        if goes_on {
            self.rep.looks = looks;
        }
        goes_on
    }

    #[cold]
    pub(super) fn on_block(&mut self, uc: *mut uc_engine, start: u64, size: u32) {
        if self.rep.active && self.rep_goes_on(uc, start) {
            return;
        }
        let known = match self.blocks.fast(start, size) {
            Some(known) => known,
            None => match self.look_up(start, size) {
                Ok(found) => found,
                Err(halt) => return self.stop(uc, halt),
            },
        };
        let index = known.index;
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
        if known.is_rep() {
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
        if self.watch_pages & page_bit(start) == 0 {
            return None;
        }
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

    /// Whether the block is a further iteration of the REP instruction under way, but for
    /// [`rep_iterates`](Self::rep_iterates) one that ends a slice.
    fn rep_goes_on(&mut self, uc: *mut uc_engine, start: u64) -> bool {
        if self.rep.rip != start {
            self.rep.active = false;
            self.set_quick();
            return false;
        }
        self.rep.looks += 1;
        if !self.stepping {
            self.stop(uc, Halt::RepSlice);
        }
        true
    }

    fn look_up(&mut self, start: u64, size: u32) -> Result<Fast, Halt> {
        let unread = Halt::Disagree { start };
        let Some(frames) = self.code_frames(start, size) else {
            return Err(unread);
        };
        if self.blocks.find(start, size, frames).is_none() {
            self.decode(start, size)?;
        }
        self.blocks.fast(start, size).ok_or(unread)
    }
}
