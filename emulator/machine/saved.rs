//! A machine's state in a file, for other machines to begin from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::clock::Clock;
use super::computer::RunState;
use super::saved_file::{Writer, pages, split};
use super::{Machine, MachineConfig, MachineError};
use crate::arch::bits::{cr0, efer};
use crate::arch::{CpuState, PAGE_SIZE, VirtAddr};
use crate::device::ConsoleLines;
use crate::engine::FpuState;
use crate::system::{
    Activations, CachedTranslation, InterruptShadow, NmiState, SavedActivations, TranslationCache,
};
use crate::trace::{ImageInfo, image_hash};

/// Numbers that count up never come near to wrapping round.
const MAX_COUNT: u64 = 1 << 62;

/// Why a state is not saved, or not loaded. Every message is one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SavedError {
    /// Something is under way that the form has no place for.
    #[error("the state cannot be saved here: {why}; choose another place")]
    Open {
        /// What.
        why: String,
    },
    /// It is a file of another kind.
    #[error("not a saved state; make one with 'iretrace run IMAGE --until PLACE --save FILE'")]
    NotSaved,
    /// It is of another version of the form.
    #[error("a saved state of another version of iretrace; save it again")]
    Version,
    /// It is damaged.
    #[error("a damaged saved state: {what} is wrong; save it again")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// It is a state of something else.
    #[error("a saved state of another {what}; give what it was saved with, or save it again")]
    Other {
        /// What differs: the image or its options, or an option of the machine.
        what: &'static str,
    },
    /// The machine cannot be made.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

/// What the state belongs to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Origin {
    program: String,
    image: Option<String>,
    image_size: u64,
    cpu: Value,
    ram: u64,
    tlb: String,
}

impl Origin {
    fn of(image: &ImageInfo, config: &MachineConfig) -> Self {
        Self {
            program: concat!("iretrace ", env!("CARGO_PKG_VERSION")).to_owned(),
            image: image.hash.clone(),
            image_size: image.size,
            cpu: json!(config.cpu),
            ram: config.ram_size,
            tlb: config.tlb.name().to_owned(),
        }
    }

    /// The first thing that differs.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let differences = [
            (self.program != other.program, "version of iretrace"),
            (
                self.image != other.image || self.image_size != other.image_size,
                "image, command line (--append) or initrd",
            ),
            (self.ram != other.ram, "machine: --ram"),
            (
                self.cpu != other.cpu,
                "machine: --cpu, its features or knobs",
            ),
            (self.tlb != other.tlb, "machine: --tlb"),
        ];
        let found = differences.into_iter().find(|(differs, _)| *differs);
        found.map(|(_, what)| what)
    }
}

/// Everything but RAM.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    origin: Origin,
    icount: u64,
    sub: u32,
    base: u64,
    work: u64,
    idle: u64,
    /// Time that did not count.
    skipped: u64,
    random: u64,
    /// The hash of what the consoles printed, its low half first.
    output: [u64; 2],
    regs: CpuState,
    fpu: FpuState,
    translations: Vec<(u16, VirtAddr, CachedTranslation)>,
    activations: SavedActivations,
    lapic: Value,
    devices: Vec<(String, Value)>,
    /// What consoles have printed of a line.
    lines: Vec<(String, Vec<u8>)>,
}

/// A saved state, read and found whole. Clones share it.
#[derive(Clone)]
pub struct SavedState {
    head: Arc<Head>,
    file: Arc<[u8]>,
    hash: String,
}

impl std::fmt::Debug for SavedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedState")
            .field("icount", &self.head.icount)
            .finish_non_exhaustive()
    }
}

impl SavedState {
    /// Reads the bytes that [`Machine::save_state`] made.
    ///
    /// # Errors
    /// [`SavedError::NotSaved`], [`SavedError::Version`], [`SavedError::Damaged`].
    pub fn from_bytes(file: Vec<u8>) -> Result<Self, SavedError> {
        let (head, _) = split(&file)?;
        let damaged = |_| SavedError::Damaged { what: "its head" };
        let head: Head = serde_json::from_slice(head).map_err(damaged)?;
        let hash = image_hash(&file);
        Ok(Self {
            head: Arc::new(head),
            file: file.into(),
            hash,
        })
    }

    /// Names it: two states with the same hash are the same.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Retired instructions then.
    #[must_use]
    pub fn icount(&self) -> u64 {
        self.head.icount
    }
}

/// Whether the rules can begin with such registers: 64-bit mode or compatibility mode, with paging.
fn is_sound(regs: &CpuState) -> bool {
    let on = cr0::PG | cr0::PE;
    regs.cpl <= 3
        && regs.cr0 & on == on
        && regs.msr.efer & efer::LMA != 0
        && regs.cs().selector & 3 == u16::from(regs.cpl)
        && VirtAddr(regs.rip).is_canonical(regs.cr4 & crate::arch::bits::cr4::LA57 != 0)
}

impl Machine {
    /// What is under way, if the form has no place for it.
    fn open(&self) -> Option<String> {
        let cpu = &self.cpu;
        let state = &self.state;
        let unfired = self.schedule.unfired().count();
        let refusals = [
            (
                cpu.nmi != NmiState::default() || cpu.activations.blocker().is_some(),
                "an NMI is pending, or NMIs are blocked".to_owned(),
            ),
            (
                cpu.shadow != InterruptShadow::None || cpu.pending_db != 0,
                "after STI, MOV SS or POP SS".to_owned(),
            ),
            (cpu.halted, "the CPU is halted".to_owned()),
            (
                self.boundary().sub != 0 || state.in_rep,
                "in an instruction that repeats, or after a delivery".to_owned(),
            ),
            (
                state.injected.is_some()
                    || state.machine_check
                    || !state.direct.is_empty()
                    || !self.world.signals.is_empty(),
                "an event waits to be delivered".to_owned(),
            ),
            (state.ended.is_some(), "the run has ended".to_owned()),
            (
                self.world.not_modelled.is_some(),
                "something was done that is not modelled".to_owned(),
            ),
            (
                unfired != 0,
                format!("{unfired} injections are not yet made"),
            ),
        ];
        let first = refusals.into_iter().find(|(open, _)| *open);
        first.map(|(_, why)| why)
    }

    /// The present state as bytes from which [`from_saved`](Self::from_saved) makes a machine that goes
    /// on alike: registers, FPU (but for the addresses of the last x87 instruction and its operand),
    /// cached translations, devices, RAM. What the checks have seen and what is scheduled is not in it.
    /// `image` is what was loaded.
    ///
    /// # Errors
    /// [`SavedError::Open`] where NMIs are blocked, or an event waits: the form has no place for that.
    pub fn save_state(&mut self, image: &ImageInfo) -> Result<Vec<u8>, SavedError> {
        if let Some(why) = self.open() {
            return Err(SavedError::Open { why });
        }
        let devices = self.world.devices.save().to_json();
        let mut states = match devices {
            Value::Array(states) => states.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let lapic = states.next().unwrap_or_default();
        let names = self.world.devices.names().map(str::to_owned);
        let head = Head {
            origin: Origin::of(image, &self.config),
            icount: self.world.engine.icount(),
            sub: self.state.sub,
            base: self.state.base,
            work: self.state.work,
            idle: self.world.idle,
            skipped: self.world.clock.skipped().ok_or_else(|| SavedError::Open {
                why: "time stands still for an injected event".to_owned(),
            })?,
            random: self.world.random,
            output: [self.world.output as u64, (self.world.output >> 64) as u64],
            regs: self.cpu.regs.clone(),
            fpu: self.world.engine.fpu(),
            translations: self.cpu.tlb.entries(),
            activations: self.cpu.activations.saved(),
            lapic,
            devices: names.zip(states).collect(),
            lines: self.world.console.open_lines(),
        };
        let head =
            serde_json::to_vec(&head).map_err(|e| SavedError::Open { why: e.to_string() })?;
        let mut writer = Writer::new(&head);
        let mut page = [0; PAGE_SIZE as usize];
        for at in (0..self.ram().len()).step_by(PAGE_SIZE as usize) {
            if self.ram().read(at, &mut page) && page.iter().any(|&b| b != 0) {
                // RAM has at most 2^24 pages.
                writer.page((at / PAGE_SIZE) as u32, &page);
            }
        }
        Ok(writer.finish())
    }

    /// A machine in a saved state, which must be one of `image` and of a machine of this configuration.
    /// Injections, sinks and checks begin here: an `nth` arrival counts from now on.
    ///
    /// # Errors
    /// [`SavedError::Other`], or [`SavedError::Damaged`].
    pub fn from_saved(
        config: MachineConfig,
        image: &ImageInfo,
        saved: &SavedState,
    ) -> Result<Self, SavedError> {
        let head = &*saved.head;
        if let Some(what) = head.origin.difference(&Origin::of(image, &config)) {
            return Err(SavedError::Other { what });
        }
        let damaged = |what| SavedError::Damaged { what };
        let counts = [head.icount, head.base, head.work, head.idle, head.skipped];
        if counts.iter().any(|&n| n > MAX_COUNT) || head.base > head.icount {
            return Err(damaged("a counter"));
        }
        if !is_sound(&head.regs) {
            return Err(damaged("a register"));
        }
        let tlb = TranslationCache::of_entries(&head.translations);
        let tlb = tlb.ok_or_else(|| damaged("a cached translation"))?;
        let activations = Activations::of_saved(&head.activations, MAX_COUNT);
        let activations = activations.ok_or_else(|| damaged("a delivery"))?;

        let mut machine = Self::new(config)?;
        let limit = machine.ram().len() / PAGE_SIZE;
        let (_, blocks) = split(&saved.file)?;
        pages(blocks, limit, |number, bytes| {
            machine.world.engine.write_ram(number * PAGE_SIZE, bytes);
        })?;
        if !machine.world.engine.set_fpu(&head.fpu) {
            return Err(damaged("a register of the FPU"));
        }
        let devices = &mut machine.world.devices;
        devices
            .restore_json(&head.lapic, &head.devices)
            .map_err(|_| damaged("a device"))?;
        let lines = ConsoleLines::of_lines(&head.lines, |name| {
            devices.names().find(|known| *known == name)
        });
        machine.world.console = lines.ok_or_else(|| damaged("a console"))?;
        machine.world.engine.set_icount(head.icount);
        machine.world.output = u128::from(head.output[0]) | u128::from(head.output[1]) << 64;
        machine.world.idle = head.idle;
        machine.world.random = head.random;
        machine.world.clock = Clock::with_skipped(head.skipped);
        machine.cpu.regs = head.regs.clone();
        machine.cpu.tlb = tlb;
        machine.cpu.activations = activations;
        machine.state = RunState {
            sub: head.sub,
            base: head.base,
            work: head.work,
            ..RunState::default()
        };
        machine.world.tlb_stale = true;
        Ok(machine)
    }
}
