//! The 16550D UART's registers (National Semiconductor PC16550D datasheet).

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};
use super::uart16550_receiver::{Receiver, lsr};

/// A 16550D whose line is infinitely fast: a byte is out as soon as it is written, so THRE and
/// TEMT are always set, and received bytes that wait below the trigger level time out at once.
///
/// The peer holds CTS, DSR and DCD. A byte goes out whole whatever the word length is; the
/// divisor, parity and stop bits are kept and have no effect. Bits that the datasheet gives no
/// meaning in a write are dropped. An access wider than a byte is done as the ISA bus does it on
/// an 8-bit device: byte by byte at consecutive registers, lowest first.
///
/// Limit: [`interrupt_line`](Self::interrupt_line) (ISA IRQ 4) is computed but goes nowhere, for
/// there is neither PIC nor I/O APIC. Guests poll.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Uart16550 {
    ports: [RangeInclusive<u16>; 1],
    /// Interrupt enable register, 4 bits.
    ier: u8,
    lcr: u8,
    /// 5 bits.
    mcr: u8,
    /// The delta bits of the modem status register, 3..=0.
    msr_delta: u8,
    scr: u8,
    divisor: u16,
    /// The THRE interrupt waits.
    thre_pending: bool,
    rx: Receiver,
}

/// LCR: divisor latch access bit.
const LCR_DLAB: u8 = 0x80;
/// LCR: break control.
const LCR_BREAK: u8 = 0x40;

#[rustfmt::skip]
mod mcr {
    pub(super) const OUT2: u8 = 0x08;
    pub(super) const LOOP: u8 = 0x10;
    pub(super) const MASK: u8 = 0x1f;
}

#[rustfmt::skip]
mod ier {
    pub(super) const RECEIVED_DATA: u8 = 0x01;
    pub(super) const THR_EMPTY: u8     = 0x02;
    pub(super) const LINE_STATUS: u8   = 0x04;
    pub(super) const MODEM_STATUS: u8  = 0x08;
    pub(super) const MASK: u8          = 0x0f;
}

/// Interrupt identification, datasheet table 4, highest priority first.
#[rustfmt::skip]
mod iir {
    pub(super) const LINE_STATUS: u8   = 0x06;
    pub(super) const RECEIVED_DATA: u8 = 0x04;
    pub(super) const TIMEOUT: u8       = 0x0c;
    pub(super) const THR_EMPTY: u8     = 0x02;
    pub(super) const MODEM_STATUS: u8  = 0x00;
    pub(super) const NONE: u8          = 0x01;
    pub(super) const FIFOS: u8         = 0xc0;
}

#[rustfmt::skip]
mod msr {
    /// Trailing edge of RI: the only delta bit that one direction of change sets.
    pub(super) const TERI: u8 = 0x04;
    pub(super) const CTS: u8  = 0x10;
    pub(super) const DSR: u8  = 0x20;
    pub(super) const RI: u8   = 0x40;
    pub(super) const DCD: u8  = 0x80;
}

/// In loopback mode each MCR output drives one MSR input (datasheet 8.6).
const LOOP_WIRES: [(u8, u8); 4] = [
    (0x01, msr::DSR), // DTR
    (0x02, msr::CTS), // RTS
    (0x04, msr::RI),  // OUT1
    (0x08, msr::DCD), // OUT2
];

impl Uart16550 {
    /// COM1: ports 0x3f8 to 0x3ff, after master reset. The datasheet leaves the divisor undefined
    /// there; here it is 12, that is 9600 baud.
    #[must_use]
    pub fn com1() -> Self {
        Self {
            ports: [0x3f8..=0x3ff],
            ier: 0,
            lcr: 0,
            mcr: 0,
            msr_delta: 0,
            scr: 0,
            divisor: 12,
            thre_pending: false,
            rx: Receiver::default(),
        }
    }

    fn can_be(&self, old: &Self) -> bool {
        self.ports == old.ports
            && self.ier <= ier::MASK
            && self.mcr <= mcr::MASK
            && self.msr_delta <= 0x0f
            && self.rx.can_be()
    }

    /// Bytes that the host types. They enter the receiver as it has room, so none is overrun.
    pub fn type_in(&mut self, bytes: &[u8]) {
        self.rx.type_in(bytes);
        self.pull();
    }

    /// Whether the UART asks for IRQ 4: an enabled interrupt waits and OUT2 opens the gate that
    /// the PC puts behind INTR. In loopback mode OUT2 is held inactive.
    #[must_use]
    pub fn interrupt_line(&self) -> bool {
        self.mcr & (mcr::OUT2 | mcr::LOOP) == mcr::OUT2 && self.interrupt() != iir::NONE
    }

    /// In loopback mode the receiver hears the transmitter and not the line.
    fn pull(&mut self) {
        if self.mcr & mcr::LOOP == 0 {
            self.rx.pull();
        }
    }

    fn interrupt(&self) -> u8 {
        let data = if self.rx.at_trigger() {
            iir::RECEIVED_DATA
        } else {
            iir::TIMEOUT
        };
        let sources = [
            (
                ier::LINE_STATUS,
                self.rx.status() & lsr::ERRORS != 0,
                iir::LINE_STATUS,
            ),
            (
                ier::RECEIVED_DATA,
                self.rx.status() & lsr::DATA_READY != 0,
                data,
            ),
            (ier::THR_EMPTY, self.thre_pending, iir::THR_EMPTY),
            (ier::MODEM_STATUS, self.msr_delta != 0, iir::MODEM_STATUS),
        ];
        sources
            .into_iter()
            .find(|&(enable, waits, _)| self.ier & enable != 0 && waits)
            .map_or(iir::NONE, |(_, _, id)| id)
    }

    /// The upper half of the MSR.
    fn modem_inputs(&self) -> u8 {
        if self.mcr & mcr::LOOP == 0 {
            return msr::CTS | msr::DSR | msr::DCD;
        }
        LOOP_WIRES
            .iter()
            .filter(|(output, _)| self.mcr & output != 0)
            .fold(0, |inputs, (_, input)| inputs | input)
    }

    fn write_mcr(&mut self, value: u8) {
        let before = self.modem_inputs();
        self.mcr = value & mcr::MASK;
        let after = self.modem_inputs();
        let changed = (before ^ after) >> 4;
        let ri_ended = before & !after & msr::RI != 0;
        self.msr_delta |= changed & !msr::TERI | if ri_ended { msr::TERI } else { 0 };
        self.pull();
    }

    fn write_lcr(&mut self, value: u8) {
        let starts = value & !self.lcr & LCR_BREAK != 0;
        self.lcr = value;
        if starts && self.mcr & mcr::LOOP != 0 {
            self.rx.receive(0, lsr::BREAK);
        }
    }

    fn transmit(&mut self, byte: u8, ctx: &mut DeviceContext<'_>) {
        if self.mcr & mcr::LOOP != 0 {
            let word_bits = 5 + (self.lcr & 3);
            self.rx.receive(byte & (0xff >> (8 - word_bits)), 0);
        } else {
            ctx.signal(Signal::Console {
                device: self.name(),
                bytes: vec![byte],
            });
        }
        // Writing THR ends the THRE interrupt; emptied at once, it raises the next.
        self.thre_pending = true;
    }

    fn read_register(&mut self, register: u16) -> u8 {
        let dlab = self.lcr & LCR_DLAB != 0;
        match register {
            0 if dlab => self.divisor as u8,
            1 if dlab => (self.divisor >> 8) as u8,
            0 => {
                let byte = self.rx.read();
                self.pull();
                byte
            }
            1 => self.ier,
            2 => {
                let id = self.interrupt();
                if id == iir::THR_EMPTY {
                    self.thre_pending = false;
                }
                id | if self.rx.fifo_enabled() {
                    iir::FIFOS
                } else {
                    0
                }
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => lsr::THR_EMPTY | lsr::TRANSMITTER_EMPTY | self.rx.read_status(),
            6 => self.modem_inputs() | std::mem::take(&mut self.msr_delta),
            _ => self.scr,
        }
    }

    fn write_register(&mut self, register: u16, value: u8, ctx: &mut DeviceContext<'_>) {
        let dlab = self.lcr & LCR_DLAB != 0;
        match register {
            0 if dlab => self.divisor = self.divisor & 0xff00 | u16::from(value),
            1 if dlab => self.divisor = self.divisor & 0x00ff | u16::from(value) << 8,
            0 => self.transmit(value, ctx),
            1 => {
                // THR is empty, so enabling its interrupt raises it.
                if value & !self.ier & ier::THR_EMPTY != 0 {
                    self.thre_pending = true;
                }
                self.ier = value & ier::MASK;
            }
            2 => {
                self.rx.control(value);
                self.pull();
            }
            3 => self.write_lcr(value),
            4 => self.write_mcr(value),
            // LSR is for factory tests only, MSR's inputs are the line's: both drop writes.
            5 | 6 => {}
            _ => self.scr = value,
        }
    }
}

impl Device for Uart16550 {
    fn name(&self) -> &'static str {
        "serial"
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        &self.ports
    }

    fn port_read(&mut self, port: u16, size: u8, _ctx: &mut DeviceContext<'_>) -> u32 {
        let first = port & 7;
        (0..u16::from(size.min(4))).fold(0, |value, i| {
            value | u32::from(self.read_register((first + i) & 7)) << (8 * i)
        })
    }

    fn port_write(&mut self, port: u16, size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        let first = port & 7;
        let bytes = value.to_le_bytes();
        for (i, byte) in (0..u16::from(size.min(4))).zip(bytes) {
            self.write_register((first + i) & 7, byte, ctx);
        }
    }

    whole_state!(Self::can_be);
}

#[cfg(test)]
#[path = "uart16550_tests.rs"]
mod tests;
