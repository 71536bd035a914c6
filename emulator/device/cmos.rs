//! The real-time clock and its RAM behind ports 0x70 and 0x71 (Motorola MC146818A).

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::signal::Concern;
use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};

const INDEX: u16 = 0x70;
const NAME: &str = "cmos";
/// Bit 7 of the index port holds NMIs back on a PC/AT.
const NMI_OFF: u8 = 0x80;
const SIZE: usize = 128;

/// Registers.
mod reg {
    pub(super) const SECONDS: u8 = 0;
    pub(super) const MINUTES: u8 = 2;
    pub(super) const HOURS: u8 = 4;
    pub(super) const WEEKDAY: u8 = 6;
    pub(super) const DAY: u8 = 7;
    pub(super) const MONTH: u8 = 8;
    pub(super) const YEAR: u8 = 9;
    pub(super) const A: u8 = 0xa;
    pub(super) const B: u8 = 0xb;
    pub(super) const C: u8 = 0xc;
    pub(super) const D: u8 = 0xd;
    /// By custom, and ACPI's default: the century.
    pub(super) const CENTURY: u8 = 0x32;
}

/// Register A: 32,768 Hz, 1024 interrupts a second, no update in progress.
const A: u8 = 0x26;
/// In register A, read-only: an update is in progress (MC146818A data sheet, "Register A").
const UIP: u8 = 0x80;
/// Register B: 24 hours, BCD, no interrupt.
const B: u8 = 0x02;
/// Interrupts that register B enables.
const INTERRUPTS: u8 = 0x70;
/// Register D: the battery is good.
const D: u8 = 0x80;

/// A clock that stands at noon of 1 January 2010, a Friday, whatever is written to it: what software
/// reads there is the same in every run. All other bytes are RAM, 0 at reset. No interrupt is ever
/// raised; to enable one is not modelled, nor is bit 7 of the index port, which would hold NMIs back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cmos {
    index: u8,
    ram: Vec<u8>,
}

impl Default for Cmos {
    fn default() -> Self {
        let mut ram = vec![0; SIZE];
        ram[usize::from(reg::A)] = A;
        ram[usize::from(reg::B)] = B;
        Self { index: 0, ram }
    }
}

impl Cmos {
    fn can_be(&self, _old: &Self) -> bool {
        self.ram
            .get(usize::from(reg::A))
            .is_some_and(|a| a & UIP == 0)
            && self.ram.len() == SIZE
            && self.index & NMI_OFF == 0
    }
}

/// What is always read from a register of the clock.
const fn fixed(index: u8) -> Option<u8> {
    Some(match index {
        reg::SECONDS | reg::MINUTES | reg::C => 0,
        reg::HOURS => 0x12,
        reg::WEEKDAY => 6,
        reg::DAY | reg::MONTH => 1,
        reg::YEAR => 0x10,
        reg::CENTURY => 0x20,
        reg::D => D,
        _ => return None,
    })
}

impl Device for Cmos {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        &[INDEX..=INDEX + 1]
    }

    fn port_read(&mut self, port: u16, _size: u8, _ctx: &mut DeviceContext<'_>) -> u32 {
        if port == INDEX {
            return self.index.into();
        }
        let ram = self.ram[usize::from(self.index)];
        fixed(self.index).unwrap_or(ram).into()
    }

    fn port_write(&mut self, port: u16, _size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        let value = value as u8;
        if port == INDEX {
            self.index = value & !NMI_OFF;
            if value & NMI_OFF != 0 {
                let text = "bit 7 of port 0x70 holds NMIs back";
                ctx.report(NAME, Concern::NotModelled, text);
            }
            return;
        }
        if self.index == reg::B && value & INTERRUPTS != 0 {
            let text = "interrupts of the real-time clock";
            ctx.report(NAME, Concern::NotModelled, text);
        }
        self.ram[usize::from(self.index)] = match self.index {
            reg::A => value & !UIP,
            // Nobody can read what is written there: one state less to tell from another.
            index if fixed(index).is_some() => return,
            _ => value,
        };
    }

    whole_state!(Self::can_be);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Signal;

    #[test]
    fn a_clock_that_can_be_read_at_once() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut cmos = Cmos::default();
        let mut read = |index: u32| {
            cmos.port_write(0x70, 1, index, &mut ctx);
            cmos.port_read(0x71, 1, &mut ctx)
        };
        assert_eq!(read(0xa) & 0x80, 0, "no update in progress");
        assert_eq!(read(0xd), 0x80);
        let date = [9, 8, 7, 4, 2, 0].map(&mut read);
        assert_eq!(date, [0x10, 1, 1, 0x12, 0, 0]);
        assert!(signals.is_empty());
    }

    #[test]
    fn no_write_makes_an_update_be_in_progress() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut cmos = Cmos::default();
        cmos.port_write(0x70, 1, 0xa, &mut ctx);
        for (written, read) in [(0xff, 0x7f), (0x80, 0), (0x2d, 0x2d)] {
            cmos.port_write(0x71, 1, written, &mut ctx);
            assert_eq!(cmos.port_read(0x71, 1, &mut ctx), read);
        }
    }

    #[test]
    fn what_cannot_be_read_back_is_no_state() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut cmos = Cmos::default();
        for index in [0, 9, 0xc, 0xd, 0x32] {
            cmos.port_write(0x70, 1, index, &mut ctx);
            cmos.port_write(0x71, 1, 0x55, &mut ctx);
        }
        cmos.port_write(0x70, 1, 0, &mut ctx);
        assert_eq!(cmos, Cmos::default());
        // RAM is.
        cmos.port_write(0x70, 1, 0x40, &mut ctx);
        cmos.port_write(0x71, 1, 0x55, &mut ctx);
        assert_eq!(cmos.port_read(0x71, 1, &mut ctx), 0x55);
    }

    #[test]
    fn a_state_that_cannot_be_is_refused() {
        let good = Cmos::default();
        let json = good.save().to_json();
        let mut cmos = Cmos {
            index: 5,
            ..Cmos::default()
        };
        assert_eq!(cmos.restore_json(&json), Ok(()));
        assert_eq!(cmos, good);
        for (place, value) in [("/index", 0x80), ("/ram/10", 0xa6)] {
            let mut bad = json.clone();
            *bad.pointer_mut(place).unwrap() = value.into();
            let refused = Err(crate::device::ForeignState { device: NAME });
            assert_eq!(cmos.restore_json(&bad), refused, "{place}");
        }
        let mut short = json;
        short["ram"].as_array_mut().unwrap().pop();
        assert!(cmos.restore_json(&short).is_err());
        assert_eq!(cmos, good);
    }

    #[test]
    fn what_has_no_effect_here_is_said() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut cmos = Cmos::default();
        cmos.port_write(0x70, 1, 0x8b, &mut ctx);
        cmos.port_write(0x71, 1, 0x42, &mut ctx);
        let concerns = signals.iter().filter(|s| {
            matches!(
                s,
                Signal::Report {
                    concern: Concern::NotModelled,
                    ..
                }
            )
        });
        assert_eq!(concerns.count(), 2);
    }
}
