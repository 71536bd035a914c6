//! Flat memory: every access is checked byte by byte against the leaf entry of the byte's page
//! (SDM vol. 3, 4.6 and 4.7).

use super::super::pages::{PAGE, Page};
use super::model::{Model, Raised};

/// Pages, and which A and D bits have been set.
#[derive(Clone, Debug)]
pub struct Memory {
    pub pages: Vec<Page>,
    /// A and D that an access which failed in a later page may have set, or not.
    pub maybe: Vec<(bool, bool)>,
}

/// On whose behalf an access is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// IDT, GDT, LDT, TSS: supervisor at any CPL, AC does not help.
    System,
    /// The stack, by code of this CPL.
    Level(u8),
}

impl Memory {
    pub fn new(pages: Vec<Page>) -> Self {
        let maybe = vec![(false, false); pages.len()];
        Self { pages, maybe }
    }

    fn index(&self, at: u64) -> Option<usize> {
        let page = at & !(PAGE - 1);
        self.pages.iter().position(|p| p.linear == page)
    }
}

impl Model {
    /// Checks `len` bytes from `at` up, and sets A, for a write D.
    pub fn check(&mut self, at: u64, len: u64, write: bool, by: By) -> Result<(), Raised> {
        let mut touched = Vec::new();
        for i in 0..len {
            let byte = at.wrapping_add(i);
            match self.allowed(byte, write, by) {
                Ok(page) => touched.push(page),
                Err(code) => {
                    for page in touched {
                        let maybe = &mut self.memory.maybe[page];
                        maybe.0 = true;
                        maybe.1 |= write;
                    }
                    return Err(Raised::page_fault(code, byte));
                }
            }
        }
        for page in touched {
            let spec = &mut self.memory.pages[page].spec;
            spec.accessed = true;
            spec.dirty |= write;
        }
        Ok(())
    }

    /// The page of a byte that may be accessed, or the error code.
    fn allowed(&self, byte: u64, write: bool, by: By) -> Result<usize, u32> {
        let user = by == By::Level(3);
        let base = u32::from(write) << 1 | u32::from(user) << 2;
        let Some(index) = self.memory.index(byte) else {
            return Err(base);
        };
        let page = self.memory.pages[index].spec;
        if !page.present {
            return Err(base);
        }
        if page.reserved {
            return Err(base | 0x9);
        }
        let wp = self.regs.cr0 >> 16 & 1 == 1;
        let smap = self.regs.cr4 >> 21 & 1 == 1;
        let pke = self.regs.cr4 >> 22 & 1 == 1;
        let ac = self.regs.rflags >> 18 & 1 == 1;
        let mut denied = false;
        if user {
            denied |= !page.user;
            denied |= write && !page.writable;
        } else {
            denied |= page.user && smap && !(ac && by != By::System);
            denied |= write && !page.writable && wp;
        }
        let key = self.regs.pkru >> (2 * u32::from(page.key));
        let by_key = page.user && pke && (key & 1 == 1 || (key & 2 == 2 && write && (user || wp)));
        match (denied, by_key) {
            (false, false) => Ok(index),
            (_, true) => Err(base | 0x21),
            (true, false) => Err(base | 0x1),
        }
    }

    /// Whether a push of a quadword at `at` is possible; changes nothing.
    pub fn allowed_push(&self, at: u64, by: By) -> Result<(), Raised> {
        for byte in (0..8).map(|i| at.wrapping_add(i)) {
            self.allowed(byte, true, by)
                .map_err(|code| Raised::page_fault(code, byte))?;
        }
        Ok(())
    }

    /// The page of `at`, if there is one, may have got A and D.
    pub fn maybe_written(&mut self, at: u64) {
        if let Some(page) = self.memory.index(at)
            && self.memory.pages[page].spec.present
        {
            self.memory.maybe[page] = (true, true);
        }
    }

    /// A number of `len` bytes, little-endian.
    pub fn read(&mut self, at: u64, len: u64, by: By) -> Result<u64, Raised> {
        self.check(at, len, false, by)?;
        let mut value = 0;
        for i in 0..len {
            let byte = at.wrapping_add(i);
            let page = self.memory.index(byte).expect("checked");
            let byte = self.memory.pages[page].bytes[(byte & (PAGE - 1)) as usize];
            value |= u64::from(byte) << (8 * i);
        }
        Ok(value)
    }

    /// Stores what has been checked.
    pub fn store(&mut self, at: u64, len: u64, value: u64) {
        for i in 0..len {
            let byte = at.wrapping_add(i);
            let page = self.memory.index(byte).expect("checked");
            self.memory.pages[page].bytes[(byte & (PAGE - 1)) as usize] = (value >> (8 * i)) as u8;
        }
    }
}
