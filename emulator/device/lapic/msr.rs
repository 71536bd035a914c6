//! The local APIC's MSRs: IA32_APIC_BASE, IA32_TSC_DEADLINE, and the x2APIC's 0x800 to 0x8ff.

use super::base::Mode;
use super::chip::Lapic;
use super::registers::{self, Register, Rights};
use crate::arch::bits::msr::{APIC_BASE, TSC_DEADLINE, X2APIC_FIRST, X2APIC_LAST};
use crate::device::DeviceContext;

impl Lapic {
    /// RDMSR. `None`: #GP(0), or not an MSR of the local APIC.
    pub fn msr_read(&mut self, number: u32, ctx: &mut DeviceContext<'_>) -> Option<u64> {
        match number {
            APIC_BASE => Some(self.base()),
            TSC_DEADLINE if self.config.tsc_deadline => Some(self.read_tsc_deadline(ctx)),
            X2APIC_FIRST..=X2APIC_LAST => {
                let (register, rights) = self.x2apic_register(number)?;
                match register {
                    _ if !rights.read() => None,
                    Register::IcrLow => Some(self.icr),
                    _ => Some(self.read_register(register, ctx).into()),
                }
            }
            _ => None,
        }
    }

    /// WRMSR. `false`: #GP(0), or not an MSR of the local APIC; nothing has changed then.
    #[must_use]
    pub fn msr_write(&mut self, number: u32, value: u64, ctx: &mut DeviceContext<'_>) -> bool {
        match number {
            APIC_BASE => {
                self.settle_timer(ctx);
                self.write_base(value)
            }
            TSC_DEADLINE if self.config.tsc_deadline => {
                self.write_tsc_deadline(value, ctx);
                true
            }
            X2APIC_FIRST..=X2APIC_LAST => match self.x2apic_register(number) {
                Some((Register::IcrLow, _)) => self.write_icr(value, ctx),
                Some((register, rights)) if rights.write() => {
                    // Reserved bits and read-only registers raise #GP ("Reserved Bit Checking").
                    let ok = value & !u64::from(self.writable(register)) == 0;
                    if ok {
                        self.write_register(register, value as u32, ctx);
                    }
                    ok
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn x2apic_register(&self, number: u32) -> Option<(Register, Rights)> {
        if self.mode() != Mode::X2Apic {
            return None;
        }
        let index = u8::try_from(number.checked_sub(X2APIC_FIRST)?).ok()?;
        registers::find(index, Mode::X2Apic)
    }
}
