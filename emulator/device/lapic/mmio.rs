//! The xAPIC's page of registers, and the local APIC as a device.

use std::ops::Range;

use super::chip::Lapic;
use super::errors::esr;
use super::registers::{self, Register, Rights};
use crate::arch::PhysAddr;
use crate::device::snapshot::whole_state;
use crate::device::{Concern, Device, DeviceContext};

const NAME: &str = "lapic";

/// An access that the manual defines is a dword at a multiple of 16; of what it leaves undefined
/// ("The Local APIC Block Diagram": hangs, wrong results, machine checks), a part of the dword
/// reads as such, and all else reads 0 and writes nothing.
enum Shape {
    Whole,
    Part { shift: u32 },
    Undefined,
}

impl Shape {
    fn of(offset: u64, size: u8) -> Self {
        let byte = offset & 0xf;
        match (byte, size) {
            (0, 4) => Self::Whole,
            (0..=3, 1 | 2) if byte + u64::from(size) <= 4 => Self::Part {
                shift: byte as u32 * 8,
            },
            _ => Self::Undefined,
        }
    }
}

impl Lapic {
    fn offset(&self, at: PhysAddr) -> Option<u64> {
        let window = self.window.as_ref()?;
        window.contains(&at.0).then(|| at.0 - window.start)
    }

    /// The register at `offset`; a reserved one is logged in ESR.
    fn xapic_register(
        &mut self,
        offset: u64,
        ctx: &mut DeviceContext<'_>,
    ) -> Option<(Register, Rights)> {
        let found = u8::try_from(offset >> 4)
            .ok()
            .and_then(|index| registers::find(index, self.mode()));
        if found.is_none() {
            let text = format!("register {:#05x} is reserved", offset & !0xf);
            ctx.report(NAME, Concern::Violation, text);
            self.log_error(esr::ILLEGAL_REGISTER, ctx);
        }
        found
    }
}

fn report_shape(what: &str, offset: u64, size: u8, ctx: &mut DeviceContext<'_>) {
    let text = format!(
        "{what} of {size} bytes at {offset:#05x}, not of 4 at a multiple of 16, is undefined"
    );
    ctx.report(NAME, Concern::Violation, text);
}

impl Device for Lapic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn mmio(&self) -> &[Range<u64>] {
        self.window.as_slice()
    }

    fn mmio_read(&mut self, at: PhysAddr, size: u8, ctx: &mut DeviceContext<'_>) -> u64 {
        let Some(offset) = self.offset(at) else {
            return u64::MAX;
        };
        let shift = match Shape::of(offset, size) {
            Shape::Whole => 0,
            Shape::Part { shift } => {
                report_shape("read", offset, size, ctx);
                shift
            }
            Shape::Undefined => {
                report_shape("read", offset, size, ctx);
                return 0;
            }
        };
        let Some((register, rights)) = self.xapic_register(offset, ctx) else {
            return 0;
        };
        if !rights.read() {
            let text = format!("read of {register:?}, which is write-only: 0");
            ctx.report(NAME, Concern::Violation, text);
            return 0;
        }
        (self.read_register(register, ctx) >> shift).into()
    }

    fn mmio_write(&mut self, at: PhysAddr, size: u8, value: u64, ctx: &mut DeviceContext<'_>) {
        let Some(offset) = self.offset(at) else {
            return;
        };
        if !matches!(Shape::of(offset, size), Shape::Whole) {
            return report_shape("write", offset, size, ctx);
        }
        let Some((register, rights)) = self.xapic_register(offset, ctx) else {
            return;
        };
        if !rights.write() {
            let text = format!("write of {register:?}, which is read-only: dropped");
            return ctx.report(NAME, Concern::Violation, text);
        }
        let value = value as u32 & self.writable(register);
        self.write_register(register, value, ctx);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.timer_deadline()
    }

    fn tick(&mut self, ctx: &mut DeviceContext<'_>) {
        self.settle_timer(ctx);
    }

    whole_state!(Self::can_be);
}
