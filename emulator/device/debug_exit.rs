//! QEMU's `isa-debug-exit`: a write ends the run.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};

/// Ends the run when the guest writes 1, 2 or 4 bytes; reads 0.
///
/// The place is that of `-device isa-debug-exit,iobase=0xf4,iosize=4`. [`Signal::Exit`] carries
/// the value as written; QEMU's process would end with `value << 1 | 1`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DebugExit {}

impl Device for DebugExit {
    fn name(&self) -> &'static str {
        "debug-exit"
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        &[0xf4..=0xf7]
    }

    fn port_read(&mut self, _port: u16, _size: u8, _ctx: &mut DeviceContext<'_>) -> u32 {
        0
    }

    fn port_write(&mut self, _port: u16, _size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        ctx.signal(Signal::Exit { value });
    }

    whole_state!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_of_any_size_ends_the_run() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut exit = DebugExit::default();
        assert_eq!(exit.port_read(0xf4, 4, &mut ctx), 0);
        exit.port_write(0xf4, 1, 0x10, &mut ctx);
        exit.port_write(0xf4, 4, 0xdead_beef, &mut ctx);
        assert_eq!(
            signals,
            [
                Signal::Exit { value: 0x10 },
                Signal::Exit { value: 0xdead_beef }
            ]
        );
    }
}
