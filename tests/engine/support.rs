//! A bare engine over an identity mapping whose pages can be taken away.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use iretrace::arch::{CpuState, PAGE_SIZE, PhysAddr, VirtAddr};
use iretrace::engine::{Cause, Engine, Exit, Grant, RunOptions, Source};

pub const RAM: u64 = 2 << 20;
pub const CODE: u64 = 0x4000;
pub const STACK: u64 = 0x9000;
pub const PAGE: u64 = PAGE_SIZE;

/// Identity, except where a set says otherwise.
#[derive(Default)]
pub struct Pages {
    pub absent: BTreeSet<u64>,
    pub read_only: BTreeSet<u64>,
    pub no_exec: BTreeSet<u64>,
    /// For CPL 0 to 2 alone.
    pub supervisor: BTreeSet<u64>,
    /// For CPL 3, and for the others with RFLAGS.AC alone, as SMAP has it.
    pub user: BTreeSet<u64>,
    /// Linear page to frame; may lie beyond the RAM.
    pub moved: BTreeMap<u64, u64>,
    pub asked: Cell<u64>,
    /// Page, CPL and AC of every question.
    pub questions: RefCell<Vec<(u64, u8, bool)>>,
    pub instructions: Vec<(u64, u64)>,
}

impl Source for Pages {
    fn grant(&self, page: VirtAddr, cpl: u8, ac: bool) -> Option<Grant> {
        self.asked.set(self.asked.get() + 1);
        self.questions.borrow_mut().push((page.0, cpl, ac));
        let phys = match self.moved.get(&page.0) {
            Some(&frame) => frame,
            None if page.0 < RAM => page.0,
            None => return None,
        };
        let refused = self.absent.contains(&page.0)
            || cpl == 3 && self.supervisor.contains(&page.0)
            || cpl != 3 && !ac && self.user.contains(&page.0);
        (!refused).then_some(Grant {
            phys: PhysAddr(phys),
            read: true,
            write: !self.read_only.contains(&page.0),
            exec: !self.no_exec.contains(&page.0),
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
        Self::at(CODE, code)
    }

    /// `code` at another address.
    pub fn at(start: u64, code: &[u8]) -> Self {
        let mut engine = Engine::new(RAM).expect("an engine");
        assert!(engine.write_ram(start, code));
        let mut regs = CpuState::long_mode();
        regs.rip = start;
        regs.gpr[4] = STACK;
        Self {
            engine,
            regs,
            pages: Pages::default(),
        }
    }

    pub fn with(&mut self, options: RunOptions) -> Exit {
        self.engine.run(&mut self.regs, &mut self.pages, options)
    }

    pub fn run(&mut self, limit: u64) -> Exit {
        self.with(RunOptions {
            limit,
            ..RunOptions::default()
        })
    }

    pub fn step(&mut self) -> Exit {
        self.with(RunOptions {
            step: true,
            ..RunOptions::default()
        })
    }

    /// Runs as a machine does: a refused fetch that belongs to a later instruction is no stop.
    pub fn advance(&mut self, limit: u64) -> Exit {
        loop {
            let mut exit = self.run(limit);
            if matches!(exit.cause, Cause::Fetch { .. }) {
                exit = self.step();
                if matches!(exit.cause, Cause::Stepped) {
                    continue;
                }
            }
            return exit;
        }
    }

    /// From `start` to the next intercepted instruction.
    pub fn call(&mut self, start: u64) {
        self.regs.rip = start;
        let exit = self.run(u64::MAX);
        assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
    }

    pub fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        assert!(self.engine.ram().read(at, &mut buf));
        buf
    }

    pub fn write(&mut self, at: u64, data: &[u8]) {
        assert!(self.engine.write_ram(at, data));
    }
}

/// A refused data access, as `(page, kind)`.
#[track_caller]
pub fn data(exit: &Exit) -> (u64, iretrace::arch::AccessKind) {
    match exit.cause {
        Cause::Data { page, kind } => (page.0, kind),
        _ => panic!("no data access was refused: {exit:?}"),
    }
}

/// 150 cases of one fixed seed, the same in every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` change that.
pub fn proptest_config() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    let given = Config::default();
    Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            given.cases
        } else {
            150
        },
        failure_persistence: None,
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(0x1e7),
            fixed => fixed,
        },
        ..given
    }
}
