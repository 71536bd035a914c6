//! The device bus: which device answers a port or a physical address.

use std::any::Any;
use std::ops::Range;

use super::cmos::Cmos;
use super::debug_exit::DebugExit;
use super::debugcon::DebugConsole;
use super::lapic::{Lapic, LapicConfig};
use super::post::PostPort;
use super::snapshot::{DeviceState, ForeignState};
use super::system_control::SystemControl;
use super::traits::{Device, DeviceContext};
use super::uart16550::Uart16550;
use super::watchdog::Watchdog;
use crate::arch::PhysAddr;

/// What a read gives where nothing answers: ones in the low `size` bytes.
#[must_use]
pub const fn all_ones(size: u8) -> u64 {
    match size {
        0 => 0,
        1..=7 => (1 << (size * 8)) - 1,
        _ => u64::MAX,
    }
}

/// Every device of a machine. No two claim the same port; an access is never split: it belongs to
/// the device that claims all of it in one range, or to nobody.
///
/// The local APIC is a part of the CPU, has no ports, and goes before the others in memory.
#[derive(Clone, Debug)]
pub struct DeviceBus {
    /// The local APIC.
    pub lapic: Lapic,
    devices: Vec<Box<dyn Device>>,
    /// The memory of `devices`, which is asked for at every page that guest code touches.
    memory: Vec<Range<u64>>,
}

/// A device claims what another one has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("device `{newcomer}` claims {what}, which `{owner}` has already")]
pub struct ClaimConflict {
    /// The device that was not added.
    pub newcomer: &'static str,
    /// The one that was there.
    pub owner: &'static str,
    /// `port 0x3f8` or `memory at 0xfee00000`.
    pub what: String,
}

/// The state of every device on a bus; equal if all go on alike.
#[derive(Clone, PartialEq, Debug)]
pub struct BusSnapshot {
    lapic: Lapic,
    devices: Vec<DeviceState>,
}

impl BusSnapshot {
    /// Every device's state as JSON, the local APIC's first, then in the order of addition.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        std::iter::once(DeviceState::of(self.lapic.clone()).to_json())
            .chain(self.devices.iter().map(DeviceState::to_json))
            .collect()
    }
}

impl DeviceBus {
    /// A bus with a local APIC and nothing else.
    #[must_use]
    pub fn new(lapic: LapicConfig) -> Self {
        Self {
            lapic: Lapic::new(lapic),
            devices: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// The devices of the default machine: local APIC, COM1, debug console, debug exit, POST port,
    /// watchdog, CMOS clock, system control port.
    #[must_use]
    pub fn pc(lapic: LapicConfig) -> Self {
        // They claim different ports, so `add`'s check is not needed.
        Self {
            lapic: Lapic::new(lapic),
            devices: vec![
                Box::new(Uart16550::com1()),
                Box::new(DebugConsole::default()),
                Box::new(DebugExit::default()),
                Box::new(PostPort::default()),
                Box::new(Watchdog::default()),
                Box::new(Cmos::default()),
                Box::new(SystemControl::default()),
            ],
            // None of them is in memory.
            memory: Vec::new(),
        }
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`ClaimConflict`] if it claims a port or memory that another device has.
    pub fn add(&mut self, device: Box<dyn Device>) -> Result<(), ClaimConflict> {
        for other in self.all() {
            let shared_port = device.ports().iter().find_map(|new| {
                other
                    .ports()
                    .iter()
                    .find(|old| new.start() <= old.end() && old.start() <= new.end())
                    .map(|old| format!("port {:#x}", new.start().max(old.start())))
            });
            let shared_memory = || {
                device.mmio().iter().find_map(|new| {
                    other
                        .mmio()
                        .iter()
                        .find(|old| new.start < old.end && old.start < new.end)
                        .map(|old| format!("memory at {:#x}", new.start.max(old.start)))
                })
            };
            if let Some(what) = shared_port.or_else(shared_memory) {
                return Err(ClaimConflict {
                    newcomer: device.name(),
                    owner: other.name(),
                    what,
                });
            }
        }
        self.memory.extend(device.mmio().iter().cloned());
        self.devices.push(device);
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &dyn Device> {
        std::iter::once(&self.lapic as &dyn Device).chain(self.devices.iter().map(|d| &**d))
    }

    /// The added device of this type, if there is one (the first).
    #[must_use]
    pub fn device<T: Device>(&self) -> Option<&T> {
        self.devices
            .iter()
            .find_map(|d| (&**d as &dyn Any).downcast_ref())
    }

    /// The added device of this type, to change it.
    pub fn device_mut<T: Device>(&mut self) -> Option<&mut T> {
        self.devices
            .iter_mut()
            .find_map(|d| (&mut **d as &mut dyn Any).downcast_mut())
    }

    fn at_port(&mut self, port: u16, size: u8) -> Option<&mut Box<dyn Device>> {
        self.devices
            .iter_mut()
            .find(|d| claims_port(d.as_ref(), port, size))
    }

    fn at_memory(&mut self, at: PhysAddr, size: u8) -> Option<&mut dyn Device> {
        if claims_memory(&self.lapic, at, size) {
            return Some(&mut self.lapic);
        }
        self.devices
            .iter_mut()
            .find(|d| claims_memory(d.as_ref(), at, size))
            .map(|d| &mut **d)
    }

    /// The name of the device that answers `size` bytes from `port`.
    #[must_use]
    pub fn port_owner(&self, port: u16, size: u8) -> Option<&'static str> {
        self.all()
            .find(|d| claims_port(*d, port, size))
            .map(Device::name)
    }

    /// The name of the device that answers `size` bytes at `at`.
    #[must_use]
    pub fn mmio_owner(&self, at: PhysAddr, size: u8) -> Option<&'static str> {
        self.all()
            .find(|d| claims_memory(*d, at, size))
            .map(Device::name)
    }

    /// Whether a device has any byte of the 4 KiB frame that holds `at`: then its accesses come
    /// here before RAM. Changes when IA32_APIC_BASE is written.
    #[must_use]
    pub fn claims_frame(&self, at: PhysAddr) -> bool {
        let start = at.page().0;
        let last = start | (crate::arch::PAGE_SIZE - 1);
        let meets = |range: &Range<u64>| range.start <= last && range.end > start;
        self.memory.iter().any(meets) || self.lapic.mmio().iter().any(meets)
    }

    /// Every range of device memory, the local APIC's first.
    pub fn mmio_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.all().flat_map(|d| d.mmio().iter().cloned())
    }

    /// IN. `None`: nobody answers, and the CPU reads [`all_ones`].
    pub fn port_read(&mut self, port: u16, size: u8, ctx: &mut DeviceContext<'_>) -> Option<u32> {
        let value = self.at_port(port, size)?.port_read(port, size, ctx);
        Some(value & all_ones(size) as u32)
    }

    /// OUT. `None`: nobody answers, and the value is lost.
    pub fn port_write(
        &mut self,
        port: u16,
        size: u8,
        value: u32,
        ctx: &mut DeviceContext<'_>,
    ) -> Option<()> {
        let value = value & all_ones(size) as u32;
        self.at_port(port, size)?.port_write(port, size, value, ctx);
        Some(())
    }

    /// A read of memory. `None`: no device answers.
    pub fn mmio_read(
        &mut self,
        at: PhysAddr,
        size: u8,
        ctx: &mut DeviceContext<'_>,
    ) -> Option<u64> {
        let value = self.at_memory(at, size)?.mmio_read(at, size, ctx);
        Some(value & all_ones(size))
    }

    /// A write of memory. `None`: no device answers.
    pub fn mmio_write(
        &mut self,
        at: PhysAddr,
        size: u8,
        value: u64,
        ctx: &mut DeviceContext<'_>,
    ) -> Option<()> {
        let value = value & all_ones(size);
        self.at_memory(at, size)?.mmio_write(at, size, value, ctx);
        Some(())
    }

    /// The earliest deadline of all devices.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.all().filter_map(Device::next_deadline).min()
    }

    /// Ticks every device whose deadline has come, the local APIC first, then in the order of
    /// addition.
    pub fn tick(&mut self, ctx: &mut DeviceContext<'_>) {
        let due = |d: &dyn Device, ctx: &DeviceContext<'_>| {
            d.next_deadline().is_some_and(|at| at <= ctx.now())
        };
        if due(&self.lapic, ctx) {
            Device::tick(&mut self.lapic, ctx);
        }
        for device in &mut self.devices {
            if due(device.as_ref(), ctx) {
                device.tick(ctx);
            }
        }
    }

    /// The names of the devices beside the local APIC, in the order of addition.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.devices.iter().map(|d| d.name())
    }

    /// Puts every device back to what [`BusSnapshot::to_json`] wrote, each with its name.
    ///
    /// # Errors
    /// [`ForeignState`] if they are others; nothing changes then.
    pub fn restore_json(
        &mut self,
        lapic: &serde_json::Value,
        devices: &[(String, serde_json::Value)],
    ) -> Result<(), ForeignState> {
        if !self.names().eq(devices.iter().map(|(name, _)| name)) {
            return Err(ForeignState { device: "bus" });
        }
        let mut new = (self.lapic.clone(), self.devices.clone());
        Device::restore_json(&mut new.0, lapic)?;
        for (device, (_, state)) in new.1.iter_mut().zip(devices) {
            device.restore_json(state)?;
        }
        // None claims other memory than before.
        (self.lapic, self.devices) = new;
        Ok(())
    }

    /// The state of every device.
    #[must_use]
    pub fn save(&self) -> BusSnapshot {
        BusSnapshot {
            lapic: self.lapic.clone(),
            devices: self.devices.iter().map(|d| d.save()).collect(),
        }
    }

    /// Puts every device back.
    ///
    /// # Errors
    /// [`ForeignState`] if the snapshot is of a bus with other devices; nothing changes then.
    pub fn restore(&mut self, snapshot: &BusSnapshot) -> Result<(), ForeignState> {
        if snapshot.devices.len() != self.devices.len() {
            return Err(ForeignState { device: "bus" });
        }
        let mut devices = self.devices.clone();
        for (device, state) in devices.iter_mut().zip(&snapshot.devices) {
            device.restore(state)?;
        }
        self.memory = devices
            .iter()
            .flat_map(|d| d.mmio().iter().cloned())
            .collect();
        self.devices = devices;
        self.lapic = snapshot.lapic.clone();
        Ok(())
    }
}

fn claims_port(device: &dyn Device, port: u16, size: u8) -> bool {
    let (1 | 2 | 4, Some(last)) = (size, port.checked_add(u16::from(size).wrapping_sub(1))) else {
        return false;
    };
    device
        .ports()
        .iter()
        .any(|range| range.contains(&port) && range.contains(&last))
}

fn claims_memory(device: &dyn Device, at: PhysAddr, size: u8) -> bool {
    let (1 | 2 | 4 | 8, Some(end)) = (size, at.0.checked_add(u64::from(size))) else {
        return false;
    };
    device
        .mmio()
        .iter()
        .any(|range| range.start <= at.0 && end <= range.end)
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
