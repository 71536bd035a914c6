//! What the engine is compared with: Unicorn with a virtual TLB and no other hook.

use std::cell::Cell;
use std::rc::Rc;

use unicorn_engine::{
    Arch, Mode, Prot, RegisterX86, TlbEntry, TlbType, Unicorn, X86CpuModel, uc_error,
};

use crate::guest::{self, Loop, PageFaultLoop};

pub struct Bare {
    unicorn: Unicorn<'static, ()>,
    /// The page at [`guest::PAGE`] may be used.
    present: Rc<Cell<bool>>,
}

impl Bare {
    pub fn new(code: &[u8]) -> Self {
        let mut unicorn = Unicorn::new(Arch::X86, Mode::MODE_64).expect("an engine");
        unicorn
            .ctl_set_cpu_model(X86CpuModel::SKYLAKE_SERVER as i32)
            .expect("the engine's CPU model");
        unicorn
            .ctl_set_tlb_type(TlbType::VIRTUAL)
            .expect("a virtual TLB");
        unicorn
            .mem_map(0, guest::RAM, Prot::ALL)
            .expect("RAM is mapped");
        let present = Rc::new(Cell::new(false));
        let answer = Rc::clone(&present);
        unicorn
            .add_tlb_hook(1, 0, move |_, paddr, _| {
                // Unicorn takes the long way for every store to a page that may be fetched from.
                let perms = if paddr == guest::CODE {
                    Prot::READ | Prot::EXEC
                } else {
                    Prot::READ | Prot::WRITE
                };
                (paddr != guest::PAGE || answer.get()).then_some(TlbEntry { paddr, perms })
            })
            .expect("a hook");
        unicorn.ctl_exits_enable().expect("exits");
        unicorn
            .mem_write(guest::CODE, code)
            .expect("the code is RAM");
        Self { unicorn, present }
    }

    fn set(&mut self, register: RegisterX86, value: u64) {
        self.unicorn.reg_write(register, value).expect("a register");
    }

    /// Runs from `begin` to a HLT.
    fn go_on(&mut self, begin: u64) -> Result<(), uc_error> {
        self.unicorn.emu_start(begin, 0, 0, 0)
    }

    /// Runs the loop, and gives RAX ^ R8 as a proof.
    pub fn run(&mut self, code: &Loop) -> u64 {
        use RegisterX86::{R8, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP};
        for register in [RAX, RBP, RDI, RDX, RSI, R8] {
            self.set(register, 0);
        }
        self.set(RBX, guest::DATA);
        self.set(RCX, code.turns);
        self.set(RSP, guest::STACK);
        self.unicorn
            .mem_write(guest::DATA, &[0; 8])
            .expect("the data is RAM");
        self.go_on(guest::CODE).expect("the loop runs");
        let read = |r| self.unicorn.reg_read(r).expect("a register");
        assert_eq!(read(RCX), 0);
        read(RAX) ^ read(R8)
    }

    /// Runs the page-fault loop, and gives the faults that its handler counted.
    pub fn run_faults(&mut self, code: &PageFaultLoop) -> u64 {
        use RegisterX86::{RBX, RCX, RDI, RDX, RSP};
        self.set(RBX, guest::PAGE);
        self.set(RCX, code.faults);
        self.set(RDX, 0);
        self.set(RDI, guest::DATA);
        self.set(RSP, guest::STACK);
        // Exits would do too, but Unicorn translates anew what ends at one.
        for at in [guest::INVLPG, guest::IRETQ] {
            self.unicorn
                .mem_write(at, &[0xf4]) // hlt
                .expect("the code is RAM");
        }
        self.absent();
        let mut from = guest::TOUCH;
        for _ in 0..code.faults {
            self.go_on(from).expect_err("the page is not present");
            self.present.set(true);
            for begin in [guest::ENTRY, guest::TOUCH] {
                self.go_on(begin).expect("nothing faults");
            }
            self.absent();
            from = guest::AFTER_INVLPG;
        }
        self.unicorn.reg_read(RDX).expect("a register")
    }

    fn absent(&mut self) {
        self.present.set(false);
        self.unicorn.ctl_flush_tlb().expect("the TLB is flushed");
    }
}
