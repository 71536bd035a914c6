//! A bare engine over an identity mapping whose pages can be taken away.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use iretrace::arch::{CpuState, PAGE_SIZE, PhysAddr, VirtAddr};
use iretrace::engine::{Engine, Exit, Grant, RunOptions, Source};

pub const RAM: u64 = 1 << 20;
pub const CODE: u64 = 0x4000;
pub const STACK: u64 = 0x9000;

/// Identity, except where `pages` says otherwise.
#[derive(Default)]
pub struct Pages {
    pub absent: BTreeSet<u64>,
    pub read_only: BTreeSet<u64>,
    pub moved: BTreeMap<u64, u64>,
    pub asked: Cell<u64>,
    pub instructions: Vec<(u64, u64)>,
}

impl Source for Pages {
    fn grant(&self, page: VirtAddr, _cpl: u8, _ac: bool) -> Option<Grant> {
        self.asked.set(self.asked.get() + 1);
        if page.0 >= RAM || self.absent.contains(&page.0) {
            return None;
        }
        let phys = PhysAddr(self.moved.get(&page.0).copied().unwrap_or(page.0));
        Some(Grant {
            phys,
            read: true,
            write: !self.read_only.contains(&page.0),
            exec: true,
        })
    }

    fn instruction(&mut self, rip: VirtAddr, _bytes: &[u8], icount: u64) {
        self.instructions.push((rip.0, icount));
    }
}

pub struct Bench {
    pub engine: Engine,
    pub regs: CpuState,
    pub pages: Pages,
}

impl Bench {
    /// `code` at [`CODE`], and a stack.
    pub fn new(code: &[u8]) -> Self {
        let mut engine = Engine::new(RAM).expect("an engine");
        assert!(engine.write_ram(CODE, code));
        let mut regs = CpuState::long_mode();
        regs.rip = CODE;
        regs.gpr[4] = STACK;
        Self {
            engine,
            regs,
            pages: Pages::default(),
        }
    }

    pub fn run(&mut self, limit: u64) -> Exit {
        let options = RunOptions {
            limit,
            ..RunOptions::default()
        };
        self.engine.run(&mut self.regs, &mut self.pages, options)
    }

    pub fn step(&mut self) -> Exit {
        let options = RunOptions {
            step: true,
            ..RunOptions::default()
        };
        self.engine.run(&mut self.regs, &mut self.pages, options)
    }

    pub fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        assert!(self.engine.ram().read(at, &mut buf));
        buf
    }
}

pub const PAGE: u64 = PAGE_SIZE;
