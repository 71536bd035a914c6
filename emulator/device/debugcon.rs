//! The debug console of Bochs and QEMU, port 0xe9: a write prints, a read says that it is there.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};

/// Prints each byte that is written; reads 0xe9. It has no state.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DebugConsole {}

/// What a read gives, so that a guest can probe for it (Bochs `port_e9_hack`, QEMU
/// `isa-debugcon` `readback`).
const READBACK: u32 = 0xe9;

impl Device for DebugConsole {
    fn name(&self) -> &'static str {
        "debugcon"
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        &[0xe9..=0xe9]
    }

    fn port_read(&mut self, _port: u16, _size: u8, _ctx: &mut DeviceContext<'_>) -> u32 {
        READBACK
    }

    fn port_write(&mut self, _port: u16, _size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        ctx.signal(Signal::Console {
            device: self.name(),
            bytes: vec![value as u8],
        });
    }

    whole_state!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_bytes_and_reads_back() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut console = DebugConsole::default();
        assert_eq!(console.port_read(0xe9, 1, &mut ctx), 0xe9);
        console.port_write(0xe9, 1, u32::from(b'A'), &mut ctx);
        assert_eq!(
            signals,
            [Signal::Console {
                device: "debugcon",
                bytes: b"A".to_vec()
            }]
        );
    }
}
