//! Reading and marking descriptors in the GDT and the LDT, by implicit supervisor accesses
//! (SDM vol. 3, 3.5.1 and 4.6).

use super::{Bus, Cpu};
use crate::arch::descriptor::system_type;
use crate::arch::{
    Access, AccessKind, Descriptor, Exception, Segment, Selector, SystemDescriptor, VirtAddr,
};

const READ: Access = Access::implicit(AccessKind::Read);
const WRITE: Access = Access::implicit(AccessKind::Write);

impl Cpu {
    /// Where the descriptor of `selector` lies if all `size` bytes of it are within its table.
    fn descriptor_address(&self, selector: Selector, size: u64) -> Option<VirtAddr> {
        let (base, limit) = if selector.is_local() {
            if !self.regs.ldtr.usable() {
                return None;
            }
            (self.regs.ldtr.base, u64::from(self.regs.ldtr.limit))
        } else {
            (self.regs.gdtr.base, u64::from(self.regs.gdtr.limit))
        };
        if selector.is_null() || selector.offset() + (size - 1) > limit {
            return None;
        }
        let at = VirtAddr(base.wrapping_add(selector.offset()));
        let last = VirtAddr(at.0.wrapping_add(size - 1));
        let la57 = self.regs.la57();
        (at.is_canonical(la57) && last.is_canonical(la57)).then_some(at)
    }

    /// The 8-byte descriptor of `selector`. `None`: the selector is null, lies beyond its table,
    /// its LDT is unusable, or its address is not canonical; the error code of all these is the
    /// selector, but for a null one.
    ///
    /// # Errors
    /// #PF of the read.
    pub fn read_descriptor(
        &mut self,
        bus: &mut dyn Bus,
        selector: u16,
    ) -> Result<Option<Descriptor>, Exception> {
        match self.descriptor_address(Selector(selector), 8) {
            Some(at) => Ok(Some(Descriptor(self.read_u64(bus, at, READ, false)?))),
            None => Ok(None),
        }
    }

    /// The 16-byte descriptor of `selector`; `None` as in [`read_descriptor`](Self::read_descriptor).
    ///
    /// # Errors
    /// #PF of the read.
    pub fn read_system_descriptor(
        &mut self,
        bus: &mut dyn Bus,
        selector: u16,
    ) -> Result<Option<SystemDescriptor>, Exception> {
        let Some(at) = self.descriptor_address(Selector(selector), 16) else {
            return Ok(None);
        };
        let mut bytes = [0; 16];
        self.read(bus, at, &mut bytes, READ, false)?;
        let all = u128::from_le_bytes(bytes);
        Ok(Some(SystemDescriptor {
            low: Descriptor(all as u64),
            high: (all >> 64) as u64,
        }))
    }

    /// Sets A in the descriptor of `selector`, that was read as `descriptor`, if it is clear;
    /// gives the descriptor with A set.
    ///
    /// # Errors
    /// #PF of the write.
    pub fn set_accessed(
        &mut self,
        bus: &mut dyn Bus,
        selector: u16,
        descriptor: Descriptor,
    ) -> Result<Descriptor, Exception> {
        if descriptor.accessed() {
            return Ok(descriptor);
        }
        let marked = descriptor.with_accessed();
        self.write_attr(bus, selector, marked)?;
        Ok(marked)
    }

    /// Makes an available TSS descriptor busy (LTR); gives the descriptor as it is then.
    ///
    /// # Errors
    /// #PF of the write.
    pub fn set_busy(
        &mut self,
        bus: &mut dyn Bus,
        selector: u16,
        descriptor: SystemDescriptor,
    ) -> Result<SystemDescriptor, Exception> {
        let busy = u64::from(system_type::TSS_BUSY) << (32 + Segment::TYPE_SHIFT);
        let marked = Descriptor(descriptor.low.0 | busy);
        self.write_attr(bus, selector, marked)?;
        Ok(SystemDescriptor {
            low: marked,
            ..descriptor
        })
    }

    /// Writes the doubleword that holds type, S, DPL and P.
    fn write_attr(
        &mut self,
        bus: &mut dyn Bus,
        selector: u16,
        descriptor: Descriptor,
    ) -> Result<(), Exception> {
        if let Some(at) = self.descriptor_address(Selector(selector), 8) {
            let at = VirtAddr(at.0.wrapping_add(4));
            self.write_u32(bus, at, (descriptor.0 >> 32) as u32, WRITE, false)?;
        }
        Ok(())
    }
}
