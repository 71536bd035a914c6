//! The interrupt command register: IPIs (SDM vol. 3, "Issuing Interprocessor Interrupts").

use super::base::Mode;
use super::chip::Lapic;
use super::errors::esr;
use super::priority::Acceptance;
use crate::arch::{Vector, Vendor};
use crate::device::{Concern, DeviceContext, Signal};
use crate::trace::Source;

/// Bits 31:0 that software can write: vector, delivery and destination mode, level, trigger mode,
/// shorthand. Delivery status (12) is read-only and always 0: sending takes no time.
pub(super) const WRITABLE: u32 = 0x000c_cfff;
const DELIVERY_STATUS: u32 = 1 << 12;
const LOGICAL: u32 = 1 << 11;
const ASSERT: u32 = 1 << 14;
const LEVEL: u32 = 1 << 15;

/// Bits 10:8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DeliveryMode {
    Fixed,
    LowestPriority,
    Smi,
    Nmi,
    Init,
    StartUp,
    Reserved,
}

const DELIVERY_MODES: [DeliveryMode; 8] = [
    DeliveryMode::Fixed,
    DeliveryMode::LowestPriority,
    DeliveryMode::Smi,
    DeliveryMode::Reserved,
    DeliveryMode::Nmi,
    DeliveryMode::Init,
    DeliveryMode::StartUp,
    DeliveryMode::Reserved,
];

/// Bits 19:18.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shorthand {
    None,
    ToSelf,
    AllIncludingSelf,
    AllExcludingSelf,
}

const SHORTHANDS: [Shorthand; 4] = [
    Shorthand::None,
    Shorthand::ToSelf,
    Shorthand::AllIncludingSelf,
    Shorthand::AllExcludingSelf,
];

/// Logical destination models of DFR bits 31:28.
const FLAT: u32 = 0xf;
const CLUSTER: u32 = 0x0;

impl Lapic {
    /// WRMSR to the x2APIC ICR. `false`: #GP(0) for a reserved bit. Intel ignores the delivery
    /// status bit, AMD reserves it.
    pub(super) fn write_icr(&mut self, value: u64, ctx: &mut DeviceContext<'_>) -> bool {
        let ignored = match self.config.vendor {
            Vendor::Intel => DELIVERY_STATUS,
            Vendor::Amd => 0,
        };
        if value as u32 & !(WRITABLE | ignored) != 0 {
            return false;
        }
        self.icr = value & !u64::from(DELIVERY_STATUS);
        self.send_ipi(ctx);
        true
    }

    /// Sends what ICR says: to this processor, or to nobody, for there is no other.
    pub(super) fn send_ipi(&mut self, ctx: &mut DeviceContext<'_>) {
        let low = self.icr as u32;
        let mode = DELIVERY_MODES[(low >> 8 & 7) as usize];
        let shorthand = SHORTHANDS[(low >> 18 & 3) as usize];
        match mode {
            DeliveryMode::LowestPriority => return self.log_error(esr::REDIRECTABLE_IPI, ctx),
            DeliveryMode::Reserved => {
                let text = "ICR: reserved delivery mode; nothing is sent";
                return ctx.report("lapic", Concern::Violation, text);
            }
            // INIT level de-assert: only the APIC bus of old processors knew it.
            DeliveryMode::Init if low & (LEVEL | ASSERT) == LEVEL => return,
            DeliveryMode::Fixed if low as u8 <= 15 => {
                return self.send_illegal_vector(shorthand == Shorthand::ToSelf, ctx);
            }
            _ => {}
        }
        let to_self = match shorthand {
            Shorthand::None => self.is_destination(ctx),
            Shorthand::ToSelf | Shorthand::AllIncludingSelf => true,
            Shorthand::AllExcludingSelf => false,
        };
        if !to_self {
            let text = format!(
                "IPI {:#018x} ({mode:?}): no other processor is there",
                self.icr
            );
            return ctx.report("lapic", Concern::Absent, text);
        }
        if mode != DeliveryMode::Fixed && shorthand != Shorthand::None {
            let text =
                format!("ICR: {mode:?} with shorthand {shorthand:?} is invalid; sent to itself");
            ctx.report("lapic", Concern::Violation, text);
        }
        self.receive_ipi(mode, low as u8, ctx);
    }

    fn receive_ipi(&mut self, mode: DeliveryMode, vector: u8, ctx: &mut DeviceContext<'_>) {
        match mode {
            DeliveryMode::Fixed => self.receive_fixed(vector, ctx),
            DeliveryMode::Nmi => ctx.signal(Signal::Nmi(Source::Apic)),
            DeliveryMode::Init | DeliveryMode::Smi => {
                let text = format!("IPI to itself with delivery mode {mode:?}");
                ctx.report("lapic", Concern::NotModelled, text);
            }
            DeliveryMode::StartUp => {
                let text = "IPI StartUp to itself: discarded, it does not wait for one";
                ctx.report("lapic", Concern::Absent, text);
            }
            DeliveryMode::LowestPriority | DeliveryMode::Reserved => {}
        }
    }

    /// A write to the x2APIC SELF IPI register.
    pub(super) fn self_ipi(&mut self, vector: u8, ctx: &mut DeviceContext<'_>) {
        if vector < 16 {
            self.send_illegal_vector(true, ctx);
        } else {
            self.receive_fixed(vector, ctx);
        }
    }

    fn receive_fixed(&mut self, vector: u8, ctx: &mut DeviceContext<'_>) {
        if self.raise_fixed(Vector(vector), Source::Apic, ctx) == Acceptance::Disabled {
            let text = format!("IPI {vector:#04x} to itself: not accepted, SVR bit 8 is clear");
            ctx.report("lapic", Concern::Absent, text);
        }
    }

    /// A self IPI is checked where it is sent and where it is received.
    fn send_illegal_vector(&mut self, to_self: bool, ctx: &mut DeviceContext<'_>) {
        let received = if to_self {
            esr::RECEIVE_ILLEGAL_VECTOR
        } else {
            0
        };
        self.log_error(esr::SEND_ILLEGAL_VECTOR | received, ctx);
    }

    /// Whether the destination field means this processor ("Determining IPI Destination").
    fn is_destination(&self, ctx: &mut DeviceContext<'_>) -> bool {
        let logical = self.icr as u32 & LOGICAL != 0;
        let high = (self.icr >> 32) as u32;
        match (self.mode(), logical) {
            (Mode::X2Apic, false) => high == self.config.id || high == u32::MAX,
            (Mode::X2Apic, true) => {
                let ldr = self.x2apic_ldr();
                high == u32::MAX || high >> 16 == ldr >> 16 && high & ldr & 0xffff != 0
            }
            (_, false) => {
                let destination = (high >> 24) as u8;
                destination == self.config.id as u8 || destination == 0xff
            }
            (_, true) => self.is_xapic_logical_destination((high >> 24) as u8, ctx),
        }
    }

    fn is_xapic_logical_destination(&self, mda: u8, ctx: &mut DeviceContext<'_>) -> bool {
        let id = (self.ldr >> 24) as u8;
        let in_cluster = mda >> 4 == 0xf || mda >> 4 == id >> 4;
        match self.dfr >> 28 {
            // All ones is a broadcast, whatever LDR is.
            FLAT | CLUSTER if mda == 0xff => true,
            FLAT => mda & id != 0,
            CLUSTER => in_cluster && mda & id & 0xf != 0,
            model => {
                let text = format!("DFR: reserved model {model:#x}; the IPI reaches nobody");
                ctx.report("lapic", Concern::Violation, text);
                false
            }
        }
    }

    /// Cluster ID\[31:16\] and a bit of 15:0, both from the x2APIC ID ("Deriving Logical x2APIC ID
    /// from the Local x2APIC ID").
    pub(super) const fn x2apic_ldr(&self) -> u32 {
        (self.config.id & 0xffff0) << 12 | 1 << (self.config.id & 0xf)
    }
}
