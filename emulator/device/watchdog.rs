//! A source of NMIs that is exact to the instruction, and the device to copy: it shows every part
//! of [`Device`] in few lines.

use std::ops::{Range, RangeInclusive};
use std::slice;

use serde::{Deserialize, Serialize};

use super::signal::{Concern, Signal};
use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};
use crate::arch::PhysAddr;
use crate::trace::Source;

/// A watchdog: raises an NMI unless the guest writes to it in time. On the default bus at the ports
/// 0x5f0 to 0x5f3.
///
/// It is a device of iretrace's own, no machine has it. It stands for a performance counter that
/// counts retired instructions and whose overflow is delivered as an NMI (SDM vol. 3, "Local Vector
/// Table": the entry for performance counters has a delivery mode, the timer's has none).
///
/// ```text
/// port base, or memory base + 0, 32 bits
///   write n > 0   an NMI in n instructions, the writing one being the first
///   write 0       no NMI
///   read          instructions left, the reading one among them; 0: stopped
/// ```
///
/// An access sees the time of the boundary before its instruction. So after `out dx, eax` with
/// EAX = 1 the NMI is there right behind the OUT, and with EAX = n + 1 it is there when n more
/// instructions have retired.
///
/// To make a new device of it:
/// 1. Copy this file to `device/your_device.rs`, add it to `device/mod.rs`, rename.
/// 2. Keep in the struct what the guest can change, and derive the same traits.
/// 3. Store points of time ("when"), not countdowns ("how long still"): then reading needs no tick.
/// 4. `whole_state!` saves it; `can_be` says what of a file can be its state.
/// 5. Put it on a machine's bus with [`DeviceBus::add`](super::DeviceBus::add).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Watchdog {
    ports: RangeInclusive<u16>,
    memory: Option<Range<u64>>,
    /// When the NMI is due.
    due: Option<u64>,
}

const NAME: &str = "watchdog";

/// The register's port on the default bus.
pub const WATCHDOG_PORT: u16 = 0x5f0;

impl Default for Watchdog {
    fn default() -> Self {
        Self::new(WATCHDOG_PORT)
    }
}

impl Watchdog {
    /// A stopped watchdog with its register at `port`.
    #[must_use]
    pub const fn new(port: u16) -> Self {
        Self {
            ports: port..=port.saturating_add(3),
            memory: None,
            due: None,
        }
    }

    /// The same with its register at physical `memory`, too.
    #[must_use]
    pub const fn with_memory(mut self, memory: PhysAddr) -> Self {
        self.memory = Some(memory.0..memory.0.saturating_add(4));
        self
    }

    fn left(&self, now: u64) -> u32 {
        let left = self.due.map_or(0, |due| due.saturating_sub(now));
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    fn start(&mut self, value: u32, ctx: &DeviceContext<'_>) {
        self.due = (value != 0).then(|| ctx.now().saturating_add(value.into()));
    }

    fn can_be(&self, old: &Self) -> bool {
        (&self.ports, &self.memory) == (&old.ports, &old.memory)
    }

    /// Only whole 32-bit accesses have a meaning; everything else is said, and does nothing.
    fn accepts(size: u8, ctx: &mut DeviceContext<'_>) -> bool {
        if size != 4 {
            let text = format!("access of {size} bytes to a register of 4: ignored");
            ctx.report(NAME, Concern::Violation, text);
        }
        size == 4
    }
}

impl Device for Watchdog {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        slice::from_ref(&self.ports)
    }

    fn mmio(&self) -> &[Range<u64>] {
        self.memory.as_slice()
    }

    fn port_read(&mut self, _port: u16, size: u8, ctx: &mut DeviceContext<'_>) -> u32 {
        if Self::accepts(size, ctx) {
            self.left(ctx.now())
        } else {
            u32::MAX
        }
    }

    fn port_write(&mut self, _port: u16, size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        if Self::accepts(size, ctx) {
            self.start(value, ctx);
        }
    }

    fn mmio_read(&mut self, _at: PhysAddr, size: u8, ctx: &mut DeviceContext<'_>) -> u64 {
        self.port_read(0, size, ctx).into()
    }

    fn mmio_write(&mut self, _at: PhysAddr, size: u8, value: u64, ctx: &mut DeviceContext<'_>) {
        self.port_write(0, size, value as u32, ctx);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.due
    }

    fn tick(&mut self, ctx: &mut DeviceContext<'_>) {
        if self.due.is_some_and(|due| due <= ctx.now()) {
            self.due = None;
            ctx.signal(Signal::Nmi(Source::Device));
        }
    }

    whole_state!(Self::can_be);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raises_one_nmi_exactly_in_time() {
        let mut signals = Vec::new();
        let mut dog = Watchdog::default();
        let mut at = |dog: &mut Watchdog, now, act: &dyn Fn(&mut Watchdog, &mut DeviceContext)| {
            let mut ctx = DeviceContext::new(now, &mut signals);
            act(dog, &mut ctx);
            std::mem::take(&mut signals)
        };
        at(&mut dog, 100, &|d, ctx| {
            d.port_write(WATCHDOG_PORT, 4, 10, ctx)
        });
        assert_eq!(dog.next_deadline(), Some(110));
        assert_eq!(at(&mut dog, 109, &|d, ctx| d.tick(ctx)), []);
        assert_eq!(dog.left(109), 1);
        let nmi = [Signal::Nmi(Source::Device)];
        assert_eq!(at(&mut dog, 110, &|d, ctx| d.tick(ctx)), nmi);
        assert_eq!(at(&mut dog, 111, &|d, ctx| d.tick(ctx)), []);
        assert_eq!(dog.next_deadline(), None);
    }

    #[test]
    fn only_whole_accesses_start_it_and_zero_stops_it() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(7, &mut signals);
        let mut dog = Watchdog::default().with_memory(PhysAddr(0xfed0_0000));
        dog.port_write(WATCHDOG_PORT, 2, 10, &mut ctx);
        assert_eq!(dog.next_deadline(), None);
        assert!(matches!(
            ctx.signals[..],
            [Signal::Report {
                concern: Concern::Violation,
                ..
            }]
        ));
        dog.mmio_write(PhysAddr(0xfed0_0000), 4, 1, &mut ctx);
        assert_eq!(
            dog.next_deadline(),
            Some(8),
            "right behind the writing instruction"
        );
        assert_eq!(dog.port_read(WATCHDOG_PORT, 4, &mut ctx), 1);
        dog.port_write(WATCHDOG_PORT, 4, 0, &mut ctx);
        assert_eq!(dog.next_deadline(), None);
        assert_eq!(dog.mmio_read(PhysAddr(0xfed0_0000), 4, &mut ctx), 0);
        dog.port_write(WATCHDOG_PORT, 4, u32::MAX, &mut ctx);
        assert_eq!(dog.next_deadline(), Some(7 + u64::from(u32::MAX)));
    }

    #[test]
    fn no_memory_is_claimed_unless_asked_for() {
        assert_eq!(Watchdog::default().mmio(), []);
        assert_eq!(Watchdog::default().ports(), [0x5f0..=0x5f3]);
        let mapped = Watchdog::default().with_memory(PhysAddr(u64::MAX));
        assert_eq!(mapped.mmio().first(), Some(&(u64::MAX..u64::MAX)));
    }
}
