//! The only user of Unicorn: runs guest code until something needs the system half.
//!
//! # How instructions are intercepted
//!
//! Some instructions must never run natively (IRET, SYSCALL, MOV to CR3, ...; see
//! [`crate::system::insn`]). Looking at every instruction costs half the speed or worse, so the
//! engine looks at *blocks*, when Unicorn has translated them and before they run:
//!
//! 1. `UC_HOOK_EDGE_GENERATED` announces each new block. It is decoded once with iced-x86.
//! 2. If it holds an instruction that matters, the one code hook's window is moved over those
//!    instructions and the block is translated again, so that a call to the hook is compiled in
//!    there, and nowhere else. With a single code hook in the engine Unicorn compiles a direct call,
//!    which does not look at the window again: the window can move on to the next block.
//! 3. `UC_HOOK_BLOCK` announces each block before it runs. That keeps `icount` (one addition, after
//!    one probe of a direct-mapped table) and stops exactly at a limit.
//!
//! The ways not taken: a code hook for each address (Unicorn searches the list of hooks at every
//! translated instruction, and at every hit), exits (each return walks them all, 18 us for 1,000),
//! a hook on every instruction (a tenth of the speed), and `count = 1` (runs cached blocks whole).
//!
//! # One instruction at a time
//!
//! `hflags.TF` is part of the key of a translated block, but not of what PUSHF shows. With it set,
//! every block is one instruction, or one iteration of a REP string instruction, and ends in
//! exception 1. Instructions are traced without that: a block's are reported when it has run.
//!
//! # Cached translations
//!
//! Unicorn's own TLB is filled from [`Source::grant`], which answers from the model of cached
//! translations and never walks; what is not there, or not allowed, stops the engine, and the rules
//! decide with the exact RIP and operands. So when and how often Unicorn asks changes nothing.

mod blocks;
mod classify;
mod code_frames;
mod cpu_image;
mod crash;
mod debt;
mod error;
mod finish;
mod fpu;
mod harmless;
#[expect(unsafe_code, reason = "Unicorn's callbacks and its C API")]
mod hooks;
#[expect(unsafe_code, reason = "Unicorn's hidden CPU state")]
mod layout;
#[expect(unsafe_code, reason = "guest memory is shared with Unicorn")]
mod ram;
mod run;
mod source;
mod stale_code;

use std::mem::ManuallyDrop;

use unicorn_engine::Unicorn;
use unicorn_engine_sys::{
    Arch, Mode, RegisterX86, TlbType, X86CpuModel, uc_engine, uc_mem_map_ptr, uc_reg_read,
};

pub use classify::{Class, Guard, is_rep_string};
pub use error::EngineError;
pub(crate) use fpu::FpuState;
pub use ram::{Page, Ram};
pub use run::{Cause, Exit, RunOptions};
pub use source::{Grant, Source};

use crate::arch::PAGE_SIZE;
use code_frames::CodeFrames;
use error::check;
use harmless::{COPIES, Harmless};
use hooks::HookState;
use layout::Blob;

/// Physical address of the pages on which an instruction works in place of others: the first in
/// place of a device's registers, [`SLOTS`] in place of frames that hold code. They are above every RAM
/// and below 2^52, and Unicorn looks for no code there.
const SCRATCH: u64 = 0x000f_0000_0000_0000;

/// Frames that one instruction may write to (a store may lie in two).
const SLOTS: u64 = 4;

/// A snapshot of what the engine keeps: FPU and SSE registers, and the instruction count.
#[derive(Clone, Debug)]
pub struct EngineSnapshot {
    blob: Box<[u8]>,
    icount: u64,
}

impl EngineSnapshot {
    /// Retired instructions then.
    pub(crate) const fn icount(&self) -> u64 {
        self.icount
    }
}

/// Unicorn with guest RAM, without any rule of the system.
///
/// There is one CPU, whose registers are the caller's [`CpuState`](crate::arch::CpuState) between
/// runs. An engine stays on its thread and takes half a millisecond to make.
pub struct Engine {
    blob: Blob,
    unicorn: ManuallyDrop<Unicorn<'static, ()>>,
    uc: *mut uc_engine,
    state: *mut HookState,
    stale_code: Vec<u64>,
    /// The TLB is to be flushed before code runs.
    tlb_stale: bool,
    /// Linear addresses may mean other pages since it was flushed.
    mapping_stale: bool,
    debt: debt::Debt,
    rep_begun: Option<run::RepBegun>,
    /// Of the last exception that Unicorn raised.
    error_code: u32,
    foreign_hooks: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("icount", &self.icount())
            .finish_non_exhaustive()
    }
}

/// What Unicorn is asked for: 64-bit mode, a CPU that executes whatever the models may advertise.
fn open() -> Result<Unicorn<'static, ()>, EngineError> {
    let mut unicorn =
        Unicorn::new(Arch::X86, Mode::MODE_64).map_err(|error| EngineError::Unicorn {
            what: "open an engine",
            error,
        })?;
    check_result(
        unicorn.ctl_set_cpu_model(X86CpuModel::ICELAKE_SERVER as i32),
        "set the CPU model",
    )?;
    Ok(unicorn)
}

fn check_result(
    result: Result<(), unicorn_engine_sys::uc_error>,
    what: &'static str,
) -> Result<(), EngineError> {
    result.map_err(|error| EngineError::Unicorn { what, error })
}

impl Engine {
    /// An engine with `ram_size` zero bytes of RAM at physical address 0.
    ///
    /// # Errors
    /// Where Unicorn is not the version whose hidden state is known, or memory is short.
    #[expect(unsafe_code, reason = "maps host memory into Unicorn")]
    pub fn new(ram_size: u64) -> Result<Self, EngineError> {
        layout::verify(open()?.get_handle())?;
        let mut unicorn = open()?;
        let uc = unicorn.get_handle();
        check_result(
            unicorn.ctl_set_tlb_type(TlbType::VIRTUAL),
            "use the virtual TLB",
        )?;
        check_result(unicorn.ctl_exits_enable(), "run without an end address")?;
        let ram = Ram::new(ram_size)?;
        check(
            // SAFETY: the memory is page-aligned, of this size, and outlives the engine (dropped after
            // `uc_close` in `Drop`).
            unsafe { uc_mem_map_ptr(uc, 0, ram.len(), 7, ram.host_base().cast()) },
            "map the RAM",
        )?;
        let scratch = Ram::new((1 + SLOTS) * PAGE_SIZE)?;
        check(
            // SAFETY: as for the RAM.
            unsafe { uc_mem_map_ptr(uc, SCRATCH, scratch.len(), 3, scratch.host_base().cast()) },
            "map the scratch pages",
        )?;
        let copies = Harmless::new()?;
        let pages = copies.pages();
        check(
            // SAFETY: as for the RAM.
            unsafe { uc_mem_map_ptr(uc, COPIES, pages.len(), 5, pages.host_base().cast()) },
            "map the copies of code",
        )?;
        let code = CodeFrames::new(ram.len(), copies);
        let state = Box::into_raw(Box::new(HookState::new(ram, scratch, code)));
        let mut engine = Self {
            blob: Blob::new(uc)?,
            unicorn: ManuallyDrop::new(unicorn),
            uc,
            state,
            stale_code: Vec::new(),
            debt: debt::Debt::default(),
            tlb_stale: false,
            mapping_stale: false,
            rep_begun: None,
            error_code: 0,
            foreign_hooks: false,
        };
        hooks::install(uc, state)?;
        engine.warm_up()?;
        Ok(engine)
    }

    /// Unicorn does not announce blocks before one has run to its end: run one.
    fn warm_up(&mut self) -> Result<(), EngineError> {
        struct Identity;
        impl Source for Identity {
            fn grant(&self, page: crate::arch::VirtAddr, _: u8, _: bool) -> Option<Grant> {
                let phys = crate::arch::PhysAddr(page.0);
                Some(Grant {
                    phys,
                    read: true,
                    write: true,
                    exec: true,
                })
            }
        }
        self.blob.save(self.uc);
        let fresh = self.blob.to_bytes();
        // jmp +0; jmp +0; hlt
        self.write_ram(0, &[0xeb, 0, 0xeb, 0, 0xf4]);
        let mut regs = crate::arch::CpuState::long_mode();
        let exit = self.run(
            &mut regs,
            &mut Identity,
            RunOptions {
                limit: 2,
                ..RunOptions::default()
            },
        );
        if !matches!(exit.cause, Cause::Limit) || regs.rip != 4 || self.icount() != 2 {
            return Err(EngineError::Layout {
                what: format!("two jumps end with {exit:?}"),
            });
        }
        self.write_ram(0, &[0; 5]);
        self.blob.set_bytes(&fresh);
        self.blob.restore(self.uc);
        self.forget_code();
        self.flush_tlb();
        self.set_icount(0);
        Ok(())
    }

    #[expect(
        unsafe_code,
        reason = "the callbacks' state lives behind a raw pointer"
    )]
    fn state(&self) -> &HookState {
        // SAFETY: allocated in `new`, freed in `drop`; Unicorn does not run while we are here, so
        // no callback holds it.
        unsafe { &*self.state }
    }

    #[expect(
        unsafe_code,
        reason = "the callbacks' state lives behind a raw pointer"
    )]
    fn state_mut(&mut self) -> &mut HookState {
        // SAFETY: as in `state`; `&mut self` makes it exclusive.
        unsafe { &mut *self.state }
    }

    #[expect(unsafe_code, reason = "reads a register")]
    fn live_rip(&self) -> u64 {
        let mut rip = 0u64;
        // SAFETY: a 64-bit register into eight bytes.
        unsafe { uc_reg_read(self.uc, RegisterX86::RIP as i32, (&raw mut rip).cast()) };
        rip
    }

    /// Instructions retired since reset.
    #[must_use]
    pub fn icount(&self) -> u64 {
        self.state().icount
    }

    /// Sets the count: microcode that retires an instruction adds one.
    pub fn set_icount(&mut self, icount: u64) {
        self.state_mut().icount = icount;
    }

    /// Guest RAM, to read.
    #[must_use]
    pub fn ram(&self) -> &Ram {
        &self.state().ram
    }

    /// Writes guest RAM; code translated from there is translated anew. `false`, and nothing
    /// written, where it is not all RAM.
    pub fn write_ram(&mut self, at: u64, data: &[u8]) -> bool {
        if !self.state_mut().ram.write(at, data) {
            return false;
        }
        self.host_wrote(at, data.len() as u64);
        true
    }

    /// Forgets what Unicorn's TLB holds: it asks [`Source::grant`] again, which may answer
    /// otherwise in every respect.
    pub fn flush_tlb(&mut self) {
        self.ask_again();
        self.mapping_stale = true;
    }

    /// Forgets what Unicorn's TLB holds: it asks [`Source::grant`] again, where other accesses may be allowed
    /// now. Linear addresses mean the pages that they meant.
    pub fn ask_again(&mut self) {
        // Once, before anything runs.
        self.tlb_stale = true;
    }

    fn flush_tlb_now(&mut self) {
        self.tlb_stale = false;
        let _ = self.unicorn.ctl_flush_tlb();
        if std::mem::take(&mut self.mapping_stale) {
            self.state_mut().blocks.mapping_changed();
        }
    }

    /// Forgets all translated code.
    fn forget_code(&mut self) {
        let _ = self.unicorn.ctl_flush_tb();
        let s = self.state_mut();
        s.blocks.clear();
        s.code.clear();
        s.current = hooks::NONE;
        // Fetches must ask again: that is what makes a frame one that holds code.
        self.ask_again();
    }

    /// Stops before the instructions at these linear addresses.
    pub fn set_breakpoints(&mut self, mut addresses: Vec<u64>) {
        addresses.sort_unstable();
        addresses.dedup();
        if self.state().breakpoints != addresses {
            self.state_mut().breakpoints = addresses;
            self.forget_code();
        }
    }

    /// Stops ([`Cause::Watched`]) where a block is about to begin at one of these addresses: where
    /// control arrives there by a branch or a return. (With single steps, or hooks of somebody
    /// else's, however it arrives.)
    pub fn set_watch(&mut self, addresses: impl Iterator<Item = u64>) {
        self.state_mut().set_watch(addresses);
    }

    /// Data accesses to these linear pages always stop ([`Cause::Data`]).
    pub fn set_denied_pages(&mut self, pages: Vec<u64>) {
        if self.state().denied != pages {
            self.state_mut().denied = pages;
            self.ask_again();
        }
    }

    /// For the next step only: data accesses to the linear page at `page` work on a scratch page
    /// that holds `content`. The content afterwards is what [`take_overlay`](Self::take_overlay) gives.
    pub fn set_overlay(&mut self, page: u64, content: &Page) {
        let s = self.state_mut();
        let written = s.scratch.write(0, content);
        debug_assert!(written, "the first scratch page");
        s.overlay = Some((page, SCRATCH));
        self.ask_again();
    }

    /// Ends [`set_overlay`](Self::set_overlay).
    pub fn take_overlay(&mut self) -> Box<Page> {
        let mut content = Box::new([0; PAGE_SIZE as usize]);
        let s = self.state_mut();
        let read = s.scratch.read(0, &mut content[..]);
        debug_assert!(read, "the first scratch page");
        s.overlay = None;
        self.ask_again();
        content
    }

    /// What the engine keeps beside RAM.
    #[must_use]
    pub fn snapshot(&mut self) -> EngineSnapshot {
        self.blob.save(self.uc);
        EngineSnapshot {
            blob: self.blob.to_bytes(),
            icount: self.icount(),
        }
    }

    /// Puts a snapshot of this engine, or of another, back.
    pub fn restore(&mut self, snapshot: &EngineSnapshot) {
        self.blob.set_bytes(&snapshot.blob);
        self.blob.restore(self.uc);
        self.set_icount(snapshot.icount);
        self.flush_tlb();
    }

    /// Makes this a moment to go back to: keeps the old contents of pages that change. Moments nest.
    pub fn begin_undo(&mut self) {
        self.state_mut().ram.begin_undo();
        // Pages that Unicorn may write to unasked must ask again.
        self.ask_again();
    }

    /// Forgets the newest moment.
    pub fn end_undo(&mut self) {
        self.state_mut().ram.end_undo();
    }

    /// How many moments are kept.
    #[must_use]
    pub fn moments(&self) -> usize {
        self.state().ram.moments()
    }

    /// The pages that may have changed since moment number `moment`, counted from 0, with what they
    /// held then. Each once, in no particular order.
    #[must_use]
    pub fn changed_since(&self, moment: usize) -> Vec<(u64, &Page)> {
        self.state().ram.changed_since(moment)
    }

    /// Puts RAM back to what it was at the newest moment, which stays.
    pub fn rewind_ram(&mut self) {
        let pages = self.state_mut().ram.rewind();
        for (at, held) in pages {
            self.state_mut().code.changed(at);
            let mut now = [0; PAGE_SIZE as usize];
            let s = self.state_mut();
            if s.code.contains(at)
                && (!s.ram.read(at, &mut now) || s.code.is_changed(at, &held, &now))
            {
                self.drop_code(at);
            }
        }
        self.flush_tlb();
    }

    /// The Unicorn instance, for hooks of one's own.
    ///
    /// From then on every instruction is a single step and calls into the engine, whatever hooks
    /// there are: that is much slower, and always right. Registers belong to the machine: change them there.
    pub fn unicorn(&mut self) -> &mut Unicorn<'static, ()> {
        if !self.foreign_hooks {
            self.foreign_hooks = true;
            self.state_mut().window.set_everything();
            self.forget_code();
        }
        &mut self.unicorn
    }
}

impl Drop for Engine {
    #[expect(unsafe_code, reason = "frees what the callbacks used")]
    fn drop(&mut self) {
        // SAFETY: each is dropped once, here. Unicorn is closed before the memory that it maps and the
        // state of its callbacks go.
        unsafe {
            if self.foreign_hooks {
                // Somebody may have kept a clone of the handle, whose hooks are still ours: those stay.
                let _ = unicorn_engine_sys::uc_mem_unmap(self.uc, 0, (*self.state).ram.len());
                let _ =
                    unicorn_engine_sys::uc_mem_unmap(self.uc, SCRATCH, (*self.state).scratch.len());
                let copies = (*self.state).code.copies().pages().len();
                let _ = unicorn_engine_sys::uc_mem_unmap(self.uc, COPIES, copies);
                ManuallyDrop::drop(&mut self.unicorn);
            } else {
                ManuallyDrop::drop(&mut self.unicorn);
                drop(Box::from_raw(self.state));
            }
        }
    }
}
