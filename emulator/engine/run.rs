//! Running guest code until something needs the system half.

use iced_x86::{FlowControl, Instruction};
use unicorn_engine_sys::uc_emu_start;

use super::classify::Guard;
use super::hooks::{At, Halt, NONE, PROBE_BASE, REP_SLICE, Rep};
use super::source::Source;
use super::{Engine, cpu_image, layout};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{AccessKind, CpuState, PAGE_SIZE, VirtAddr};

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop when this many instructions have retired since reset.
    pub limit: u64,
    /// Run one instruction, or one iteration of a REP string instruction.
    pub step: bool,
    /// Run the instruction even if a [`Guard`] would stop before it: the caller has looked.
    pub force: bool,
    /// Do not stop at a breakpoint at the present RIP before anything has retired.
    pub over_breakpoint: bool,
    /// Call [`Source::instruction`] for each instruction.
    pub trace: bool,
    /// With `step`: the instruction may store into code through a translation that is not
    /// executable, for which the engine stops otherwise ([`Cause::CodeWrite`]).
    pub code_writes: bool,
}

/// Why it stopped. RIP is exact in every case.
#[derive(Clone, Debug)]
pub enum Cause {
    /// `limit` instructions have retired.
    Limit,
    /// The step was made.
    Stepped,
    /// The instruction at RIP is never run natively.
    Intercept(Instruction),
    /// The instruction at RIP needs a look first.
    Guard(Instruction, Guard),
    /// A breakpoint.
    Breakpoint,
    /// The instruction at RIP raised an exception that Unicorn knows.
    Exception {
        /// Its vector.
        vector: u8,
        /// Its error code; only meaningful for vectors that have one.
        error_code: u32,
    },
    /// Unicorn cannot execute the instruction at RIP.
    Invalid,
    /// The instruction at RIP touches data on a page that is not granted.
    Data {
        /// The page's linear address.
        page: VirtAddr,
        /// What was asked first; a read-modify-write asks to read.
        kind: AccessKind,
    },
    /// Code on a page that is not granted is needed, for the instruction at RIP or for a later one.
    Fetch {
        /// The page's linear address.
        page: VirtAddr,
    },
    /// A near branch (at RIP, nothing of it done) has a non-canonical target.
    NonCanonicalTarget(Instruction),
    /// Control is about to begin a block at a watched address.
    Watched,
    /// The instruction at RIP stores into a frame that holds code, through a translation that is
    /// not executable: step it with [`RunOptions::code_writes`].
    CodeWrite,
    /// Inside the engine only: the block has changed its own code.
    #[doc(hidden)]
    CodeChanged,
    /// Inside the engine only: a REP instruction comes, and is begun by itself.
    #[doc(hidden)]
    BeginRep,
    /// Inside the engine only: the instruction at RIP is to be stepped.
    #[doc(hidden)]
    StepAlone,
    /// The REP string instruction at RIP has run for a while; go on.
    RepSlice,
    /// Unicorn and the decoder do not agree on the code at this address, not even one instruction
    /// at a time.
    Disagreement {
        /// Where the block starts.
        start: VirtAddr,
    },
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Why.
    pub cause: Cause,
    /// Iterations that the REP string instruction at RIP, which has not retired, made in this run.
    pub rep_iterations: u64,
}

/// A REP string instruction that has made iterations and has not retired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RepBegun {
    rip: u64,
    icount: u64,
    /// RFLAGS before its first iteration of the run.
    flags: u64,
}

impl Engine {
    /// RFLAGS before the first of the iterations that [`Exit::rep_iterations`] counted in the last
    /// run.
    #[must_use]
    pub fn flags_before_rep(&self) -> Option<u64> {
        self.rep_begun.map(|b| b.flags)
    }

    /// Runs from `regs` and leaves the new state there. `source` answers for the memory.
    ///
    /// Registers other than the general ones, RIP and RFLAGS never change: whatever changes them
    /// is intercepted.
    pub fn run(
        &mut self,
        regs: &mut CpuState,
        source: &mut dyn Source,
        options: RunOptions,
    ) -> Exit {
        self.drop_stale_code();
        let start = self.state().icount;
        let had_rf = regs.rflags & rflags::RF;
        self.prepare(regs, source, options, start);
        self.rep_begun = None;
        let exit = if options.step {
            // Stopped before a second instruction: see `run_once`.
            self.run_once(regs, options, true).unwrap_or(Exit {
                cause: Cause::Stepped,
                rep_iterations: 0,
            })
        } else {
            self.run_to_limit(regs, options)
        };
        self.state_mut().source = None;
        self.settle_code_writes();
        if self.state().icount == start && exit.rep_iterations == 0 {
            regs.rflags |= had_rf;
        }
        exit
    }

    fn run_to_limit(&mut self, regs: &mut CpuState, options: RunOptions) -> Exit {
        // A REP instruction that was begun by a single step: where, and how far it came.
        let mut begun = (0, 0, 0);
        // Single steps to make before blocks are tried.
        let mut steps = self.debt.steps();
        let trap = regs.rflags & rflags::TF != 0;
        let mut exit = loop {
            if self.state().icount >= options.limit {
                break Exit {
                    cause: Cause::Limit,
                    rep_iterations: 0,
                };
            }
            // Somebody's code hook is compiled into each instruction: flags are safe in steps alone
            // (see the module `hooks`).
            if steps == 0 && !self.foreign_hooks {
                let (before, translated) = (self.icount(), self.state().translated);
                let exit = self.run_once(regs, options, false);
                self.debt.ran(
                    self.state().translated - translated,
                    self.icount().saturating_sub(before),
                );
                match exit.map(|exit| (exit.cause.clone(), exit)) {
                    Some((Cause::BeginRep, _)) => {}
                    // It is about to overwrite itself.
                    Some((Cause::CodeChanged, exit)) if exit.rep_iterations != 0 => {
                        break Exit {
                            cause: Cause::RepSlice,
                            ..exit
                        };
                    }
                    // One by one it shows which instruction it is, if control comes there at all.
                    Some((
                        Cause::StepAlone | Cause::CodeChanged | Cause::Disagreement { .. },
                        _,
                    ))
                    | None => steps = self.debt.steps().max(1),
                    Some((_, exit)) => break exit,
                }
                continue;
            }
            // The next block would pass the limit, or its instruction wants it: a single step.
            steps = steps.saturating_sub(1);
            self.debt.stepped();
            let rep_iterations = match self.run_once(regs, options, true) {
                Some(Exit {
                    cause: Cause::Stepped,
                    rep_iterations,
                }) => rep_iterations,
                Some(Exit {
                    cause: Cause::BeginRep,
                    ..
                }) => {
                    steps = 0;
                    continue;
                }
                Some(exit) => break exit,
                // Stopped before a second instruction: see `run_once`.
                None => 0,
            };
            let here = (regs.rip, self.state().icount);
            let earlier = if (begun.0, begun.1) == here {
                begun.2
            } else {
                0
            };
            begun = (here.0, here.1, earlier + rep_iterations);
            if rep_iterations != 0 {
                // The rest of its iterations at once.
                steps = 0;
            }
            let cause = if trap {
                Cause::Stepped
            } else if rep_iterations == 0 && self.state().watch.contains(&regs.rip) {
                Cause::Watched
            } else if begun.2 >= REP_SLICE {
                Cause::RepSlice
            } else {
                continue;
            };
            break Exit {
                cause,
                rep_iterations: 0,
            };
        };
        if (begun.0, begun.1) == (regs.rip, self.state().icount) {
            exit.rep_iterations += begun.2;
        }
        exit
    }

    #[expect(unsafe_code, reason = "hands a borrowed source to the callbacks")]
    fn prepare(
        &mut self,
        regs: &CpuState,
        source: &mut dyn Source,
        options: RunOptions,
        icount: u64,
    ) {
        let bitness = if regs.is_64bit() {
            64
        } else if regs.cs().attr & crate::arch::Segment::DB != 0 {
            32
        } else {
            16
        };
        let s = self.state_mut();
        if s.bitness != bitness {
            s.bitness = bitness;
            s.blocks.mapping_changed();
        }
        // SAFETY: only the lifetime is erased; the pointer is dropped before `run` returns.
        s.source = Some(unsafe {
            std::mem::transmute::<*mut dyn Source, *mut (dyn Source + 'static)>(source)
        });
        s.cpl = regs.cpl;
        s.smap = regs.cr4 & crate::arch::bits::cr4::SMAP != 0;
        s.la57 = regs.la57();
        s.force = options.force;
        s.code_writes = options.step && options.code_writes;
        s.trace = options.trace;
        s.began = (regs.rip, icount);
        s.over = if options.over_breakpoint {
            (regs.rip, icount)
        } else {
            (!regs.rip, u64::MAX)
        };
        s.limit = if options.step {
            u64::MAX
        } else {
            options.limit
        };
    }

    /// One `emu_start`, and what it takes to begin it again where only translation was at fault.
    /// `None`: stopped before a block that would pass the limit.
    #[expect(unsafe_code, reason = "runs Unicorn")]
    fn run_once(&mut self, regs: &mut CpuState, options: RunOptions, step: bool) -> Option<Exit> {
        cpu_image::load(&mut self.blob, regs, step);
        self.blob.restore(self.uc);
        let limit = if options.step {
            u64::MAX
        } else {
            options.limit
        };
        let s = self.state_mut();
        s.stepping = step;
        // PAUSE leaves QEMU's loop on a way that raises no exception 1.
        let one = s.icount.saturating_add(1);
        s.limit = if step { one } else { limit };
        s.current = NONE;
        s.rep = Rep::default();
        s.flags_seen = None;
        // Not again below: what is translated again later is not where this run begins.
        s.begin = (regs.rip, s.icount);
        let halt = loop {
            let rip = self.live_rip();
            let s = self.state_mut();
            s.halt = None;
            s.set_quick();
            // SAFETY: the engine is live; hooks and RAM outlive the call; `HookState` is not
            // borrowed here while Unicorn's callbacks use it.
            unsafe { uc_emu_start(self.uc, rip, 0, 0, 0) };
            if let Some(payload) = self.state_mut().panic.take() {
                self.state_mut().source = None;
                std::panic::resume_unwind(payload);
            }
            match self.state_mut().halt.take() {
                // As if nothing had stopped: the block before it is still the current one, and
                // control comes from there.
                Some(Halt::Retranslate { start, size }) => {
                    let new_code = std::mem::take(&mut self.state_mut().new_code);
                    self.remove_translation(start, size);
                    if new_code {
                        self.flush_tlb();
                    }
                }
                Some(halt @ (Halt::Disagree { start, size } | Halt::Undefined { start, size })) => {
                    // Announced again, and refused again, whenever control comes here.
                    self.remove_translation(start, size);
                    break halt;
                }
                Some(halt) => break halt,
                // Nothing stops Unicorn but us.
                None => {
                    break Halt::Disagree {
                        start: rip,
                        size: 1,
                    };
                }
            }
        };
        if self.state().blocks.is_full() {
            self.forget_code();
        }
        let (count, flags) = (regs.gpr[gpr::RCX], regs.rflags);
        cpu_image::store(&mut self.blob, self.uc, regs);
        let exit = self.finish(regs, halt, count);
        // A REP instruction is where a run begins: see `BeginRep`.
        if exit.as_ref().is_some_and(|e| e.rep_iterations != 0) {
            let (rip, icount) = (regs.rip, self.icount());
            let same = |b: &RepBegun| (b.rip, b.icount) == (rip, icount);
            let begun = RepBegun { rip, icount, flags };
            self.rep_begun = Some(self.rep_begun.filter(same).unwrap_or(begun));
        }
        exit
    }

    fn finish(&mut self, regs: &mut CpuState, halt: Halt, count: u64) -> Option<Exit> {
        let rip = regs.rip;
        let last = self.last_instruction();
        let s = self.state_mut();
        match &halt {
            // Control had reached the end of its block.
            Halt::Rep
            | Halt::Watched
            | Halt::Refused {
                kind: AccessKind::Fetch,
                ..
            }
            | Halt::Disagree { .. }
            | Halt::Undefined { .. }
            | Halt::CodeChanged
            | Halt::BeforeBlock
            | Halt::Retranslate { .. }
            | Halt::Exception { vector: 1 } => {}
            Halt::At { .. }
            | Halt::Limit
            | Halt::Exception { .. }
            | Halt::Invalid
            | Halt::Refused { .. }
            | Halt::CodeWrite
            | Halt::RepSlice => s.leave_block_at(rip),
        }
        // A fault of an instruction that a hook had let run on, or a store of its into its block.
        if let Some((at, flags)) = s.flags_seen
            && at == rip
            && !matches!(halt, Halt::Exception { vector: 1 })
            && matches!(
                halt,
                Halt::Refused { .. }
                    | Halt::CodeWrite
                    | Halt::CodeChanged
                    | Halt::Exception { .. }
                    | Halt::Invalid
            )
        {
            regs.rflags = flags & cpu_image::FLAGS | rflags::FIXED;
        }
        // A near branch to where no code can be faults itself.
        let strayed = matches!(
            halt,
            Halt::Refused {
                kind: AccessKind::Fetch,
                ..
            } | Halt::Exception { vector: 1 }
        ) && !VirtAddr(rip).is_canonical(regs.la57());
        if strayed
            && let Some(insn) = last.filter(|i| i.next_ip() != rip)
            && is_undone(&insn)
        {
            s.trace_block(Some(insn.ip()));
            self.undo_branch(regs, &insn);
            return Some(Exit {
                cause: Cause::NonCanonicalTarget(insn),
                rep_iterations: 0,
            });
        }
        // A REP instruction that is still at it has not retired.
        let mut rep_iterations = 0;
        if s.rep.active && s.rep.rip == rip {
            if s.current != NONE {
                s.icount -= 1;
                s.current = NONE;
            }
            // One run makes fewer than 2^32 iterations, and ECX may be what counts.
            rep_iterations = count.wrapping_sub(regs.gpr[gpr::RCX]) & 0xffff_ffff;
        } else {
            s.trace_block(None);
        }
        if s.stepping
            && s.icount >= s.limit
            && matches!(
                halt,
                Halt::Undefined { .. }
                    | Halt::Disagree { .. }
                    | Halt::Refused {
                        kind: AccessKind::Fetch,
                        ..
                    }
            )
            && VirtAddr(rip).is_canonical(regs.la57())
        {
            // That is about the next instruction.
            return None;
        }
        let cause = match halt {
            Halt::BeforeBlock => return None,
            Halt::Rep | Halt::At { why: At::Rep, .. } => Cause::BeginRep,
            Halt::At { why: At::Alone, .. } => Cause::StepAlone,
            Halt::At {
                why: At::Undefined, ..
            }
            | Halt::Undefined { .. } => Cause::Invalid,
            Halt::Watched => Cause::Watched,
            Halt::Limit => Cause::Limit,
            Halt::RepSlice => Cause::RepSlice,
            Halt::CodeWrite => Cause::CodeWrite,
            Halt::CodeChanged => Cause::CodeChanged,
            Halt::At {
                insn,
                why: At::Intercept,
            } => Cause::Intercept(insn),
            Halt::At {
                insn,
                why: At::Guard(guard),
            } => Cause::Guard(insn, guard),
            Halt::At {
                why: At::Breakpoint,
                ..
            } => Cause::Breakpoint,
            Halt::Exception { vector: 1 } => Cause::Stepped,
            Halt::Exception { vector } => {
                let error_code = self.blob.u32(layout::ERROR_CODE);
                Cause::Exception {
                    vector: vector as u8,
                    error_code,
                }
            }
            Halt::Invalid => Cause::Invalid,
            Halt::Refused {
                page,
                kind: AccessKind::Fetch,
            } => Cause::Fetch {
                page: VirtAddr(page),
            },
            Halt::Refused { page, kind } => Cause::Data {
                page: VirtAddr(page),
                kind,
            },
            Halt::Disagree { start, .. } | Halt::Retranslate { start, .. } => Cause::Disagreement {
                start: VirtAddr(start),
            },
        };
        Some(Exit {
            cause,
            rep_iterations,
        })
    }

    fn last_instruction(&self) -> Option<Instruction> {
        let s = self.state();
        s.blocks.get(s.current).map(|b| b.last)
    }

    /// Takes back a near jump or return that has retired: RIP, RSP and the count.
    fn undo_branch(&mut self, regs: &mut CpuState, insn: &Instruction) {
        if insn.flow_control() == FlowControl::Return {
            let popped = 8 + if insn.op_count() == 1 {
                u64::from(insn.immediate16())
            } else {
                0
            };
            regs.gpr[gpr::RSP] = regs.gpr[gpr::RSP].wrapping_sub(popped);
        }
        regs.rip = insn.ip();
        self.state_mut().icount -= 1;
    }

    /// Drops what Unicorn translated of `size` bytes at the linear address `start`.
    fn remove_translation(&mut self, start: u64, size: u32) {
        // Needs the fetch grant, which the translation had.
        let _ = self
            .unicorn
            .ctl_remove_cache(start, start.wrapping_add(u64::from(size.max(1))));
    }

    /// After an instruction that may have written to code unwatched: no such entry stays in the
    /// TLB, and no code in the frame.
    fn settle_code_writes(&mut self) {
        let frames = std::mem::take(&mut self.state_mut().written_code);
        if frames.is_empty() {
            return;
        }
        for frame in frames {
            self.stale_code.push((frame, PAGE_SIZE));
        }
        self.flush_tlb();
    }

    /// Drops translated code over which the host wrote.
    fn drop_stale_code(&mut self) {
        if self.stale_code.is_empty() {
            return;
        }
        for (at, len) in std::mem::take(&mut self.stale_code) {
            let at = PROBE_BASE + at;
            self.state_mut().probing = true;
            let _ = self
                .unicorn
                .ctl_remove_cache(at, at + len.clamp(1, PAGE_SIZE));
            self.state_mut().probing = false;
        }
    }
}

/// Whether [`Engine::undo_branch`] can take `insn` back. A call is not among them: its guard stopped
/// before it could push.
fn is_undone(insn: &Instruction) -> bool {
    matches!(
        insn.flow_control(),
        FlowControl::Return
            | FlowControl::IndirectBranch
            | FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
    )
}

/// What translation has cost beyond its use.
///
/// Unicorn translates up to 512 instructions at a time, which takes a millisecond. Where few of
/// them run (the code changes itself, or every few instructions something stops the engine at a
/// place not seen before), single steps are cheaper. The choice shows in the time only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debt(u64);

impl Debt {
    /// Instructions translated in vain before steps are made.
    const HIGH: u64 = 4096;
    /// Steps that are made then.
    const STEPS: u32 = 512;
    /// What a step is worth.
    const STEP: u64 = 4;

    fn ran(&mut self, translated: u64, retired: u64) {
        self.0 = (self.0 + translated)
            .saturating_sub(retired.saturating_mul(Self::STEP))
            .min(2 * Self::HIGH);
    }

    fn stepped(&mut self) {
        self.0 = self.0.saturating_sub(Self::STEP);
    }

    fn steps(self) -> u32 {
        if self.0 > Self::HIGH { Self::STEPS } else { 0 }
    }
}
