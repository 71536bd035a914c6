//! A Linux kernel in bare Unicorn, up to its first process.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use iretrace::arch::bits::{pte, rflags};
use iretrace::arch::state::gpr;
use iretrace::load::{Image, boot};
use iretrace::machine::MachineConfig;
use unicorn_engine::{
    Arch, MemType, Mode, Prot, RegisterX86, TlbEntry, TlbType, Unicorn, X86CpuModel, uc_error,
};

const PAGE: u64 = 4096;
const PAGE_FAULT: u8 = 14;
/// Bits 51:12.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Where IDTR is asked for by an instruction: the binding of `uc_reg_read` has too small a buffer for it.
const STUB: u64 = 0x0000_7fff_ffff_f000;
/// Its frame, above the RAM.
const STUB_FRAME: u64 = 1 << 40;
/// sidt [rip+9]; hlt
const SIDT: [u8; 8] = [0x0f, 0x01, 0x0d, 9, 0, 0, 0, 0xf4];

/// What the hooks have seen that the host has to act on.
#[derive(Default)]
struct Seen {
    /// The page fault that ended the run: address and error code.
    fault: Cell<Option<(u64, u64)>>,
    /// Any other exception.
    vector: Cell<Option<u8>>,
    console: RefCell<Vec<u8>>,
}

pub struct BareLinux {
    unicorn: Unicorn<'static, ()>,
    seen: Rc<Seen>,
    entry: u64,
    end: u64,
}

/// The entry that maps `at`, whose dirty bit is set if `write`; accessed bits on the way.
fn walk(uc: &mut Unicorn<'_, ()>, at: u64, write: bool) -> Result<(u64, Prot), u64> {
    let mut table = uc.reg_read(RegisterX86::CR3).unwrap_or(0) & FRAME;
    let mut writable = true;
    let mut executable = true;
    for level in (0..4).rev() {
        let shift = 12 + 9 * level;
        let place = table + 8 * (at >> shift & 0x1ff);
        let mut bytes = [0; 8];
        uc.mem_read(place, &mut bytes).map_err(|_| 0u64)?;
        let entry = u64::from_le_bytes(bytes);
        if entry & pte::P == 0 {
            return Err(0);
        }
        writable &= entry & pte::W != 0;
        executable &= entry & pte::XD == 0;
        let leaf = level == 0 || entry & pte::PS != 0;
        let mut updated = entry | pte::A;
        if leaf && write && writable {
            updated |= pte::D;
        }
        if updated != entry {
            uc.mem_write(place, &updated.to_le_bytes())
                .map_err(|_| 0u64)?;
        }
        if leaf {
            let mut perms = Prot::READ;
            if writable && updated & pte::D != 0 {
                perms |= Prot::WRITE;
            }
            if executable {
                perms |= Prot::EXEC;
            }
            let size = 1u64 << shift;
            let frame = entry & FRAME & !(size - 1) | at & (size - 1);
            return Ok((frame & !(PAGE - 1), perms));
        }
        table = entry & FRAME;
    }
    Err(0)
}

impl BareLinux {
    /// Ready to run from the kernel's entry to `end`, in user space.
    pub fn new(image: &Image, end: u64) -> Self {
        let ram = image.default_ram();
        let boot = boot(image, ram, &MachineConfig::default().cpu).expect("the kernel fits");
        let mut unicorn = Unicorn::new(Arch::X86, Mode::MODE_64).expect("an engine");
        unicorn
            .ctl_set_cpu_model(X86CpuModel::SKYLAKE_CLIENT as i32)
            .expect("a CPU model");
        unicorn
            .ctl_set_tlb_type(TlbType::VIRTUAL)
            .expect("a virtual TLB");
        unicorn.mem_map(0, ram, Prot::ALL).expect("RAM is mapped");
        unicorn
            .mem_map(STUB_FRAME, PAGE, Prot::ALL)
            .expect("a page is mapped");
        unicorn.mem_write(STUB_FRAME, &SIDT).expect("it is mapped");
        unicorn.ctl_exits_enable().expect("exits");
        let seen = Rc::new(Seen::default());
        let faults = Rc::clone(&seen);
        unicorn
            .add_tlb_hook(1, 0, move |uc, page, kind| {
                if page == STUB {
                    let perms = Prot::ALL;
                    return Some(TlbEntry {
                        paddr: STUB_FRAME,
                        perms,
                    });
                }
                let write = kind == MemType::WRITE;
                let asked = match kind {
                    MemType::WRITE => Prot::WRITE,
                    MemType::FETCH => Prot::EXEC,
                    _ => Prot::READ,
                };
                let code = (u64::from(write) << 1) | (u64::from(kind == MemType::FETCH) << 4);
                match walk(uc, page, write) {
                    Ok((paddr, perms)) if perms & asked == asked => Some(TlbEntry { paddr, perms }),
                    Ok(_) => {
                        faults.fault.set(Some((page, code | 1)));
                        None
                    }
                    Err(_) => {
                        faults.fault.set(Some((page, code)));
                        None
                    }
                }
            })
            .expect("a hook");
        let others = Rc::clone(&seen);
        unicorn
            .add_intr_hook(move |uc, vector| {
                others.vector.set(Some(vector as u8));
                uc.emu_stop().expect("it runs");
            })
            .expect("a hook");
        unicorn
            .add_insn_in_hook(|_, port, size| match port {
                0x3fd => 0x60,
                0x61 | 0x70..=0x71 => 0,
                _ => u32::MAX >> (32 - 8 * size),
            })
            .expect("a hook");
        let console = Rc::clone(&seen);
        unicorn
            .add_insn_out_hook(move |_, port, _, value| {
                if port == 0x3f8 {
                    console.console.borrow_mut().push(value as u8);
                }
            })
            .expect("a hook");
        for (at, bytes) in &boot.writes {
            unicorn.mem_write(at.0, bytes).expect("it is RAM");
        }
        let mut bare = Self {
            unicorn,
            seen,
            entry: boot.regs.rip,
            end,
        };
        bare.set(RegisterX86::CR3, boot.regs.cr3);
        bare.set(RegisterX86::CR4, boot.regs.cr4);
        bare.set(RegisterX86::CR0, boot.regs.cr0);
        bare.set(RegisterX86::RSI, boot.regs.gpr[gpr::RSI]);
        bare.set(RegisterX86::RSP, boot.regs.gpr[gpr::RSP]);
        bare
    }

    fn set(&mut self, register: RegisterX86, value: u64) {
        self.unicorn.reg_write(register, value).expect("a register");
    }

    fn get(&self, register: RegisterX86) -> u64 {
        self.unicorn.reg_read(register).expect("a register")
    }

    /// Runs to the end.
    pub fn run(&mut self) {
        let mut from = self.entry;
        loop {
            let result = self.unicorn.emu_start(from, 0, 0, 0);
            from = self.get(RegisterX86::RIP);
            if from == self.end {
                // Its page comes on demand: the first fetch faults.
                return;
            }
            if let Some((page, code)) = self.seen.fault.take() {
                assert!(result.is_err(), "a fault ends the run");
                self.set(RegisterX86::CR2, page);
                self.deliver(PAGE_FAULT, Some(code));
            } else if let Some(vector) = self.seen.vector.take() {
                let code = matches!(vector, 8 | 10..=14 | 17).then_some(0);
                self.deliver(vector, code);
            } else {
                let error = result.err().unwrap_or(uc_error::OK);
                let console = self.seen.console.borrow();
                panic!(
                    "{error:?} at {from:#x}: {}",
                    String::from_utf8_lossy(&console)
                );
            }
            from = self.get(RegisterX86::RIP);
        }
    }

    /// Runs to the end, and gives how many instructions that took.
    pub fn count(mut self) -> u64 {
        let count = Rc::new(Cell::new(0u64));
        let counted = Rc::clone(&count);
        self.unicorn
            .add_code_hook(1, 0, move |_, _, _| counted.set(counted.get() + 1))
            .expect("a hook");
        self.run();
        count.get()
    }

    fn linear(&mut self, at: u64, write: bool) -> u64 {
        let (frame, _) = walk(&mut self.unicorn, at, write).expect("the kernel's own is mapped");
        frame + at % PAGE
    }

    fn read(&mut self, at: u64) -> u64 {
        let at = self.linear(at, false);
        let mut bytes = [0; 8];
        self.unicorn.mem_read(at, &mut bytes).expect("it is RAM");
        u64::from_le_bytes(bytes)
    }

    fn push(&mut self, rsp: &mut u64, value: u64) {
        *rsp -= 8;
        let at = self.linear(*rsp, true);
        let bytes = value.to_le_bytes();
        self.unicorn.mem_write(at, &bytes).expect("it is RAM");
    }

    /// IDTR's base. RIP is not what it was.
    fn idt(&mut self) -> u64 {
        self.unicorn
            .emu_start(STUB, 0, 0, 0)
            .expect("an instruction without faults");
        let mut bytes = [0; 8];
        let at = STUB_FRAME + 16 + 2;
        self.unicorn.mem_read(at, &mut bytes).expect("it is mapped");
        u64::from_le_bytes(bytes)
    }

    /// An exception at CPL 0 without IST, by an interrupt gate.
    fn deliver(&mut self, vector: u8, code: Option<u64>) {
        use RegisterX86::{CS, RFLAGS, RIP, RSP, SS};
        let rip = self.get(RIP);
        let base = self.idt();
        let gate = base + 16 * u64::from(vector);
        let (low, high) = (self.read(gate), self.read(gate + 8));
        assert_eq!(low >> 32 & 7, 0, "vector {vector} has an IST stack");
        let handler = low & 0xffff | low >> 32 & 0xffff_0000 | high << 32;
        let flags = self.get(RFLAGS);
        let mut rsp = self.get(RSP) & !0xf;
        let frame = [self.get(SS), self.get(RSP), flags, self.get(CS), rip];
        for value in frame.into_iter().chain(code) {
            self.push(&mut rsp, value);
        }
        self.set(RSP, rsp);
        self.set(
            RFLAGS,
            flags & !(rflags::IF | rflags::TF | rflags::NT | rflags::RF),
        );
        self.set(RIP, handler);
    }
}
