//! Everything outside the CPU: RAM, devices, the clock and the trace, as the microcode sees them.

use std::cell::Cell;
use std::collections::VecDeque;

use super::clock::Clock;
use super::log::Log;
use super::recorder::{Recorder, Touch};
use crate::arch::{Hex, PhysAddr};
use crate::device::{Concern, ConsoleLines, DeviceBus, DeviceContext, Signal, all_ones};
use crate::engine::Engine;
use crate::system::Bus;
use crate::trace::{Direction, EventClass, EventKind};

/// Receives the raw bytes of the guest's consoles: the device's name, and what it wrote.
pub type ConsoleListener = Box<dyn FnMut(&str, &[u8])>;

/// RAM, devices, clock, trace.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) devices: DeviceBus,
    pub(super) console: ConsoleLines,
    pub(super) listener: Option<ConsoleListener>,
    /// A hash of all that the consoles have been given: FNV-1a of 128 bits without its offset.
    pub(super) output: u128,
    pub(super) log: Log,
    /// Virtual time that has passed while the CPU was halted.
    pub(super) idle: u64,
    pub(super) random: u64,
    /// Somebody wants to know what is accessed.
    pub(super) recorder: Option<Recorder>,
    /// See [`super::clock`].
    pub(super) clock: Clock,
    /// The guest, or a device, has looked at the clock.
    pub(super) clock_used: Cell<bool>,
    /// The engine must forget its translations.
    pub(super) tlb_stale: bool,
    /// What devices have signalled and nobody has acted on yet.
    pub(super) signals: VecDeque<Signal>,
    /// What was reported once and for the end of the run.
    pub(super) notes: Vec<String>,
    /// The first thing that a device cannot do.
    pub(super) not_modelled: Option<String>,
}

/// Fowler, Noll, Vo: the prime of 128 bits.
const FNV_PRIME: u128 = (1 << 88) + 0x13b;

/// Notes kept; a hostile guest can make any number.
const MAX_NOTES: usize = 50;

impl World {
    /// Virtual time: retired instructions, and what passed in HLT.
    pub(super) fn now(&self) -> u64 {
        self.clock.now(self.engine.icount().wrapping_add(self.idle))
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Lets a device act, and takes its signals.
    pub(super) fn with_devices<R>(
        &mut self,
        f: impl FnOnce(&mut DeviceBus, &mut DeviceContext<'_>) -> R,
    ) -> R {
        let mut signals = Vec::new();
        let mut context = DeviceContext::new(self.now(), &mut signals);
        let result = f(&mut self.devices, &mut context);
        if context.was_asked() {
            self.clock_used.set(true);
        }
        for signal in signals {
            match signal {
                Signal::Console { device, bytes } => {
                    if let Some(listener) = &mut self.listener {
                        listener(device, &bytes);
                    }
                    for &byte in device.as_bytes().iter().chain(&bytes[..]) {
                        self.output = (self.output ^ u128::from(byte)).wrapping_mul(FNV_PRIME);
                    }
                    let log = &mut self.log;
                    self.console.push(device, &bytes, |e| log.emit(e));
                }
                Signal::Report {
                    device,
                    concern,
                    text,
                } => {
                    if concern == Concern::NotModelled && self.not_modelled.is_none() {
                        self.not_modelled = Some(format!("{device}: {text}"));
                    }
                    self.note(format!("{device}: {text}"));
                }
                Signal::Post(value) => self.note(format!("POST code {value:#x}")),
                other => self.signals.push_back(other),
            }
        }
        result
    }

    fn mmio(
        &mut self,
        at: PhysAddr,
        size: u8,
        direction: Direction,
        value: u64,
        device: Option<&str>,
    ) {
        if device.is_none() {
            self.note(format!(
                "physical memory at {at} is neither RAM nor a device"
            ));
        }
        if self.log.wants(EventClass::IO) {
            let device = device.map(str::to_owned);
            self.log.emit(EventKind::Mmio {
                address: at,
                size,
                direction,
                value: Hex(value),
                device,
            });
        }
    }

    /// Pieces of an access of any length as devices take them: 8, 4, 2 or 1 bytes, aligned.
    fn pieces(at: u64, len: usize) -> impl Iterator<Item = (u64, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let left = len - done;
            if left == 0 {
                return None;
            }
            let here = at + done as u64;
            let size = [8usize, 4, 2, 1]
                .into_iter()
                .find(|&s| s <= left && here.is_multiple_of(s as u64))
                .unwrap_or(1);
            done += size;
            Some((here, size))
        })
    }
}

impl Bus for World {
    fn entry_read(&mut self, at: PhysAddr, entry: &mut [u8; 8]) {
        let recorder = self.recorder.take();
        self.phys_read(at, entry);
        self.recorder = recorder;
        if let Some(recorder) = &mut self.recorder {
            recorder.note(Touch::Walk, at, entry.len());
        }
    }

    fn phys_read(&mut self, at: PhysAddr, buf: &mut [u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(Touch::Read, at, buf.len());
        }
        if !self.devices.claims_frame(at) && self.engine.ram().read(at.0, buf) {
            return;
        }
        for (here, size) in Self::pieces(at.0, buf.len()) {
            let here = PhysAddr(here);
            let size8 = size as u8;
            let owner = self.devices.mmio_owner(here, size8);
            let from = (here.0 - at.0) as usize;
            let value = self.with_devices(|d, ctx| d.mmio_read(here, size8, ctx));
            if value.is_none() && self.engine.ram().read(here.0, &mut buf[from..from + size]) {
                continue;
            }
            let value = value.unwrap_or(all_ones(size8));
            buf[from..from + size].copy_from_slice(&value.to_le_bytes()[..size]);
            self.mmio(here, size8, Direction::Read, value, owner);
        }
    }

    fn phys_write(&mut self, at: PhysAddr, data: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(Touch::Write, at, data.len());
        }
        if !self.devices.claims_frame(at) && self.engine.write_ram(at.0, data) {
            return;
        }
        for (here, size) in Self::pieces(at.0, data.len()) {
            let here = PhysAddr(here);
            let size8 = size as u8;
            let owner = self.devices.mmio_owner(here, size8);
            let from = (here.0 - at.0) as usize;
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&data[from..from + size]);
            let value = u64::from_le_bytes(bytes);
            if owner.is_none() && self.engine.write_ram(here.0, &data[from..from + size]) {
                continue;
            }
            self.mmio(here, size8, Direction::Write, value, owner);
            self.with_devices(|d, ctx| d.mmio_write(here, size8, value, ctx));
        }
    }

    fn is_ram(&self, at: PhysAddr) -> bool {
        !self.devices.claims_frame(at)
            && self
                .engine
                .ram()
                .contains(at.page().0, crate::arch::PAGE_SIZE)
    }

    fn port_read(&mut self, port: u16, size: u8) -> u32 {
        let value = self.with_devices(|d, ctx| d.port_read(port, size, ctx));
        if value.is_none() {
            self.note(format!(
                "no device answers at port {port:#x}: reads give ones, writes are dropped"
            ));
        }
        let value = value.unwrap_or(all_ones(size) as u32);
        if self.log.wants(EventClass::IO) {
            let value = Hex(value.into());
            self.log.emit(EventKind::Io {
                port,
                size,
                direction: Direction::Read,
                value,
            });
        }
        value
    }

    fn port_write(&mut self, port: u16, size: u8, value: u32) {
        if self.log.wants(EventClass::IO) {
            let value = Hex(value.into());
            self.log.emit(EventKind::Io {
                port,
                size,
                direction: Direction::Write,
                value,
            });
        }
        if self
            .with_devices(|d, ctx| d.port_write(port, size, value, ctx))
            .is_none()
        {
            self.note(format!(
                "no device answers at port {port:#x}: reads give ones, writes are dropped"
            ));
        }
    }

    fn tsc(&self) -> u64 {
        self.clock_used.set(true);
        self.now()
    }

    /// SplitMix64 (Steele, Lea, Flood 2014) from a fixed seed.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn apic_msr_read(&mut self, number: u32) -> Option<u64> {
        self.with_devices(|d, ctx| d.lapic.msr_read(number, ctx))
    }

    fn apic_msr_write(&mut self, number: u32, value: u64) -> bool {
        let before = self.devices.lapic.window();
        let done = self.with_devices(|d, ctx| d.lapic.msr_write(number, value, ctx));
        if self.devices.lapic.window() != before {
            self.flush_engine_tlb();
        }
        done
    }

    fn tpr(&self) -> u8 {
        self.devices.lapic.tpr()
    }

    fn set_tpr(&mut self, value: u8) {
        self.devices.lapic.set_tpr(value);
    }

    fn flush_engine_tlb(&mut self) {
        // Once, before guest code runs again.
        self.tlb_stale = true;
    }

    fn wants(&self, class: EventClass) -> bool {
        self.log.wants(class)
    }

    fn emit(&mut self, kind: EventKind) {
        self.log.emit(kind);
    }
}
