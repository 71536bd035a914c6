//! Data accesses that the engine refused, instructions that need a look, and what cannot be run.

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic};

use super::Machine;
use super::boundary::WORK;
use super::log::Place;
use super::stop::{StopReason, Until};
use crate::arch::bits::efer;
use crate::arch::state::SegReg;
use crate::arch::{Access, AccessKind, Exception, Hex, PAGE_SIZE, PhysAddr, Segment, VirtAddr};
use crate::engine::{Cause, Guard, Page, RunOptions};
use crate::system::debug::data_breakpoints;
use crate::system::insn::{DataAccess, data_accesses, near_branch};
use crate::system::{Bus, InterruptShadow};
use crate::trace::{Direction, EventClass, EventKind};

/// The longest instruction (SDM vol. 2, 2.3.11).
const MAX_INSN: usize = 15;

impl Machine {
    /// CS.base, where it counts.
    pub(super) fn code_base(&self) -> u64 {
        if self.cpu.regs.is_64bit() {
            0
        } else {
            self.cpu.regs.cs().base
        }
    }

    fn bitness(&self) -> u32 {
        let cs = self.cpu.regs.cs();
        if self.cpu.regs.msr.efer & efer::LMA != 0 && cs.attr & Segment::L != 0 {
            64
        } else if cs.attr & Segment::DB != 0 {
            32
        } else {
            16
        }
    }

    /// Fetches and decodes the instruction at RIP, byte after byte as far as it reaches: what it
    /// touches is walked. A length above 15 gives #GP(0).
    pub(super) fn fetch_instruction(&mut self) -> Result<Instruction, Exception> {
        let at = self.code_base().wrapping_add(self.cpu.regs.rip);
        let access = Access::explicit(AccessKind::Fetch, self.cpu.regs.cpl);
        let mut bytes = [0; MAX_INSN];
        let first = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(MAX_INSN);
        self.cpu.read(
            &mut self.world,
            VirtAddr(at),
            &mut bytes[..first],
            access,
            false,
        )?;
        let mut len = first;
        loop {
            let mut decoder = Decoder::with_ip(
                self.bitness(),
                &bytes[..len],
                self.cpu.regs.rip,
                DecoderOptions::NONE,
            );
            let insn = decoder.decode();
            // The decoder gives up at 15 bytes, whatever follows.
            if insn.code() == Code::INVALID && insn.len() >= MAX_INSN {
                return Err(Exception::gp(0));
            }
            if insn.code() != Code::INVALID || decoder.last_error() != DecoderError::NoMoreBytes {
                return Ok(insn);
            }
            if len == MAX_INSN {
                return Err(Exception::gp(0));
            }
            // The rest lies on the next page.
            let next = VirtAddr(at.wrapping_add(len as u64));
            self.cpu
                .read(&mut self.world, next, &mut bytes[len..], access, false)?;
            len = MAX_INSN;
        }
    }

    /// The instruction at RIP, without side effects; `None` where it cannot be read.
    pub(super) fn peek_instruction(&self) -> Option<Instruction> {
        let bytes = self.peek_bytes();
        let insn = Decoder::with_ip(
            self.bitness(),
            &bytes,
            self.cpu.regs.rip,
            DecoderOptions::NONE,
        )
        .decode();
        (insn.code() != Code::INVALID).then_some(insn)
    }

    /// Up to 15 bytes at RIP.
    fn peek_bytes(&self) -> Vec<u8> {
        let at = self.code_base().wrapping_add(self.cpu.regs.rip);
        let mut bytes = vec![0; MAX_INSN];
        let first = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(MAX_INSN);
        if self.peek_linear(VirtAddr(at), &mut bytes) {
            return bytes;
        }
        bytes.truncate(first);
        if self.peek_linear(VirtAddr(at), &mut bytes) {
            return bytes;
        }
        Vec::new()
    }

    /// The end of a run at something that is not modelled.
    pub(super) fn not_modelled(&self, what: String) -> StopReason {
        let mut bytes = self.peek_bytes();
        if let Some(insn) = self.peek_instruction() {
            bytes.truncate(insn.len());
        }
        StopReason::NotModelled {
            what,
            rip: VirtAddr(self.cpu.regs.rip),
            bytes,
        }
    }

    /// Unicorn cannot execute the instruction at RIP: #UD, or ours to refuse.
    pub(super) fn invalid(&mut self) -> Option<StopReason> {
        self.note_place();
        let insn = match self.fetch_instruction() {
            Ok(insn) => insn,
            Err(exception) => return self.fault(exception),
        };
        if crate::system::insn::is_intercepted(&insn, self.cpu.regs.cpl) {
            // Unicorn has not read all of it.
            return self.execute(&insn);
        }
        let undefined = insn.code() == Code::INVALID
            || matches!(insn.mnemonic(), Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2)
            // 64-bit mode has no such instruction, or a prefix does not go with it.
            || self.is_disabled(&insn);
        if undefined {
            return self.fault(Exception::ud());
        }
        let text = format!("the instruction `{insn}`");
        Some(self.not_modelled(text))
    }

    /// Whether control registers make `insn` undefined: SSE without CR4.OSFXSR or with CR0.EM.
    fn is_disabled(&self, insn: &Instruction) -> bool {
        use crate::arch::bits::{cr0, cr4};
        let sse = insn
            .cpuid_features()
            .iter()
            .any(|f| format!("{f:?}").starts_with("SSE"));
        sse && (self.cpu.regs.cr4 & cr4::OSFXSR == 0 || self.cpu.regs.cr0 & cr0::EM != 0)
    }

    /// Looks at the data accesses of the instruction at RIP by the rules, in their order.
    fn look(&mut self, insn: &Instruction) -> Result<Vec<DataAccess>, Exception> {
        let mut accesses = std::mem::take(&mut self.scratch);
        data_accesses(&self.cpu.regs, insn, &mut accesses);
        let cpl = self.cpu.regs.cpl;
        for a in &accesses {
            let access = Access::explicit(a.kind, cpl);
            if let Err(e) = self
                .cpu
                .probe(&mut self.world, a.addr, a.size.into(), access, a.stack)
            {
                self.scratch = accesses;
                return Err(e);
            }
        }
        Ok(accesses)
    }

    /// The engine refused a data access of the instruction at RIP.
    pub(super) fn data_refused(&mut self, _page: VirtAddr) -> Option<StopReason> {
        self.note_place();
        let looked = match self.fetch_instruction() {
            Ok(insn) => self.look(&insn).map(|accesses| (insn, accesses)),
            Err(e) => Err(e),
        };
        let (insn, accesses) = match looked {
            Ok(looked) => looked,
            Err(exception) => return self.fault(exception),
        };
        let stop = self.access(&insn, &accesses);
        self.scratch = accesses;
        stop
    }

    /// All accesses are allowed: lets the instruction run, by itself if a device or a breakpoint is
    /// among them.
    fn access(&mut self, insn: &Instruction, accesses: &[DataAccess]) -> Option<StopReason> {
        let mut device: Option<(DataAccess, PhysAddr)> = None;
        let mut hits = 0;
        let mut armed = false;
        for a in accesses {
            hits |= data_breakpoints(&self.cpu.regs, a.addr, a.size.into(), a.kind);
            let end = VirtAddr(a.addr.0.wrapping_add(u64::from(a.size.max(1)) - 1));
            for at in [a.addr, end] {
                armed |= crate::system::debug::armed_pages(&self.cpu.regs).any(|p| p == at.page());
                let access = Access::explicit(a.kind, self.cpu.regs.cpl);
                let phys = match self.cpu.translate(&mut self.world, at, access) {
                    Ok(phys) => phys,
                    Err(exception) => return self.fault(exception),
                };
                if !self.world.is_ram(phys) {
                    let first = PhysAddr(phys.page().0 | (a.addr.0 % PAGE_SIZE));
                    if a.addr.page() != end.page() || device.is_some_and(|(d, _)| d.addr != a.addr)
                    {
                        return Some(self.not_modelled(format!(
                            "`{insn}`: an access that is partly to {phys}, which is no RAM, and partly elsewhere"
                        )));
                    }
                    device = Some((*a, first));
                }
            }
        }
        // Also for a single step, which is refused in its turn if the engine sees another address than
        // the rules do.
        let stop = self.refused_again();
        if stop.is_some() {
            return stop;
        }
        match device {
            Some((a, phys)) => self.device_access(insn, a, phys, accesses, hits),
            None if armed => self.watched_access(hits),
            None => None,
        }
    }

    /// One instruction (or REP iteration) with data breakpoints in reach.
    fn watched_access(&mut self, hits: u64) -> Option<StopReason> {
        self.world.engine.set_denied_pages(Vec::new());
        self.state.armed = None;
        let stop = self.step_forced();
        if stop.is_none() {
            self.cpu.pending_db |= hits;
        }
        stop
    }

    /// Runs the instruction at RIP, or one iteration, without guards. Everything it touches has
    /// been looked at.
    fn step_forced(&mut self) -> Option<StopReason> {
        self.state.work += WORK;
        let options = RunOptions {
            step: true,
            force: true,
            over_breakpoint: true,
            code_writes: true,
            limit: u64::MAX,
            trace: self.world.log.wants(EventClass::INSN),
        };
        let exit = self.enter(options);
        match exit.cause {
            Cause::Stepped => None,
            _ => self.after(exit),
        }
    }

    /// An instruction that reads or writes a device's registers: it works on a page that holds
    /// what the device answers, and what it stores there goes to the device.
    fn device_access(
        &mut self,
        insn: &Instruction,
        a: DataAccess,
        phys: PhysAddr,
        all: &[DataAccess],
        hits: u64,
    ) -> Option<StopReason> {
        let size = a.size as usize;
        let offset = (a.addr.0 % PAGE_SIZE) as usize;
        let same_page = all
            .iter()
            .filter(|o| o.addr.page() == a.addr.page())
            .count();
        if size > 64
            || (same_page > 1
                && all
                    .iter()
                    .any(|o| o.addr != a.addr && o.addr.page() == a.addr.page()))
        {
            return Some(self.not_modelled(format!("`{insn}` on device memory")));
        }
        let mut page: Box<Page> = Box::new([0; PAGE_SIZE as usize]);
        let reads = a.kind == AccessKind::Read || reads_destination(insn);
        if reads {
            self.world.phys_read(phys, &mut page[offset..offset + size]);
        }
        self.world.engine.set_overlay(a.addr.page().0, &page);
        self.world.engine.set_denied_pages(Vec::new());
        self.state.armed = None;
        let before = (self.world.engine.icount(), self.state.sub);
        let stop = self.step_forced();
        let after = self.world.engine.take_overlay();
        let done = (self.world.engine.icount(), self.state.sub) != before;
        if done {
            self.cpu.pending_db |= hits;
            if all
                .iter()
                .any(|o| o.addr == a.addr && o.kind == AccessKind::Write)
            {
                self.world.phys_write(phys, &after[offset..offset + size]);
            }
            self.take_signals();
        }
        stop
    }

    /// An instruction at which a guard stopped.
    pub(super) fn guarded(&mut self, insn: &Instruction, guard: Guard) -> Option<StopReason> {
        self.note_place();
        if guard == Guard::CallTarget {
            let bytes = self.instruction_bytes_if_traced(insn);
            return match near_branch(&mut self.cpu, &mut self.world, insn) {
                Ok(_) => {
                    let place = self.world.log.place;
                    self.tell_instruction(place, bytes);
                    self.cpu.shadow = InterruptShadow::None;
                    self.state.over_breakpoint = false;
                    let trap = self.cpu.regs.rflags & crate::arch::bits::rflags::TF != 0;
                    if trap {
                        self.cpu.pending_db |= crate::arch::bits::dr6::BS;
                    }
                    self.retire();
                    None
                }
                Err(crate::arch::Trap::Exception(e)) => self.fault(e),
                Err(crate::arch::Trap::NotModelled(what)) => Some(self.not_modelled(what)),
            };
        }
        if guard == Guard::Alignment {
            let mut accesses = std::mem::take(&mut self.scratch);
            data_accesses(&self.cpu.regs, insn, &mut accesses);
            let misaligned = accesses.iter().any(|a| a.size >= 16 && a.addr.0 % 16 != 0);
            self.scratch = accesses;
            if misaligned {
                return self.fault(Exception::gp(0));
            }
        }
        let accesses = match self.look(insn) {
            Ok(accesses) => accesses,
            Err(exception) => return self.fault(exception),
        };
        if guard == Guard::Mxcsr
            && let Some(what) = self.unmasks_sse(insn, &accesses)
        {
            return Some(what);
        }
        let special = self.touches_more_than_ram(&accesses);
        let stop = if special {
            self.access(insn, &accesses)
        } else {
            self.step_forced()
        };
        self.scratch = accesses;
        stop
    }

    fn touches_more_than_ram(&mut self, accesses: &[DataAccess]) -> bool {
        accesses.iter().any(|a| {
            let armed =
                crate::system::debug::armed_pages(&self.cpu.regs).any(|p| p == a.addr.page());
            let access = Access::explicit(a.kind, self.cpu.regs.cpl);
            let ram = self
                .cpu
                .translate(&mut self.world, a.addr, access)
                .is_ok_and(|p| self.world.is_ram(p));
            armed || !ram
        })
    }

    /// LDMXCSR and FXRSTOR that unmask an exception: Unicorn would never raise it.
    fn unmasks_sse(&mut self, insn: &Instruction, accesses: &[DataAccess]) -> Option<StopReason> {
        let at = accesses.first()?.addr.0;
        let at = if insn.mnemonic() == Mnemonic::Ldmxcsr {
            at
        } else {
            at.wrapping_add(24)
        };
        let access = Access::explicit(AccessKind::Read, self.cpu.regs.cpl);
        let mxcsr = self
            .cpu
            .read_u32(&mut self.world, VirtAddr(at), access, false)
            .ok()?;
        const MASKS: u32 = 0x1f80;
        (mxcsr & MASKS != MASKS)
            .then(|| self.not_modelled(format!("unmasked SSE exceptions (MXCSR = {mxcsr:#x})")))
    }

    /// One instruction with its data accesses told: reads with the value before, writes with the
    /// value after.
    pub(super) fn step_with_accesses(&mut self, options: RunOptions) -> Option<StopReason> {
        let Some(insn) = self.peek_instruction() else {
            let exit = self.enter(options);
            return self.after(exit);
        };
        let mut accesses = Vec::new();
        data_accesses(&self.cpu.regs, &insn, &mut accesses);
        let mut events: Vec<EventKind> = accesses
            .iter()
            .map(|a| EventKind::Mem {
                address: a.addr,
                size: u8::try_from(a.size).unwrap_or(u8::MAX),
                direction: if a.kind == AccessKind::Write {
                    Direction::Write
                } else {
                    Direction::Read
                },
                value: self.value_at(a),
            })
            .collect();
        self.note_place();
        let place = self.world.log.place;
        let before = (self.world.engine.icount(), self.state.sub);
        let exit = self.enter(options);
        if (self.world.engine.icount(), self.state.sub) != before {
            for (event, a) in events.iter_mut().zip(&accesses) {
                if let (EventKind::Mem { value, .. }, AccessKind::Write) = (event, a.kind) {
                    *value = self.value_at(a);
                }
            }
            for event in events {
                self.world.log.instruction(place, event);
            }
        }
        self.after(exit)
    }

    fn value_at(&self, a: &DataAccess) -> Option<Hex> {
        let mut bytes = [0; 8];
        let size = a.size as usize;
        (size <= 8 && self.peek_linear(a.addr, &mut bytes[..size]))
            .then(|| Hex(u64::from_le_bytes(bytes)))
    }

    /// The bytes of an instruction about to be executed by microcode, where that is traced.
    pub(super) fn instruction_bytes_if_traced(&self, insn: &Instruction) -> Option<Vec<u8>> {
        if !self.world.log.wants(EventClass::INSN) {
            return None;
        }
        let mut bytes = self.peek_bytes();
        bytes.truncate(insn.len());
        Some(bytes)
    }

    /// Tells of an instruction that microcode has executed at `place`, and that has retired.
    pub(super) fn tell_instruction(&mut self, place: Place, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes {
            let event = self.formatter.event(VirtAddr(place.rip), &bytes);
            self.world.log.instruction(place, event);
        }
    }

    /// The value of a segment's base, for display.
    #[must_use]
    pub fn segment_base(&self, segment: SegReg) -> u64 {
        self.cpu.regs.segment(segment).base
    }

    /// Runs until the instruction count is `icount`: for looking at a moment.
    pub fn run_to(&mut self, icount: u64) -> StopReason {
        self.run(Until::Icount(icount))
    }
}

/// Whether a write access of `insn` is a read-modify-write.
fn reads_destination(insn: &Instruction) -> bool {
    use iced_x86::{InstructionInfoFactory, OpAccess};
    let mut factory = InstructionInfoFactory::new();
    factory.info(insn).used_memory().iter().any(|m| {
        matches!(
            m.access(),
            OpAccess::ReadWrite | OpAccess::ReadCondWrite | OpAccess::Read | OpAccess::CondRead
        )
    })
}
