//! A short program, a machine for it, and what its run told.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use iretrace::arch::{CpuModel, PhysAddr, Vector, Vendor, VirtAddr};
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, StopReason, Until};
use iretrace::schedule::{Injection, ResolvedInjection, SymbolResolver, resolve};
use iretrace::trace::{Delivery, Event, EventClass, EventKind, EventSink, Filtered};

pub const RF: u64 = 1 << 16;
pub const TF: u64 = 1 << 8;
pub const KERNEL_CS: u64 = 0x08;
pub const USER_CS: u64 = 0x2b;

/// Events that the test keeps.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<Event>>>);

impl EventSink for Shared {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.borrow_mut().push(event.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Names<'a>(&'a Image);

impl SymbolResolver for Names<'_> {
    fn resolve(&self, name: &str) -> Option<VirtAddr> {
        self.0.resolve(name).ok()
    }
}

/// A machine with a program in it.
pub struct Bench {
    pub machine: Machine,
    pub image: Image,
    log: Shared,
}

/// `body` runs after the start-up and then ends the run with success; `rest` is beside it.
pub fn assemble(body: &str, rest: &str) -> Image {
    let prelude = include_str!("prelude.inc");
    let source =
        format!("{prelude}{body}\n    mov al, EXIT_SUCCESS\n    jmp debug_exit\n{rest}\n.text\n");
    match Image::from_bytes("test.S", source.as_bytes(), &LoadOptions::default()) {
        Ok(image) => image,
        Err(e) => panic!("{e}\n{body}\n{rest}"),
    }
}

pub fn of(vendor: Vendor) -> MachineConfig {
    MachineConfig {
        cpu: CpuModel::of(vendor),
        max_insns: 1_000_000,
        ram_size: 8 << 20,
        ..MachineConfig::default()
    }
}

impl Bench {
    pub fn new(body: &str, rest: &str) -> Self {
        Self::with(body, rest, of(Vendor::Intel))
    }

    pub fn with(body: &str, rest: &str, config: MachineConfig) -> Self {
        let classes = EventClass::all() - EventClass::INSN - EventClass::MEM - EventClass::WALK;
        Self::of_image(assemble(body, rest), config, classes)
    }

    pub fn of_image(image: Image, config: MachineConfig, classes: EventClass) -> Self {
        let mut machine = Machine::new(config).expect("a machine");
        machine.load(&image).expect("the image fits");
        let log = Shared::default();
        machine.add_sink(Box::new(Filtered::new(classes, log.clone())));
        Self {
            machine,
            image,
            log,
        }
    }

    pub fn injection(&self, text: &str) -> ResolvedInjection {
        let injection: Injection = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        resolve(injection, &Names(&self.image)).expect(text)
    }

    /// Sets the schedule: options as on the command line.
    pub fn schedule(mut self, texts: &[&str]) -> Self {
        let all = texts.iter().map(|t| self.injection(t)).collect();
        self.machine.set_schedule(all);
        self
    }

    /// Runs to the end, which is the guest's success.
    pub fn succeed(mut self) -> Self {
        let stop = self.machine.run(Until::Never);
        assert!(
            matches!(stop, StopReason::GuestExit { success: true, .. }),
            "{stop}\n{:#?}",
            self.told()
        );
        self
    }

    /// Runs to the default handler, which ends the run: the last delivery is the one asked for.
    pub fn fail(mut self) -> (Self, Delivery) {
        let stop = self.machine.run(Until::Never);
        assert!(
            matches!(stop, StopReason::GuestExit { success: false, .. }),
            "{stop}\n{:#?}",
            self.told()
        );
        let last = self.deliveries().pop().expect("a delivery");
        (self, last)
    }

    /// Runs to `place`; the icount there.
    pub fn run_to(&mut self, place: &str) -> u64 {
        let at = Until::Address(VirtAddr(self.at(place)));
        assert_eq!(self.machine.run(at), StopReason::Until, "{place}");
        self.machine.boundary().icount
    }

    pub fn at(&self, place: &str) -> u64 {
        self.image.resolve(place).expect(place).0
    }

    pub fn events(&self) -> Vec<Event> {
        self.log.0.borrow().clone()
    }

    pub fn forget_events(&self) {
        self.log.0.borrow_mut().clear();
    }

    /// What happened, without where and without control registers: for messages.
    fn told(&self) -> Vec<EventKind> {
        let kinds = self.log.0.borrow();
        let last = kinds.iter().rev().take(20).rev();
        last.map(|e| e.kind.clone()).collect()
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        let log = self.log.0.borrow();
        log.iter()
            .filter_map(|e| match &e.kind {
                EventKind::Delivered(d) => Some(d.clone()),
                _ => None,
            })
            .collect()
    }

    /// (vector, saved RIP) of every delivery.
    pub fn frames(&self) -> Vec<(u8, u64)> {
        let all = self.deliveries();
        all.iter()
            .map(|d| (d.id.vector.0, d.pushed.rip.0))
            .collect()
    }

    pub fn count(&self, what: impl Fn(&EventKind) -> bool) -> usize {
        self.log.0.borrow().iter().filter(|e| what(&e.kind)).count()
    }

    pub fn has(&self, kind: &EventKind) -> bool {
        self.count(|k| k == kind) != 0
    }

    /// The quadword at a symbol, which is also its physical address.
    pub fn quad(&self, place: &str) -> u64 {
        let mut bytes = [0; 8];
        assert!(
            self.machine
                .read_physical(PhysAddr(self.at(place)), &mut bytes)
        );
        u64::from_le_bytes(bytes)
    }
}

pub const DB: u8 = Vector::DB.0;
pub const NMI: u8 = Vector::NMI.0;
pub const GP: u8 = Vector::GP.0;
pub const PF: u8 = Vector::PF.0;

/// Whether `d` is a #PF with this error code and CR2.
#[track_caller]
pub fn assert_page_fault(d: &Delivery, error_code: u32, address: u64) {
    let got = (d.id.vector.0, d.error_code, d.cr2);
    assert_eq!(got, (PF, Some(error_code), Some(VirtAddr(address))));
}
