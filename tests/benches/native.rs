//! The engine with an identity mapping, and with no rules behind it.

use iretrace::arch::{CpuState, PhysAddr, VirtAddr};
use iretrace::engine::{Cause, Engine, Grant, RunOptions, Source};

use crate::guest::{self, Loop, PageFaultLoop};

/// Identity, but for the page at [`guest::PAGE`].
struct Identity {
    present: bool,
}

impl Source for Identity {
    fn grant(&self, page: VirtAddr, _cpl: u8, _ac: bool) -> Option<Grant> {
        (page.0 < guest::RAM && (page.0 != guest::PAGE || self.present)).then_some(Grant {
            phys: PhysAddr(page.0),
            read: true,
            write: page.0 != guest::CODE,
            // As the machine answers: only what has been fetched from, since Unicorn takes the long
            // way for every store to such a page.
            exec: page.0 == guest::CODE,
        })
    }
}

const UNLIMITED: RunOptions = RunOptions {
    limit: u64::MAX,
    step: false,
    force: false,
    over_breakpoint: false,
    trace: false,
};

pub struct Native {
    engine: Engine,
    source: Identity,
}

impl Native {
    pub fn new(code: &[u8]) -> Self {
        let mut engine = Engine::new(guest::RAM).expect("an engine");
        assert!(engine.write_ram(guest::CODE, code));
        Self {
            engine,
            source: Identity { present: false },
        }
    }

    fn go_on(&mut self, regs: &mut CpuState) -> Cause {
        self.engine.run(regs, &mut self.source, UNLIMITED).cause
    }

    /// Runs the loop, and gives RAX ^ R8 as a proof.
    pub fn run(&mut self, code: &Loop) -> u64 {
        let mut regs = CpuState::long_mode();
        regs.rip = guest::CODE;
        regs.gpr[1] = code.turns;
        regs.gpr[3] = guest::DATA;
        regs.gpr[4] = guest::STACK;
        assert!(self.engine.write_ram(guest::DATA, &[0; 8]));
        self.engine.set_icount(0);
        let cause = self.go_on(&mut regs);
        assert!(matches!(cause, Cause::Intercept(_)), "{cause:?}");
        assert_eq!(regs.rip, guest::CODE + code.hlt);
        assert_eq!(self.engine.icount(), code.instructions());
        assert_eq!(regs.gpr[1], 0);
        regs.gpr[0] ^ regs.gpr[8]
    }

    /// Runs the page-fault loop, and gives the faults that its handler counted.
    pub fn run_faults(&mut self, code: &PageFaultLoop) -> u64 {
        let mut regs = CpuState::long_mode();
        regs.rip = guest::TOUCH;
        regs.gpr[1] = code.faults;
        regs.gpr[3] = guest::PAGE;
        regs.gpr[4] = guest::STACK;
        regs.gpr[7] = guest::DATA;
        self.absent();
        for _ in 0..code.faults {
            let cause = self.go_on(&mut regs);
            assert!(matches!(cause, Cause::Data { .. }), "{cause:?}");
            assert_eq!(regs.rip, guest::TOUCH);
            self.source.present = true;
            for (begin, until) in [(guest::ENTRY, guest::IRETQ), (guest::TOUCH, guest::INVLPG)] {
                regs.rip = begin;
                let cause = self.go_on(&mut regs);
                assert!(matches!(cause, Cause::Intercept(_)), "{cause:?}");
                assert_eq!(regs.rip, until);
            }
            regs.gpr[4] = guest::STACK;
            self.absent();
            regs.rip = guest::AFTER_INVLPG;
        }
        regs.gpr[2]
    }

    fn absent(&mut self) {
        self.source.present = false;
        self.engine.flush_tlb();
    }
}
