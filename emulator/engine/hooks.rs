//! The callbacks that Unicorn makes while guest code runs.
//!
//! They share one [`HookState`] behind a raw pointer. Unicorn calls them one at a time, on the
//! thread that called `uc_emu_start`, and the engine does not look at the state meanwhile.
//!
//! # Hooks and lazy flags
//!
//! A code hook is compiled in with a piece of code behind it that computes the flags. A TLB fill in
//! the same instruction resets QEMU's idea of how they are to be computed to what it was before that
//! piece. If the instruction then faults, or had stored its lazy flags before the access (REP does),
//! the flags are wrong. So a hook is compiled in only where the engine will stop; where a guard lets
//! an instruction run on, it is the first of its block, and the flags are read in the hook and put
//! right if the instruction faults. Single steps and REP instructions run without a hook.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Register};
use unicorn_engine_sys::{
    HookType, MemType, Prot, RegisterX86, TlbEntry, TranslationBlock, uc_emu_stop, uc_engine,
    uc_hook, uc_hook_add, uc_reg_read,
};

use super::blocks::{Block, BlockCache, CHECK};
use super::classify::{Class, Guard};
use super::error::{EngineError, check};
use super::ram::Ram;
use super::source::Source;
use crate::arch::bits::rflags;
use crate::arch::{AccessKind, PAGE_SIZE, VirtAddr};

/// Linear addresses that are never canonical, through which translated code is dropped by
/// physical address.
pub(super) const PROBE_BASE: u64 = 0x0100_0000_0000_0000;

/// Iterations of one REP instruction after which the engine gives the machine a look.
pub(super) const REP_SLICE: u64 = 1 << 20;

/// Why guest code stopped running.
#[derive(Clone, Debug)]
pub(super) enum Halt {
    /// The next block would pass the limit.
    BeforeBlock,
    /// `limit` instructions have retired.
    Limit,
    /// A block must be translated again, with its instructions hooked.
    Retranslate { start: u64, size: u32 },
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
    /// POPF has been executed, and somebody wants to know IF.
    Flags,
    /// One REP instruction has run for long.
    RepSlice,
    /// A store into code through a translation that is not executable: see [`HookState::on_fill`].
    CodeWrite,
    /// A block has changed its own code.
    CodeChanged,
    /// iced-x86 and Unicorn do not agree on the block that begins here.
    Disagree { start: u64, size: u32 },
    /// iced-x86 and Unicorn do not agree on the one instruction that lies here.
    Undefined { start: u64, size: u32 },
}

/// Why the engine stops before an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    Intercept,
    Guard(Guard),
    Breakpoint,
    Rep,
    Alone,
    Undefined,
}

/// `struct hook` of Unicorn 2.1.5, as far as it is used.
#[repr(C)]
struct RawHook {
    words: [i32; 5],
    to_delete: bool,
    begin: u64,
    end: u64,
    callback: *mut c_void,
    user_data: *mut c_void,
}

/// The one code hook, whose window is moved to where blocks are about to be translated. A call
/// that was compiled in stays when the window moves on, and is made without looking at it, as
/// long as this is the only code hook.
#[derive(Debug)]
pub(super) struct Window {
    hook: *mut RawHook,
    begin: u64,
    end: u64,
    everything: bool,
}

impl Window {
    const NOWHERE: (u64, u64) = (PROBE_BASE - 2, PROBE_BASE - 1);

    fn covers(&self, begin: u64, end: u64) -> bool {
        self.begin > self.end || (self.begin <= begin && end <= self.end)
    }

    fn set(&mut self, begin: u64, end: u64) {
        (self.begin, self.end) = (begin, end);
        // SAFETY: `hook` is the live hook of the engine that owns this window; its layout was
        // proved when it was added.
        unsafe {
            (*self.hook).begin = begin;
            (*self.hook).end = end;
        }
    }

    /// Hooks nothing that is translated from now on.
    fn rest(&mut self) {
        if !self.everything {
            self.set(Self::NOWHERE.0, Self::NOWHERE.1);
        }
    }

    /// Hooks every instruction from now on.
    pub(super) fn set_everything(&mut self) {
        self.everything = true;
        self.set(1, 0);
    }
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
    pub(super) code_pages: Vec<u64>,
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
    /// Guards are off: the machine has looked.
    pub(super) force: bool,
    pub(super) trace: bool,
    /// `icount` when the current block was announced.
    block_base: u64,
    /// RIP when Unicorn was started, until a block has been announced.
    pub(super) begin: Option<u64>,
    /// RIP and `icount` when the run began.
    pub(super) began: (u64, u64),
    /// Instructions that Unicorn has translated in blocks.
    pub(super) translated: u64,
    /// RFLAGS as a hook saw them that let its instruction run on, and where.
    pub(super) flags_seen: Option<(u64, u64)>,
    /// POPF must stop.
    pub(super) watch_flags: bool,
    /// A breakpoint at this address, before anything has retired, has been seen already.
    pub(super) over: (u64, u64),
    /// Linear addresses at which a block that begins there stops.
    pub(super) watch: Vec<u64>,
    /// Linear pages whose data accesses always stop.
    pub(super) denied: Vec<u64>,
    /// A linear page that stands for a scratch page, for one instruction.
    pub(super) overlay: Option<(u64, u64)>,
    /// The one instruction that runs may store into code through any translation.
    pub(super) code_writes: bool,
    /// Frames into which it may have.
    pub(super) written_code: Vec<u64>,
    /// A frame has got its first code.
    pub(super) new_code: bool,
    /// Code is being dropped through [`PROBE_BASE`].
    pub(super) probing: bool,
    info: InstructionInfoFactory,
}

pub(super) const NONE: u32 = u32::MAX;

impl HookState {
    pub(super) fn new(ram: Ram) -> Self {
        let pages = (ram.len() / PAGE_SIZE) as usize;
        Self {
            icount: 0,
            limit: 0,
            blocks: BlockCache::new(),
            current: NONE,
            rep: Rep::default(),
            halt: None,
            panic: None,
            ram,
            code_pages: vec![0; pages / 64 + 1],
            window: Window {
                hook: std::ptr::null_mut(),
                begin: 0,
                end: 0,
                everything: false,
            },
            breakpoints: Vec::new(),
            source: None,
            cpl: 0,
            smap: false,
            bitness: 64,
            la57: false,
            stepping: false,
            force: false,
            trace: false,
            block_base: 0,
            begin: None,
            began: (0, 0),
            translated: 0,
            flags_seen: None,
            watch_flags: false,
            over: (0, 0),
            watch: Vec::new(),
            denied: Vec::new(),
            overlay: None,
            code_writes: false,
            written_code: Vec::new(),
            new_code: false,
            probing: false,
            info: InstructionInfoFactory::new(),
        }
    }

    pub(super) fn has_code(&self, page_at: u64) -> bool {
        let n = (page_at / PAGE_SIZE) as usize;
        self.code_pages
            .get(n / 64)
            .is_some_and(|w| w & (1 << (n % 64)) != 0)
    }

    fn source(&self) -> Option<&dyn Source> {
        // SAFETY: set by `Engine::run` from a `&mut dyn Source` that outlives the run, and cleared
        // when the run ends; nobody else uses it meanwhile.
        self.source.map(|s| unsafe { &*s })
    }

    /// Physical pages of the first and last byte of code at `start`.
    fn code_frames(&self, start: u64, size: u32) -> Option<[u64; 2]> {
        let source = self.source()?;
        let frame = |at: u64| {
            let grant = source.grant(VirtAddr(at).page(), self.cpl, false)?;
            (grant.exec && self.ram.contains(grant.phys.0, PAGE_SIZE)).then_some(grant.phys.0)
        };
        let end = start.wrapping_add(u64::from(size.max(1)) - 1);
        let first = frame(start)?;
        let last = if VirtAddr(end).page() == VirtAddr(start).page() {
            first
        } else {
            frame(end)?
        };
        Some([first, last])
    }

    /// Decodes what Unicorn translated, and keeps it.
    fn decode(&mut self, start: u64, size: u32) -> Option<u32> {
        let frames = self.code_frames(start, size)?;
        let mut bytes = [0; 4096 + 16];
        let size = size as usize;
        let bytes = bytes.get_mut(..size)?;
        let in_first = size.min((PAGE_SIZE - start % PAGE_SIZE) as usize);
        if !self
            .ram
            .read(frames[0] + start % PAGE_SIZE, &mut bytes[..in_first])
            || !self.ram.read(frames[1], &mut bytes[in_first..])
        {
            return None;
        }
        let breakpoints = &self.breakpoints;
        let stop_at = |at: u64| breakpoints.binary_search(&at).is_ok();
        let block = Block::decode(start, bytes, frames, self.bitness, &mut self.info, &stop_at);
        for frame in frames {
            self.new_code |= !self.has_code(frame);
            let n = (frame / PAGE_SIZE) as usize;
            self.code_pages[n / 64] |= 1 << (n % 64);
        }
        Some(self.blocks.insert(block))
    }

    fn stop(&mut self, uc: *mut uc_engine, halt: Halt) {
        self.halt = Some(halt);
        // SAFETY: called by Unicorn with its own live handle; only sets flags.
        unsafe { uc_emu_stop(uc) };
    }

    /// Takes off what was counted of the current block from `rip` on.
    pub(super) fn leave_block_at(&mut self, rip: u64) {
        let done = self
            .blocks
            .get(self.current)
            .and_then(|b| b.counted_before(rip).map(|done| u64::from(b.weight - done)));
        if let Some(excess) = done {
            self.trace_block(rip);
            self.icount -= excess;
        }
        self.current = NONE;
    }

    /// Reports the current block's instructions, all of them or those before `rip`.
    pub(super) fn trace_block(&mut self, rip: u64) {
        if !self.trace {
            return;
        }
        let Some(source) = self.source else { return };
        let Some(block) = self.blocks.get(self.current) else {
            return;
        };
        for (n, (offset, _)) in block.insns.iter().enumerate() {
            let at = block.start.wrapping_add((*offset).into());
            let end = block
                .insns
                .get(n + 1)
                .map_or(block.bytes.len(), |i| i.0.into());
            let bytes = &block.bytes[usize::from(*offset)..end];
            if at == rip {
                break;
            }
            // SAFETY: as in `source`.
            unsafe { &mut *source }.instruction(VirtAddr(at), bytes, self.block_base + n as u64);
        }
        self.current = NONE;
    }

    /// Corrects for a block that was left because of a store into its own code.
    fn block_of_one(&mut self, rip: u64) -> bool {
        let left = self
            .blocks
            .get(self.current)
            .is_some_and(|b| b.left_before(rip));
        if left {
            self.leave_block_at(rip);
        }
        left
    }

    fn on_edge(&mut self, uc: *mut uc_engine, tb: &TranslationBlock) {
        let (start, size) = (tb.pc, u32::from(tb.size));
        if !self.stepping {
            self.translated += u64::from(tb.icount);
        }
        if tb.icount == 1 && self.block_of_one(start) {
            if !self.stepping {
                return self.stop(uc, Halt::CodeChanged);
            }
            // The step begins again.
            self.begin = Some(start);
        }
        let Some(index) = self.decode(start, size) else {
            return self.stop(uc, Halt::Disagree { start, size });
        };
        let Some(block) = self.blocks.get(index) else {
            return;
        };
        if !block.agrees_with(usize::from(tb.icount)) {
            let halt = if tb.icount == 1 {
                Halt::Undefined { start, size }
            } else {
                Halt::Disagree { start, size }
            };
            return self.stop(uc, halt);
        }
        if self.new_code {
            // Translations through which it can be written to may be in the TLB.
            return self.stop(uc, Halt::Retranslate { start, size });
        }
        if self.force && self.stepping {
            return;
        }
        let Some((begin, end)) = block.window() else {
            return;
        };
        if self.window.covers(begin, end) {
            // The calls are compiled in; nothing else shall have any.
            self.window.rest();
        } else {
            self.window.set(begin, end);
            self.stop(uc, Halt::Retranslate { start, size });
        }
    }

    #[inline]
    fn on_block(&mut self, uc: *mut uc_engine, start: u64, size: u32) {
        let mut begin = self.begin.take();
        let (weight, index) = match self.blocks.fast(start, size) {
            Some(known) => known,
            None => match self.look_up(start, size) {
                Some(known) => known,
                None => return self.stop(uc, Halt::Disagree { start, size }),
            },
        };
        if (weight & CHECK != 0 || self.rep.active) && self.rep_goes_on(uc, start, index) {
            return;
        }
        if weight & CHECK != 0 && self.block_of_one(start) {
            if !self.stepping {
                return self.stop(uc, Halt::CodeChanged);
            }
            begin = Some(start);
        }
        let weight = u64::from(weight & !CHECK);
        if self.trace {
            self.trace_block(!0);
        }
        if !self.watch.is_empty()
            && (start, self.icount) != self.began
            && self.watch.contains(&start)
        {
            self.current = NONE;
            return self.stop(uc, Halt::Watched);
        }
        if self.icount + weight > self.limit {
            self.current = NONE;
            return self.stop(uc, Halt::BeforeBlock);
        }
        if self.watch_flags
            && self
                .blocks
                .get(self.current)
                .is_some_and(Block::ends_in_popf)
        {
            self.current = NONE;
            return self.stop(uc, Halt::Flags);
        }
        if self.blocks.get(index).is_some_and(Block::is_rep) {
            if begin != Some(start) {
                // Begin it by itself: RCX is known then.
                self.current = NONE;
                return self.stop(uc, Halt::Rep);
            }
            self.rep = Rep {
                active: true,
                rip: start,
                looks: 0,
            };
        }
        self.block_base = self.icount;
        self.icount += weight;
        self.current = index;
    }

    /// Whether the block is a further iteration of the REP instruction under way.
    #[cold]
    fn rep_goes_on(&mut self, uc: *mut uc_engine, start: u64, index: u32) -> bool {
        if !self.rep.active {
            return false;
        }
        if self.rep.rip != start || index != self.current {
            self.rep.active = false;
            return false;
        }
        self.rep.looks += 1;
        if self.rep.looks.is_multiple_of(REP_SLICE) && !self.stepping {
            self.stop(uc, Halt::RepSlice);
        }
        true
    }

    #[cold]
    fn look_up(&mut self, start: u64, size: u32) -> Option<(u32, u32)> {
        let frames = self.code_frames(start, size)?;
        if self.blocks.find(start, size, frames).is_none() {
            self.decode(start, size)?;
        }
        self.blocks.fast(start, size)
    }

    fn on_code(&mut self, uc: *mut uc_engine, rip: u64) {
        let Some(block) = self.blocks.get(self.current) else {
            return;
        };
        let Some(special) = block.special_at(rip) else {
            return;
        };
        let Some(done) = block.counted_before(rip) else {
            return;
        };
        let icount = self.icount - u64::from(block.weight - done);
        let (insn, class, may_pass) = (special.insn, special.class, special.may_pass);
        let alone = block.is_single();
        let at = |why| Halt::At { insn, why };
        if special.breakpoint && self.over != (rip, icount) {
            return self.stop(uc, at(At::Breakpoint));
        }
        match class {
            None => {}
            Some(Class::Intercept) => self.stop(uc, at(At::Intercept)),
            Some(Class::Guard(_)) if self.force => {}
            Some(Class::Guard(guard)) => {
                if may_pass && !self.guard_trips(uc, guard, &insn) {
                    self.flags_seen = Some((rip, read_flags(uc)));
                } else {
                    self.stop(uc, at(At::Guard(guard)));
                }
            }
            Some(Class::Alone) if self.stepping => {}
            Some(Class::Alone) => self.stop(uc, at(At::Alone)),
            // By itself already; hooked for a breakpoint, or because everything is.
            Some(Class::Rep) if alone => self.flags_seen = Some((rip, read_flags(uc))),
            Some(Class::Undefined) => self.stop(uc, at(At::Undefined)),
            Some(Class::Rep) => self.stop(uc, at(At::Rep)),
            Some(Class::SelfBranch) => {
                if self.icount >= self.limit {
                    self.stop(uc, Halt::Limit);
                } else {
                    self.icount += 1;
                }
            }
        }
    }

    fn guard_trips(&self, uc: *mut uc_engine, guard: Guard, insn: &Instruction) -> bool {
        let memory = (0..insn.op_count()).find(|&n| insn.op_kind(n) == iced_x86::OpKind::Memory);
        let address = || insn.virtual_address(memory?, 0, |reg, _, _| Some(read_register(uc, reg)));
        match guard {
            Guard::Alignment => address().is_none_or(|a| a % 16 != 0),
            Guard::WideStore => {
                // Any store of up to 512 bytes; the machine looks closer.
                let size = (insn.memory_size().size() as u64).max(16);
                address().is_none_or(|a| a % PAGE_SIZE + size > PAGE_SIZE)
            }
            Guard::CallTarget => {
                let target = match memory {
                    None if insn.flow_control() == FlowControl::Call => {
                        Some(insn.near_branch_target())
                    }
                    None => Some(read_register(uc, insn.op0_register())),
                    Some(_) => address().and_then(|a| self.peek(a)),
                };
                // What cannot be read here faults in the instruction itself.
                target.is_some_and(|t| !VirtAddr(t).is_canonical(self.la57))
            }
            Guard::Mxcsr => true,
        }
    }

    /// Eight bytes at a linear address, where they lie in one page that may be read.
    fn peek(&self, at: u64) -> Option<u64> {
        if at % PAGE_SIZE > PAGE_SIZE - 8 {
            // Across a page: let the machine look.
            return Some(PROBE_BASE);
        }
        let grant = self.source()?.grant(VirtAddr(at).page(), self.cpl, true)?;
        let mut bytes = [0; 8];
        self.ram
            .read(grant.phys.0 + at % PAGE_SIZE, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }

    fn on_exception(&mut self, uc: *mut uc_engine, vector: u32) {
        self.stop(uc, Halt::Exception { vector });
    }

    fn on_fill(&mut self, uc: *mut uc_engine, page: u64, kind: AccessKind) -> Option<(u64, Prot)> {
        if self.probing {
            let phys = page.wrapping_sub(PROBE_BASE);
            return (kind == AccessKind::Fetch && self.ram.contains(phys, PAGE_SIZE))
                .then_some((phys, Prot::EXEC));
        }
        let refused = Halt::Refused { page, kind };
        if let Some((linear, scratch)) = self.overlay
            && linear == page
            && kind != AccessKind::Fetch
        {
            return Some((scratch, Prot::READ | Prot::WRITE));
        }
        if kind != AccessKind::Fetch && self.denied.contains(&page) {
            self.halt = Some(refused);
            return None;
        }
        let ac = self.smap && self.cpl != 3 && read_flags(uc) & rflags::AC != 0;
        let grant = self
            .source()
            .and_then(|s| s.grant(VirtAddr(page), self.cpl, ac));
        let Some(grant) = grant.filter(|g| self.ram.contains(g.phys.0, PAGE_SIZE)) else {
            self.halt = Some(refused);
            return None;
        };
        let allowed = match kind {
            AccessKind::Read => grant.read,
            AccessKind::Write => grant.write,
            AccessKind::Fetch => grant.exec,
        };
        if !allowed {
            self.halt = Some(refused);
            return None;
        }
        // A write that is not watched for changed code. Unicorn watches while the same entry of
        // its TLB is executable, and after that one write only.
        let unwatched = self.has_code(grant.phys.0) && !grant.exec;
        if unwatched && kind == AccessKind::Write {
            if !self.code_writes {
                self.halt = Some(Halt::CodeWrite);
                return None;
            }
            self.written_code.push(grant.phys.0);
        }
        let mut perms = Prot(0);
        if grant.read {
            perms |= Prot::READ;
        }
        if grant.exec {
            perms |= Prot::EXEC;
        }
        // With old contents being kept, a page must ask before its first write.
        let asked = kind == AccessKind::Write;
        if grant.write && (asked || !(self.ram.keeps_undo() || unwatched)) {
            self.ram.note_write(grant.phys.0);
            perms |= Prot::WRITE;
        }
        if self.denied.contains(&page) {
            perms = Prot::EXEC;
        }
        Some((grant.phys.0, perms))
    }
}

fn read_flags(uc: *mut uc_engine) -> u64 {
    read_uc(uc, RegisterX86::RFLAGS)
}

fn read_uc(uc: *mut uc_engine, reg: RegisterX86) -> u64 {
    let mut value = 0u64;
    // SAFETY: `uc` is live, and none of the registers asked for is wider than eight bytes.
    unsafe { uc_reg_read(uc, reg as i32, (&raw mut value).cast()) };
    value
}

/// A register of an address: general, or a segment for its base.
fn read_register(uc: *mut uc_engine, reg: Register) -> u64 {
    if reg.is_segment_register() {
        return match reg {
            Register::FS => read_uc(uc, RegisterX86::FS_BASE),
            Register::GS => read_uc(uc, RegisterX86::GS_BASE),
            _ => 0,
        };
    }
    const BASE: [RegisterX86; 16] = super::layout::GENERAL;
    let full = read_uc(uc, BASE[(reg.full_register().number()) & 15]);
    match reg.size() {
        4 => full & 0xffff_ffff,
        2 => full & 0xffff,
        _ => full,
    }
}

/// Runs a callback; a panic must not cross Unicorn's frames: it is kept and raised again later.
fn guarded<R>(
    uc: *mut uc_engine,
    data: *mut c_void,
    other: R,
    f: impl FnOnce(&mut HookState) -> R,
) -> R {
    // SAFETY: `data` is the `HookState` given to `uc_hook_add`, alive as long as the engine;
    // callbacks never overlap, and the engine's owner does not touch it while Unicorn runs.
    let state = unsafe { &mut *data.cast::<HookState>() };
    match catch_unwind(AssertUnwindSafe(|| f(state))) {
        Ok(r) => r,
        Err(payload) => {
            state.panic = Some(payload);
            // SAFETY: as in `HookState::stop`.
            unsafe { uc_emu_stop(uc) };
            other
        }
    }
}

extern "C" fn block_hook(uc: *mut uc_engine, start: u64, size: u32, data: *mut c_void) {
    guarded(uc, data, (), |s| s.on_block(uc, start, size));
}

extern "C" fn code_hook(uc: *mut uc_engine, rip: u64, _size: u32, data: *mut c_void) {
    guarded(uc, data, (), |s| s.on_code(uc, rip));
}

extern "C" fn edge_hook(
    uc: *mut uc_engine,
    current: *mut TranslationBlock,
    _previous: *mut TranslationBlock,
    data: *mut c_void,
) {
    // SAFETY: Unicorn passes a pointer to a block description on its own stack.
    let tb = unsafe { *current };
    guarded(uc, data, (), |s| s.on_edge(uc, &tb));
}

extern "C" fn intr_hook(uc: *mut uc_engine, vector: u32, data: *mut c_void) {
    guarded(uc, data, (), |s| s.on_exception(uc, vector));
}

extern "C" fn invalid_hook(uc: *mut uc_engine, data: *mut c_void) -> bool {
    guarded(uc, data, (), |s| s.halt = Some(Halt::Invalid));
    false
}

extern "C" fn fill_hook(
    uc: *mut uc_engine,
    page: u64,
    kind: MemType,
    entry: *mut TlbEntry,
    data: *mut c_void,
) -> bool {
    let kind = match kind {
        MemType::WRITE => AccessKind::Write,
        MemType::FETCH => AccessKind::Fetch,
        _ => AccessKind::Read,
    };
    match guarded(uc, data, None, |s| s.on_fill(uc, page, kind)) {
        Some((paddr, perms)) => {
            // SAFETY: Unicorn passes a pointer to an entry on its own stack, to be filled in.
            unsafe { entry.write(TlbEntry { paddr, perms }) };
            true
        }
        None => false,
    }
}

/// Adds all hooks, and proves the layout of the code hook.
pub(super) fn install(uc: *mut uc_engine, state: *mut HookState) -> Result<(), EngineError> {
    let add = |kind: HookType, callback: *mut c_void, (begin, end): (u64, u64)| {
        let mut id: uc_hook = 0;
        // SAFETY: each callback has the signature that Unicorn documents for its kind, and
        // `state` lives until after `uc_close`.
        let error = unsafe {
            uc_hook_add(
                uc,
                &raw mut id,
                kind.0 as i32,
                callback,
                state.cast(),
                begin,
                end,
            )
        };
        check(error, "add a hook").map(|()| id)
    };
    let everywhere = (1, 0);
    add(HookType::BLOCK, block_hook as *mut c_void, everywhere)?;
    add(
        HookType::EDGE_GENERATED,
        edge_hook as *mut c_void,
        everywhere,
    )?;
    add(HookType::INTR, intr_hook as *mut c_void, everywhere)?;
    add(
        HookType::INSN_INVALID,
        invalid_hook as *mut c_void,
        everywhere,
    )?;
    add(HookType::TLB_FILL, fill_hook as *mut c_void, everywhere)?;
    let id = add(HookType::CODE, code_hook as *mut c_void, Window::NOWHERE)?;
    let hook = id as *mut RawHook;
    // SAFETY: a hook's handle is the address of its `struct hook`, which is larger than
    // `RawHook`; the values read are compared before anything is written.
    let seen = unsafe {
        (
            (*hook).begin,
            (*hook).end,
            (*hook).callback,
            (*hook).user_data,
        )
    };
    if seen
        != (
            Window::NOWHERE.0,
            Window::NOWHERE.1,
            code_hook as *mut c_void,
            state.cast(),
        )
    {
        return Err(EngineError::Layout {
            what: "struct hook".into(),
        });
    }
    // SAFETY: `state` is valid and not in use: nothing runs yet.
    unsafe {
        (*state).window = Window {
            hook,
            begin: Window::NOWHERE.0,
            end: Window::NOWHERE.1,
            everything: false,
        }
    };
    Ok(())
}
