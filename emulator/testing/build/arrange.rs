//! What a case says of memory, done to the machine.

use super::super::arrange::Arrange;
use super::super::error::TestError;
use super::machine::Builder;
use crate::arch::{PAGE_SIZE, VirtAddr};
use crate::machine::Machine;

impl Builder<'_> {
    /// The steps, in their order.
    pub(super) fn arrange(&mut self) -> Result<(), TestError> {
        for step in &self.case.memory {
            let resolve = |place| self.case.program.resolve("memory", place);
            match step {
                Arrange::Map(place, size, rights) => {
                    let at = check_range(resolve(place)?, *size)?;
                    self.mapper.provide(&mut self.machine, at, *size, *rights)?;
                }
                Arrange::Unmap(place, size) => {
                    let at = check_range(resolve(place)?, *size)?;
                    self.mapper.withdraw(&mut self.machine, at, *size)?;
                }
                Arrange::Lazy(place, size, rights) => {
                    let at = check_range(resolve(place)?, *size)?;
                    self.mapper.withdraw(&mut self.machine, at, *size)?;
                    self.lazy.push((at, *size, *rights));
                }
                Arrange::Write(place, bytes) => {
                    let at = resolve(place)?;
                    if !poke(&mut self.machine, at.0, bytes) {
                        return Err(TestError::setup(
                            format!("memory {place}"),
                            "not all of it is mapped: map it first",
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

fn check_range(at: VirtAddr, size: u64) -> Result<u64, TestError> {
    let last = at.0.checked_add(size.max(1) - 1);
    if last.is_some_and(|l| VirtAddr(l).is_canonical(false) && at.is_canonical(false))
        && size <= 1 << 30
    {
        return Ok(at.0);
    }
    Err(TestError::setup(
        format!("memory {at}"),
        "give canonical addresses, and at most 1 GiB",
    ))
}

/// Writes through the page tables, whatever the rights. `false`: not all of it is mapped.
pub(in crate::testing) fn poke(machine: &mut Machine, at: u64, bytes: &[u8]) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        let here = at.wrapping_add(done as u64);
        let len = (bytes.len() - done).min((PAGE_SIZE - here % PAGE_SIZE) as usize);
        let Some(phys) = machine.translate_plain(VirtAddr(here)) else {
            return false;
        };
        if !machine.write_physical(phys, &bytes[done..done + len]) {
            return false;
        }
        done += len;
    }
    true
}
