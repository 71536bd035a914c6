//! System control port B, 0x61: the timer's gate, the speaker, and the two NMI reasons of a PC.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};

const NAME: &str = "port 0x61";
/// What is written and reads back: timer 2's gate, the speaker, and the masks of SERR# and IOCHK#.
const WRITABLE: u8 = 0x0f;
/// Bit 4 changes with each refresh of memory: 15,085 ns.
const REFRESH: u64 = 15_085;

/// SERR# and IOCHK# (bits 7 and 6) never come, so an NMI's handler finds no reason here. Virtual time
/// counts as nanoseconds. Timer 2 is not there: its output (bit 5) stays low.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SystemControl {
    written: u8,
}

impl Device for SystemControl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        &[0x61..=0x61]
    }

    fn port_read(&mut self, _port: u16, _size: u8, ctx: &mut DeviceContext<'_>) -> u32 {
        let refresh = ((ctx.now() / REFRESH) & 1) as u8;
        u32::from(self.written | refresh << 4)
    }

    fn port_write(&mut self, _port: u16, _size: u8, value: u32, _ctx: &mut DeviceContext<'_>) {
        self.written = value as u8 & WRITABLE;
    }

    whole_state!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reason_for_an_nmi_and_a_refresh_that_goes_on() {
        let mut port = SystemControl::default();
        let mut at = |now| {
            let mut signals = Vec::new();
            port.port_read(0x61, 1, &mut DeviceContext::new(now, &mut signals))
        };
        assert_eq!(at(0), 0);
        assert_eq!(at(REFRESH), 0x10);
        assert_eq!(at(2 * REFRESH), 0);
    }
}
