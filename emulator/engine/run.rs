//! Running guest code until something needs the system half.

use iced_x86::Instruction;
use unicorn_engine_sys::uc_emu_start;

use super::classify::Guard;
use super::hooks::{Halt, NONE, REP_SLICE, Rep};
use super::source::Source;
use super::{Engine, cpu_image, layout};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{AccessKind, CpuState, VirtAddr};

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
    /// Inside the engine only: the instruction at RIP stores into a frame that holds code.
    #[doc(hidden)]
    CodeWrite,
    /// Inside the engine only: code that comes lies in a frame that the translator may not survive.
    #[doc(hidden)]
    Unsafe,
    /// Inside the engine only: a REP instruction comes, and is begun by itself.
    #[doc(hidden)]
    BeginRep,
    /// Inside the engine only: the instruction at RIP is to be stepped.
    #[doc(hidden)]
    StepAlone,
    /// Inside the engine only: the instruction at RIP is to begin a block.
    #[doc(hidden)]
    BeginBlock,
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
    iterations: u64,
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
        let start = self.state().icount;
        let had_rf = regs.rflags & rflags::RF;
        self.prepare(regs, source, options, start);
        self.rep_begun = None;
        let cause = if options.step {
            // `None`: stopped before a second instruction, see `run_once`.
            self.step(regs, options).unwrap_or(Cause::Stepped)
        } else {
            self.run_to_limit(regs, options)
        };
        self.state_mut().source = None;
        let rep_iterations = self.iterations_at(regs.rip);
        if self.state().icount == start && rep_iterations == 0 {
            regs.rflags |= had_rf;
        }
        Exit {
            cause,
            rep_iterations,
        }
    }

    /// Iterations made in this run by the REP instruction at `rip`, which has not retired.
    fn iterations_at(&self, rip: u64) -> u64 {
        let here = (rip, self.state().icount);
        self.rep_begun
            .filter(|b| (b.rip, b.icount) == here)
            .map_or(0, |b| b.iterations)
    }

    fn run_to_limit(&mut self, regs: &mut CpuState, options: RunOptions) -> Cause {
        // Single steps to make before blocks are tried.
        let mut steps = self.debt.steps();
        let trap = regs.rflags & rflags::TF != 0;
        loop {
            if self.state().icount >= options.limit {
                return Cause::Limit;
            }
            // Somebody's code hook is compiled into each instruction: flags are safe in steps alone
            // (see the module `hooks`).
            if steps == 0 && !self.foreign_hooks {
                let (before, translated) = (self.icount(), self.state().translated);
                let cause = self.run_once(regs, options, false);
                self.debt.ran(
                    self.state().translated - translated,
                    self.icount().saturating_sub(before),
                );
                match cause {
                    Some(Cause::BeginRep | Cause::BeginBlock) => {}
                    // One by one it shows which instruction it is, if control comes there at all.
                    Some(
                        Cause::StepAlone
                        | Cause::CodeWrite
                        | Cause::Unsafe
                        | Cause::Disagreement { .. },
                    )
                    // The next block would pass the limit.
                    | None => steps = self.debt.steps().max(1),
                    Some(cause) => return cause,
                }
                continue;
            }
            steps = steps.saturating_sub(1);
            self.debt.stepped();
            match self.step(regs, options) {
                // `None`: stopped before a second instruction, see `run_once`.
                Some(Cause::Stepped) | None => {}
                Some(Cause::BeginRep) => {
                    steps = 0;
                    continue;
                }
                Some(cause) => return cause,
            }
            let iterations = self.iterations_at(regs.rip);
            if iterations != 0 {
                // The rest of its iterations at once.
                steps = 0;
            }
            if trap {
                return Cause::Stepped;
            } else if iterations == 0 && self.state().is_watched(regs.rip) {
                return Cause::Watched;
            } else if iterations >= REP_SLICE {
                return Cause::RepSlice;
            }
        }
    }

    /// One instruction or iteration, also where it stores into a frame that holds code, or lies in
    /// one that the translator may not survive.
    fn step(&mut self, regs: &mut CpuState, options: RunOptions) -> Option<Cause> {
        let s = self.state_mut();
        s.code_writes = options.force;
        s.looked_at = false;
        let cause = loop {
            match self.run_once(regs, options, true) {
                Some(Cause::Unsafe) if !self.state().looked_at => {
                    if self.crashes_at(regs) {
                        break Some(Cause::Invalid);
                    }
                    self.state_mut().looked_at = true;
                    // It may have been about to come from a copy.
                    self.ask_again();
                }
                Some(Cause::CodeWrite) if !self.state().code_writes => {
                    self.state_mut().code_writes = true;
                }
                cause => break cause,
            }
        };
        if std::mem::take(&mut self.state_mut().looked_at) {
            // Nothing else shall be fetched from there.
            self.ask_again();
        }
        self.state_mut().code_writes = false;
        self.settle_code_writes();
        cause
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
        s.code_writes = false;
        s.looked_at = false;
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

    /// After an exception that Unicorn raised: its error code, and no double fault by the next one (a
    /// contributory exception stays in its mind until somebody delivers it).
    fn note_exception(&mut self) {
        self.blob.save(self.uc);
        self.error_code = self.blob.u32(layout::ERROR_CODE);
        self.blob.set_u32(layout::OLD_EXCEPTION, u32::MAX);
        self.blob.restore(self.uc);
    }

    /// One `emu_start`, and what it takes to begin it again where only translation was at fault.
    /// `None`: stopped before a block that would pass the limit.
    #[expect(unsafe_code, reason = "runs Unicorn")]
    fn run_once(&mut self, regs: &mut CpuState, options: RunOptions, step: bool) -> Option<Cause> {
        self.drop_stale_code();
        cpu_image::load(&mut self.blob, regs, step);
        self.blob.restore_front(self.uc);
        let limit = if options.step {
            u64::MAX
        } else {
            options.limit
        };
        let s = self.state_mut();
        s.stepping = step;
        s.asked = false;
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
                Some(Halt::Retranslate { start, .. }) => {
                    let new_code = std::mem::take(&mut self.state_mut().new_code);
                    self.remove_translation(start);
                    if new_code {
                        self.flush_tlb_now();
                    }
                }
                Some(
                    halt @ (Halt::Disagree { start, .. }
                    | Halt::Undefined { start, .. }
                    | Halt::Altered { start }),
                ) => {
                    // Announced again, and refused again, whenever control comes here.
                    self.remove_translation(start);
                    break halt;
                }
                Some(halt) => break halt,
                // Nothing stops Unicorn but us.
                None => {
                    break Halt::Disagree { start: rip };
                }
            }
        };
        if std::mem::take(&mut self.state_mut().new_code) {
            // Translations through which that code can be written to may be in the TLB.
            self.ask_again();
        }
        if self.state().blocks.is_full() {
            self.forget_code();
        }
        let (count, flags) = (regs.gpr[gpr::RCX], regs.rflags);
        cpu_image::store(&mut self.blob, self.uc, regs);
        if matches!(halt, Halt::Exception { vector } if vector != 1) {
            self.note_exception();
        }
        let (cause, iterations) = self.finish(regs, halt, count);
        // A REP instruction is where a run begins: see `BeginRep`.
        if iterations != 0 {
            let begun = RepBegun {
                rip: regs.rip,
                icount: self.icount(),
                flags,
                iterations: 0,
            };
            let here = (begun.rip, begun.icount);
            let same = |b: &RepBegun| (b.rip, b.icount) == here;
            let mut begun = self.rep_begun.filter(same).unwrap_or(begun);
            begun.iterations += iterations;
            self.rep_begun = Some(begun);
        }
        cause
    }
}
