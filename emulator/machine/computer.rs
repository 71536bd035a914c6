//! One computer: CPU, RAM, devices, schedule.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use iced_x86::Instruction;

use super::config::{MachineConfig, MachineError};
use super::log::Log;
use super::plugin::Plugin;
use super::stop::StopReason;
use super::view::InsnText;
use super::world::{ConsoleListener, World};
use crate::arch::bits::cr4;
use crate::arch::paging::{PhysMemory, walk};
use crate::arch::{Access, CpuState, Exception, Hex, PAGE_SIZE, PhysAddr, Vector, VirtAddr};
use crate::check::Checks;
use crate::device::{Device, DeviceBus, LapicConfig};
use crate::engine::{Engine, Ram};
use crate::load::{Image, LoadError};
use crate::schedule::{ResolvedInjection, ScheduleState};
use crate::system::Cpu;
use crate::trace::{Boundary, EventSink, Walk, WalkOutcome, WalkStep};

/// A machine: one CPU, RAM from physical address 0 on, and the devices of a small PC.
///
/// A run is a function of the image, the configuration and the schedule: no host time and no host
/// randomness gets in. A machine stays on the thread that made it.
pub struct Machine {
    pub(super) config: MachineConfig,
    pub(super) cpu: Cpu,
    pub(super) world: World,
    pub(super) schedule: ScheduleState,
    pub(super) state: RunState,
    pub(super) plugins: Vec<Box<dyn Plugin>>,
    pub(super) checks: Option<Box<Checks>>,
    pub(super) interrupt: Arc<AtomicBool>,
    pub(super) scratch: Vec<crate::system::insn::DataAccess>,
    pub(super) formatter: InsnText,
}

/// What the engine's breakpoints and denied pages are made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Armed {
    /// The schedule's generation.
    pub(super) schedule: u64,
    /// The address of [`Until`](super::Until).
    pub(super) until: Option<u64>,
    pub(super) dr7: u64,
    pub(super) dr: [u64; 4],
    /// The checks' generation.
    pub(super) checks: u64,
}

/// Where a run is, beside the registers.
#[derive(Clone, Debug, Default)]
pub(super) struct RunState {
    /// REP iterations and deliveries since `base`.
    pub(super) sub: u32,
    /// The icount that `sub` belongs to.
    pub(super) base: u64,
    /// The boundary lies between two iterations of the REP instruction at RIP.
    pub(super) in_rep: bool,
    /// `sub` where that instruction began, or went on after an event.
    pub(super) rep_sub: u32,
    /// RFLAGS before that instruction began, or went on after an event.
    pub(super) flags_before_rep: Option<u64>,
    /// The pending NMI's being held has been told.
    pub(super) latch_told: bool,
    /// A machine check is raised.
    pub(super) machine_check: bool,
    /// An exception to deliver in place of the next instruction.
    pub(super) injected: Option<Exception>,
    /// Interrupts that reached the CPU without the APIC.
    pub(super) direct: VecDeque<Vector>,
    /// The last delivery led to this boundary.
    pub(super) just_delivered: Option<Vector>,
    /// The boundary to which the last delivery led, however often it is looked at.
    pub(super) entered: Option<Boundary>,
    /// The instruction at RIP, which is not run natively, if the engine has come to it.
    pub(super) next: Option<Instruction>,
    /// The breakpoint at RIP has been looked at, at this boundary.
    pub(super) over_breakpoint: bool,
    /// Deliveries and REP iterations, weighted by their cost: work that retires nothing.
    pub(super) work: u64,
    /// What the engine's breakpoints were made from.
    pub(super) armed: Option<Armed>,
    /// Data accesses refused in a row with nothing retired between.
    pub(super) refusals: u32,
    pub(super) ended: Option<StopReason>,
    /// With [`TlbMode::None`](super::TlbMode): the boundary at which all translations were forgotten.
    pub(super) forgotten: Option<Boundary>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("at", &self.boundary())
            .field("rip", &VirtAddr(self.cpu.regs.rip))
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine with empty RAM, and a CPU in 64-bit mode without page tables: load something.
    ///
    /// # Errors
    /// When the engine cannot be made.
    pub fn new(config: MachineConfig) -> Result<Self, MachineError> {
        let engine = Engine::new(config.ram_size)?;
        let world = World {
            engine,
            devices: DeviceBus::pc(LapicConfig::of(&config.cpu)),
            console: Default::default(),
            listener: None,
            output: 0,
            log: Log::default(),
            idle: 0,
            recorder: None,
            clock: super::clock::Clock::default(),
            clock_used: Default::default(),
            random: 0,
            tlb_stale: true,
            signals: VecDeque::new(),
            notes: Vec::new(),
            not_modelled: None,
        };
        let cpu = Cpu::new(CpuState::long_mode(), config.cpu);
        Ok(Self {
            config,
            cpu,
            world,
            schedule: ScheduleState::default(),
            state: RunState::default(),
            plugins: Vec::new(),
            checks: None,
            interrupt: Arc::new(AtomicBool::new(false)),
            scratch: Vec::new(),
            formatter: InsnText::default(),
        })
    }

    /// Puts `image` into RAM and the CPU into the state in which images start (see
    /// [`mod@crate::load::boot`]).
    ///
    /// # Errors
    /// When it does not fit.
    pub fn load(&mut self, image: &Image) -> Result<(), LoadError> {
        let boot = crate::load::boot(image, self.config.ram_size, &self.config.cpu)?;
        for (at, bytes) in &boot.writes {
            self.world.engine.write_ram(at.0, bytes);
        }
        self.cpu.regs = boot.regs;
        self.cpu.tlb.forget();
        self.world.tlb_stale = true;
        Ok(())
    }

    /// Replaces the schedule.
    pub fn set_schedule(&mut self, injections: Vec<ResolvedInjection>) {
        self.schedule = ScheduleState::new(injections);
    }

    /// Adds one injection to the schedule; its arrivals are counted from now on.
    pub fn inject(&mut self, injection: ResolvedInjection) {
        self.schedule.push(injection);
    }

    /// Sends the events of all runs from now on to `sink` too.
    pub fn add_sink(&mut self, sink: Box<dyn EventSink>) {
        self.world.log.add(sink);
    }

    /// Shows every event to `plugin`, at the boundary after it.
    pub fn add_plugin(&mut self, plugin: Box<dyn Plugin>) {
        self.world.log.keep = true;
        self.plugins.push(plugin);
    }

    /// Puts a device on the bus.
    ///
    /// # Errors
    /// When its ports or memory are another device's.
    pub fn add_device(
        &mut self,
        device: Box<dyn Device>,
    ) -> Result<(), crate::device::ClaimConflict> {
        self.world.tlb_stale = true;
        self.world.devices.add(device)
    }

    /// Hands the raw bytes of the guest's consoles to `listener`.
    pub fn on_console(&mut self, listener: ConsoleListener) {
        self.world.listener = Some(listener);
    }

    /// Ends the run soon when it is set, with [`StopReason::Interrupted`].
    #[must_use]
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }

    /// Flushes unfinished console lines and all sinks.
    ///
    /// # Errors
    /// What a sink could not write.
    pub fn finish(&mut self) -> io::Result<()> {
        let log = &mut self.world.log;
        self.world.console.flush(|e| log.emit(e));
        log.finish()
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// The CPU.
    #[must_use]
    pub const fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The CPU, to change between runs. Cached translations and rights are looked up again.
    pub const fn cpu_mut(&mut self) -> &mut Cpu {
        self.world.tlb_stale = true;
        self.state.next = None;
        self.state.armed = None;
        &mut self.cpu
    }

    /// The name of the present boundary.
    #[must_use]
    pub fn boundary(&self) -> Boundary {
        let icount = self.world.engine.icount();
        let sub = if icount == self.state.base {
            self.state.sub
        } else {
            0
        };
        Boundary { icount, sub }
    }

    /// Guest RAM, to read.
    #[must_use]
    pub fn ram(&self) -> &Ram {
        self.world.engine.ram()
    }

    /// The devices.
    #[must_use]
    pub const fn devices(&self) -> &DeviceBus {
        &self.world.devices
    }

    /// The devices, to change.
    pub const fn devices_mut(&mut self) -> &mut DeviceBus {
        &mut self.world.devices
    }

    /// Reads RAM. `false`: not all of it is RAM.
    pub fn read_physical(&self, at: PhysAddr, buf: &mut [u8]) -> bool {
        self.ram().read(at.0, buf)
    }

    /// Writes RAM. `false`: not all of it is RAM, and nothing is written.
    pub fn write_physical(&mut self, at: PhysAddr, data: &[u8]) -> bool {
        self.state.next = None;
        self.world.engine.write_ram(at.0, data)
    }

    /// Reads through the page tables as they are in memory, without side effects and without
    /// regard to rights. `false`: not all of it is mapped RAM.
    pub fn peek_linear(&self, at: VirtAddr, buf: &mut [u8]) -> bool {
        let mut done = 0;
        while done < buf.len() {
            let here = at.0.wrapping_add(done as u64);
            let len = (buf.len() - done).min((PAGE_SIZE - here % PAGE_SIZE) as usize);
            let Some(phys) = self.translate_plain(VirtAddr(here)) else {
                return false;
            };
            if !self.read_physical(phys, &mut buf[done..done + len]) {
                return false;
            }
            done += len;
        }
        true
    }

    /// The physical address behind `at` by the page tables in memory, without regard to rights.
    #[must_use]
    pub fn translate_plain(&self, at: VirtAddr) -> Option<PhysAddr> {
        let mut context = self.cpu.paging_context();
        // What may keep a supervisor from reading a page of the user's.
        context.cr4 &= !(cr4::SMAP | cr4::PKE);
        let access = Access::implicit(crate::arch::AccessKind::Read);
        let found = walk(&context, &mut ReadOnly(self.ram()), at, access);
        found.outcome.ok().map(|t| t.phys)
    }

    /// What a walk for `access` would do now. Nothing changes: the updates of A and D bits that it
    /// shows are not made.
    #[must_use]
    pub fn walk(&self, at: VirtAddr, access: Access) -> Walk {
        let mut memory = ReadOnly(self.ram());
        let result = walk(&self.cpu.paging_context(), &mut memory, at, access);
        let steps = result
            .steps()
            .iter()
            .map(|s| WalkStep {
                level: s.level,
                entry_at: s.entry_at,
                entry: Hex(s.entry),
                updated: s.updated.map(Hex),
            })
            .collect();
        let outcome = match result.outcome {
            Ok(t) => WalkOutcome::Mapped {
                phys: t.phys,
                page_size: t.page_size,
            },
            Err(error_code) => WalkOutcome::PageFault { error_code },
        };
        Walk {
            address: at,
            access: access.kind,
            user: access.user,
            implicit: access.implicit,
            steps,
            outcome,
        }
    }

    /// What happened beside the events: reports of devices, injections that never came about.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.world.notes.clone();
        for injection in self.schedule.unfired() {
            notes.push(format!("the injection {injection} was never due"));
        }
        notes
    }

    /// The Unicorn instance, for hooks of one's own; see [`Engine::unicorn`].
    pub fn unicorn(&mut self) -> &mut unicorn_engine::Unicorn<'static, ()> {
        self.world.engine.unicorn()
    }

    /// Puts the present place into what events say.
    pub(super) fn note_place(&mut self) {
        let at = self.boundary();
        let place = &mut self.world.log.place;
        place.at = at;
        place.rip = self.cpu.regs.rip;
        place.cpl = self.cpu.regs.cpl;
        place.depth = self.cpu.activations.depth();
    }
}

/// Physical memory whose writes go nowhere.
struct ReadOnly<'a>(&'a Ram);

impl PhysMemory for ReadOnly<'_> {
    fn read_u64(&mut self, at: PhysAddr) -> u64 {
        let mut bytes = [0xff; 8];
        if self.0.read(at.0, &mut bytes) {
            u64::from_le_bytes(bytes)
        } else {
            u64::MAX
        }
    }

    fn write_u64(&mut self, _: PhysAddr, _: u64) {}
}
