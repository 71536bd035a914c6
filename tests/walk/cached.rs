//! A naive model of cached translations: a list, searched from its start (SDM vol. 3, 4.10).
//!
//! The manual lets a processor use a cached translation until it is invalidated, and forbids more;
//! the model uses it always.

use iretrace::machine::TlbMode;

use crate::oracle::{Entries, Entry, Granted, Mode, Page, What, Who, afterwards, denied, verdict};

/// Linear address of the first byte that the target's PDE maps.
pub const TARGET: u64 = 0x4000_0000;

/// One cached translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cached {
    /// The PCID under which it was made.
    pcid: u16,
    first: u64,
    size: u64,
    frame: usize,
    granted: Granted,
    dirty: bool,
}

impl Cached {
    fn covers(&self, at: u64) -> bool {
        self.first <= at && at - self.first < self.size
    }
}

/// A table entry of the target: its bits, and which of the two frames it maps, if it maps one.
pub type Slot = (Entry, usize);

/// Registers, the target's tables, and what is cached of them.
#[derive(Clone, Debug)]
pub struct Model {
    pub mode: Mode,
    pub pcide: bool,
    pub pcid: u16,
    pub pde: Slot,
    /// PTEs 0 and 5.
    pub pte: [Slot; 2],
    pub tlb: TlbMode,
    cached: Vec<Cached>,
}

impl Model {
    pub fn new(tlb: TlbMode) -> Self {
        Self {
            mode: Mode::default(),
            pcide: false,
            pcid: 0,
            pde: (Entry::default(), 0),
            pte: [(Entry::default(), 0); 2],
            tlb,
            cached: Vec::new(),
        }
    }

    /// Of the current PCID or global. Small pages come first, and then those of the PCID: which of
    /// several is used the manual leaves open (4.10.2.3).
    fn find(&self, at: u64) -> Option<Cached> {
        if self.tlb == TlbMode::None {
            return None;
        }
        for size in [1 << 12, 1 << 21] {
            for global in [false, true] {
                for c in &self.cached {
                    let usable = c.granted.global || c.pcid == self.pcid;
                    if c.granted.global == global && c.size == size && usable && c.covers(at) {
                        return Some(*c);
                    }
                }
            }
        }
        None
    }

    /// INVLPG: the page's translations of the current PCID, and global ones of any.
    pub fn invlpg(&mut self, at: u64) {
        let pcid = self.pcid;
        self.cached
            .retain(|c| !(c.covers(at) && (c.granted.global || c.pcid == pcid)));
    }

    /// INVPCID.
    pub fn invpcid(&mut self, kind: u64, pcid: u16, at: u64) {
        self.cached.retain(|c| match kind {
            0 => c.granted.global || c.pcid != pcid || !c.covers(at),
            1 => c.granted.global || c.pcid != pcid,
            2 => false,
            _ => c.granted.global,
        });
    }

    /// MOV to CR3.
    pub fn load_cr3(&mut self, pcid: u16, keep: bool) {
        self.pcid = pcid;
        if !keep {
            self.cached.retain(|c| c.granted.global || c.pcid != pcid);
        }
    }

    /// MOV to CR4: `mode` and `pcide` are the new ones.
    pub fn load_cr4(&mut self, mode: Mode, pcide: bool) {
        if mode.pge != self.mode.pge || (self.pcide && !pcide) {
            self.cached.clear();
        } else if mode.smep && !self.mode.smep {
            let pcid = self.pcid;
            self.cached.retain(|c| c.granted.global || c.pcid != pcid);
        }
        self.mode = mode;
        self.pcide = pcide;
    }

    /// One access: the frame that is reached, or the error code of the #PF.
    pub fn access(&mut self, at: u64, who: Who, what: What) -> Result<usize, u32> {
        let found = self.find(at);
        if let Some(c) = found {
            if let Some(code) = denied(&self.mode, &c.granted, who, what) {
                self.invlpg(at);
                return Err(code);
            }
            // The first write through a translation sets D in memory.
            if what != What::Write || c.dirty {
                return Ok(c.frame);
            }
        }
        let second = usize::from(at >= TARGET + 0x1000);
        let good = Entry {
            p: true,
            w: true,
            u: true,
            ..Entry::default()
        };
        let entries = Entries {
            pml4e: good,
            pdpte: good,
            pde: self.pde.0,
            pte: self.pte[second].0,
            ..Entries::default()
        };
        let told = verdict(&self.mode, &entries, who, what);
        let after = afterwards(&self.mode, &entries, told, what, false);
        self.pde.0 = after.pde;
        self.pte[second].0 = after.pte;
        let granted = match told {
            Ok(granted) => granted,
            Err(code) => {
                self.invlpg(at);
                return Err(code);
            }
        };
        let (size, slot) = match granted.page {
            Page::Pde => (1 << 21, self.pde),
            _ => (1 << 12, self.pte[second]),
        };
        // The same page's new translation replaces the old one; of another kind, all go.
        match found {
            Some(old) if old.size == size && old.granted.global == granted.global => {
                self.cached.retain(|c| *c != old);
            }
            Some(_) => self.invlpg(at),
            None => {}
        }
        self.cached.push(Cached {
            pcid: self.pcid,
            first: at - at % size,
            size,
            frame: slot.1,
            granted,
            dirty: slot.0.d,
        });
        Ok(slot.1)
    }
}
