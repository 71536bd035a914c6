//! The callbacks that Unicorn makes while guest code runs.
//!
//! They share one [`HookState`] behind a raw pointer. Unicorn calls them one at a time, on the
//! thread that called `uc_emu_start`, and the engine does not look at the state meanwhile.
//!
//! # Hooks and lazy flags
//!
//! A code hook is compiled in with a piece of code behind it that computes the flags. A TLB fill in
//! the same instruction resets QEMU's idea of how the flags are to be computed to what it was
//! before that piece. If the instruction then stops the engine, or had stored
//! its lazy flags before the access (REP does), the flags are wrong. So where a hook lets its instruction
//! run on (a guard that finds nothing; an instruction between two that are hooked), it reads the flags,
//! which are put right if the instruction does not retire; and what stores its lazy flags first never
//! runs on: the engine stops, and steps it, or begins a block with it (PUSHF). Single steps and REP instructions run without a hook.

mod announce;
mod callbacks;
mod fill;
mod guard;
mod window;

use std::any::Any;

use iced_x86::Instruction;
use unicorn_engine_sys::{uc_emu_stop, uc_engine};

use super::blocks::{Block, BlockCache, NO_TAG};
use super::classify::Guard;
use super::code_frames::CodeFrames;
use super::ram::Ram;
use super::source::Source;
use crate::arch::{AccessKind, PAGE_SIZE, VirtAddr};

pub(super) use callbacks::install;
use window::Window;

/// Linear addresses that are never canonical, through which translated code is dropped by
/// physical address.
pub(super) const PROBE_BASE: u64 = 0x0100_0000_0000_0000;

/// Iterations of one REP instruction after which the engine gives the machine a look.
pub(super) const REP_SLICE: u64 = 1 << 20;

/// Why guest code stopped running.
#[derive(Clone, Debug)]
pub(super) enum Halt {
    /// The next block would pass the limit, or a watched address in its middle.
    BeforeBlock,
    /// `limit` instructions have retired.
    Limit,
    /// A block must be translated again, with its instructions hooked.
    Retranslate { start: u64 },
    /// An instruction that is not run, or not yet.
    At { insn: Instruction, why: At },
    /// An exception that Unicorn raised.
    Exception { vector: u32 },
    /// #UD as Unicorn sees it.
    Invalid,
    /// The TLB-fill hook refused.
    Refused { page: u64, kind: AccessKind },
    /// A REP instruction is to be begun by itself.
    Rep,
    /// A block is about to begin at a watched address.
    Watched,
    /// One REP instruction has run for long.
    RepSlice,
    /// A store into a frame that holds code: see [`HookState::on_fill`].
    CodeWrite,
    /// Code is to be fetched from a frame that the translator may not survive, and there is no copy.
    Unsafe,
    /// The block that begins here is not the same in the copy that it was translated from.
    Altered { start: u64 },
    /// iced-x86 and Unicorn do not agree on the block that begins here.
    Disagree { start: u64 },
    /// iced-x86 and Unicorn do not agree on the one instruction that lies here.
    Undefined { start: u64 },
}

/// Why the engine stops before an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    Intercept,
    Guard(Guard),
    Breakpoint,
    Rep,
    Alone,
    PushFlags,
    Undefined,
}

/// The REP instruction that is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rep {
    pub(super) active: bool,
    pub(super) rip: u64,
    looks: u64,
}

/// Everything that the callbacks read and write.
pub(super) struct HookState {
    pub(super) icount: u64,
    pub(super) limit: u64,
    pub(super) blocks: BlockCache,
    /// Index of the block announced last; `NONE` if control has left it.
    pub(super) current: u32,
    pub(super) rep: Rep,
    pub(super) halt: Option<Halt>,
    pub(super) panic: Option<Box<dyn Any + Send>>,
    pub(super) ram: Ram,
    /// See [`SCRATCH`](super::SCRATCH).
    pub(super) scratch: Ram,
    pub(super) code: CodeFrames,
    pub(super) window: Window,
    pub(super) breakpoints: Vec<u64>,
    /// The machine's side, for the time of one run.
    pub(super) source: Option<*mut dyn Source>,
    pub(super) cpl: u8,
    pub(super) smap: bool,
    pub(super) bitness: u32,
    pub(super) la57: bool,
    /// One instruction at a time.
    pub(super) stepping: bool,
    /// The instruction that a step begins with has been asked about.
    pub(super) asked: bool,
    /// Guards are off: the machine has looked.
    pub(super) force: bool,
    pub(super) trace: bool,
    /// `icount` when the current block was announced.
    block_base: u64,
    /// What the tags of blocks have in common that need no look but at their table entry;
    /// [`NO_TAG`]: there are none now.
    quick: u64,
    /// RIP and `icount` when Unicorn was started.
    pub(super) begin: (u64, u64),
    /// RIP and `icount` when the run began.
    pub(super) began: (u64, u64),
    /// Instructions that Unicorn has translated in blocks.
    pub(super) translated: u64,
    /// RFLAGS as a hook saw them that let its instruction run on, and where.
    pub(super) flags_seen: Option<(u64, u64)>,
    /// A breakpoint at this address, before anything has retired, has been seen already.
    pub(super) over: (u64, u64),
    /// Linear addresses before which control stops.
    watch: Vec<u64>,
    /// The pages in which a block can begin that holds one of them, as a set with false members.
    watch_pages: u64,
    /// Linear pages whose data accesses always stop.
    pub(super) denied: Vec<u64>,
    /// A linear page that stands for a scratch page, for one instruction.
    pub(super) overlay: Option<(u64, u64)>,
    /// The one instruction that runs may store into frames that hold code.
    pub(super) code_writes: bool,
    /// Frames into which it may have, for which scratch pages stand.
    pub(super) written_code: Vec<u64>,
    /// The one instruction that runs has been looked at: it may lie in a frame that is not safe to translate.
    pub(super) looked_at: bool,
    /// A frame has got its first code.
    pub(super) new_code: bool,
    /// Code is being dropped through [`PROBE_BASE`].
    pub(super) probing: bool,
}

pub(super) const NONE: u32 = u32::MAX;

/// The bit of a linear address' page in a set of pages.
const fn page_bit(at: u64) -> u64 {
    1 << (at / PAGE_SIZE % 64)
}

impl HookState {
    pub(super) fn new(ram: Ram, scratch: Ram, code: CodeFrames) -> Self {
        Self {
            icount: 0,
            limit: 0,
            blocks: BlockCache::new(),
            current: NONE,
            rep: Rep::default(),
            halt: None,
            panic: None,
            code,
            ram,
            scratch,
            window: Window::none(),
            breakpoints: Vec::new(),
            source: None,
            cpl: 0,
            smap: false,
            bitness: 64,
            la57: false,
            stepping: false,
            asked: false,
            force: false,
            trace: false,
            block_base: 0,
            quick: NO_TAG,
            begin: (0, 0),
            began: (0, 0),
            translated: 0,
            flags_seen: None,
            over: (0, 0),
            watch: Vec::new(),
            watch_pages: 0,
            denied: Vec::new(),
            overlay: None,
            code_writes: false,
            written_code: Vec::new(),
            looked_at: false,
            new_code: false,
            probing: false,
        }
    }

    /// Stops before control begins a block at one of these linear addresses.
    pub(super) fn set_watch(&mut self, addresses: impl Iterator<Item = u64>) {
        self.watch.clear();
        self.watch.extend(addresses);
        // (A block can begin in one page and end in the next.)
        let pages = |at: &u64| page_bit(*at) | page_bit(at.wrapping_sub(PAGE_SIZE));
        self.watch_pages = self.watch.iter().map(pages).fold(0, |a, b| a | b);
    }

    pub(super) fn is_watched(&self, at: u64) -> bool {
        self.watch.contains(&at)
    }

    fn source(&self) -> Option<&dyn Source> {
        // SAFETY: set by `Engine::run` from a `&mut dyn Source` that outlives the run, and cleared
        // when the run ends; nobody else uses it meanwhile.
        self.source.map(|s| unsafe { &*s })
    }

    /// The frame that holds the code at a linear address.
    pub(super) fn code_frame(&self, at: u64) -> Option<u64> {
        let grant = self.source()?.grant(VirtAddr(at).page(), self.cpl, false)?;
        (grant.exec && self.ram.contains(grant.phys.0, PAGE_SIZE)).then_some(grant.phys.0)
    }

    /// Physical pages of the first and last byte of code at `start`.
    fn code_frames(&self, start: u64, size: u32) -> Option<[u64; 2]> {
        let end = start.wrapping_add(u64::from(size.max(1)) - 1);
        let first = self.code_frame(start)?;
        let last = if VirtAddr(end).page() == VirtAddr(start).page() {
            first
        } else {
            self.code_frame(end)?
        };
        Some([first, last])
    }

    /// Decodes what Unicorn translated, and keeps it. Otherwise: why it is not to run.
    fn decode(&mut self, start: u64, size: u32) -> Result<u32, Halt> {
        let unread = Halt::Disagree { start };
        let Some(frames) = self.code_frames(start, size) else {
            return Err(unread);
        };
        let mut bytes = [0; 4096 + 16];
        let size = size as usize;
        let Some(bytes) = bytes.get_mut(..size) else {
            return Err(unread);
        };
        let in_first = size.min((PAGE_SIZE - start % PAGE_SIZE) as usize);
        let parts = bytes.split_at_mut(in_first);
        for (frame, offset, part) in [
            (frames[0], start % PAGE_SIZE, parts.0),
            (frames[1], 0, parts.1),
        ] {
            if !self.ram.read(frame + offset, part) {
                return Err(unread);
            }
            if !self.looked_at && self.code.is_altered(frame, offset, part) {
                return Err(Halt::Altered { start });
            }
        }
        let breakpoints = &self.breakpoints;
        let stop_at = |at: u64| breakpoints.binary_search(&at).is_ok();
        let block = Block::decode(start, bytes, frames, self.bitness, &stop_at);
        let offset = (start % PAGE_SIZE) as usize;
        self.code.mark(frames[0], offset..offset + in_first);
        self.code.mark(frames[1], 0..size - in_first);
        Ok(self.blocks.insert(block))
    }

    fn stop(&mut self, uc: *mut uc_engine, halt: Halt) {
        self.halt = Some(halt);
        // SAFETY: called by Unicorn with its own live handle; only sets flags.
        unsafe { uc_emu_stop(uc) };
    }

    /// Sets [`quick`](Self::quick) for what is asked for now.
    pub(super) fn set_quick(&mut self) {
        let plain = !self.trace && !self.stepping && !self.rep.active;
        self.quick = if plain { self.blocks.epoch() } else { NO_TAG };
    }

    /// Takes off what was counted of the current block from `rip` on.
    pub(super) fn leave_block_at(&mut self, rip: u64) {
        let done = self
            .blocks
            .get(self.current)
            .and_then(|b| b.counted_before(rip).map(|done| u64::from(b.weight - done)));
        if let Some(excess) = done {
            self.trace_block(Some(rip));
            self.icount -= excess;
        }
        self.current = NONE;
    }

    /// Reports the current block's instructions, all of them or those before `rip`.
    pub(super) fn trace_block(&mut self, rip: Option<u64>) {
        if !self.trace {
            return;
        }
        let Some(source) = self.source else { return };
        let Some(block) = self.blocks.get(self.current) else {
            return;
        };
        for (n, offset) in block.insns.iter().enumerate() {
            let at = block.start.wrapping_add((*offset).into());
            let end = block
                .insns
                .get(n + 1)
                .map_or(block.bytes.len(), |&i| i.into());
            let bytes = &block.bytes[usize::from(*offset)..end];
            if Some(at) == rip {
                break;
            }
            // SAFETY: as in `source`.
            unsafe { &mut *source }.instruction(VirtAddr(at), bytes, self.block_base + n as u64);
        }
        self.current = NONE;
    }
}
