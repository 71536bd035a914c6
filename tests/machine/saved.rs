//! A state in a file: a machine that begins with it goes on as the one that it was saved from.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use iretrace::arch::{CpuModel, Vendor};
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, SavedError, SavedState, StopReason, Until};
use iretrace::trace::{Event, EventClass, EventSink, ImageInfo};

use crate::support::assemble;

#[derive(Clone, Default)]
struct Events(Rc<RefCell<Vec<Event>>>);

impl EventSink for Events {
    fn classes(&self) -> EventClass {
        EventClass::all()
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.borrow_mut().push(event.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn info(image: &Image) -> ImageInfo {
    ImageInfo {
        name: image.name.clone(),
        size: 1,
        hash: Some("fnv1a-64:1".to_owned()),
    }
}

fn config() -> MachineConfig {
    MachineConfig {
        ram_size: 8 << 20,
        max_insns: 100_000,
        ..MachineConfig::default()
    }
}

fn machine(image: &Image) -> Machine {
    let mut machine = Machine::new(config()).expect("a machine");
    machine.load(image).expect("it fits");
    machine
}

/// The rest of the run: every event, how it ends, and a hash of RAM.
fn rest(machine: &mut Machine) -> (Vec<Event>, StopReason, Vec<u8>) {
    let events = Events::default();
    machine.add_sink(Box::new(events.clone()));
    let stop = machine.run(Until::Never);
    machine.finish().expect("a sink in memory");
    let mut ram = vec![0; 8 << 20];
    assert!(machine.ram().read(0, &mut ram));
    let events = events.0.take();
    (events, stop, ram)
}

/// Saves at every `step`th boundary where that is possible; how often it was.
fn goes_on_alike(image: &Image, step: usize) -> usize {
    let info = info(image);
    let mut saved = 0;
    let mut along = machine(image);
    for icount in (0..100_000).step_by(step) {
        if along.run(Until::Icount(icount)) != StopReason::Until {
            break;
        }
        let bytes = match along.save_state(&info) {
            Ok(bytes) => bytes,
            Err(SavedError::Open { .. }) => continue,
            Err(e) => panic!("{}: {e}", image.name),
        };
        saved += 1;
        let state = SavedState::from_bytes(bytes).expect("whole");
        assert_eq!(state.icount(), icount);
        let mut from = Machine::from_saved(config(), &info, &state).expect("the same machine");
        let mut whole = machine(image);
        whole.run(Until::Icount(icount));
        let (wanted, stop, ram) = rest(&mut whole);
        let (found, found_stop, found_ram) = rest(&mut from);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "{} from {icount}", image.name);
        }
        assert_eq!(found.len(), wanted.len(), "{} from {icount}", image.name);
        assert_eq!(found_stop, stop, "{} from {icount}", image.name);
        assert!(found_ram == ram, "{} from {icount}: RAM", image.name);
    }
    saved
}

#[test]
fn programs_go_on_alike() {
    for name in ["@nested-nmi", "@user-mode", "@nmi-nestable", "@thread"] {
        let image = Image::open(name, &LoadOptions::default()).expect("a program");
        assert!(goes_on_alike(&image, 97) > 5, "{name}");
    }
}

#[test]
fn the_fpu_goes_on() {
    // x87 with six registers in use, SSE, MXCSR. (Not FNSTENV or FXSAVE: where the last x87 instruction was
    // is not saved.)
    let image = assemble(
        "
    mov rax, cr4
    or eax, 0x600
    mov cr4, rax
    fninit
    fldpi
    fld1
    fldl2e
    fchs
    fldln2
    fldz
    mov dword ptr [rip + number], 0x3f80
    ldmxcsr [rip + number]
    movabs rax, 0x1122334455667788
    movq xmm3, rax
    movq xmm15, rax
    pshufd xmm15, xmm15, 0x1b
    mov ecx, 40
1:  loop 1b
    faddp
    fmulp
    fstp tbyte ptr [rip + number]
    fstp tbyte ptr [rip + number + 16]
    fnstcw [rip + number + 32]
    fnstsw [rip + number + 34]
    movups [rip + number + 64], xmm15
    stmxcsr [rip + number + 80]",
        "
.bss
.balign 16
number: .skip 96",
    );
    assert!(goes_on_alike(&image, 3) > 10);
}

#[test]
fn it_is_refused_where_something_is_open() {
    let image = Image::open("@nested-nmi", &LoadOptions::default()).expect("a program");
    let at = |name: &str| Until::Address(image.resolve(name).expect("a symbol"));
    let mut m = machine(&image);
    assert_eq!(m.run(at("nmi_entry")), StopReason::Until);
    let fault = m.save_state(&info(&image)).expect_err("in the handler");
    let text = fault.to_string();
    assert!(text.contains("NMIs are blocked"), "{text}");
}

#[test]
fn another_machine_refuses_it() {
    let image = Image::open("@user-mode", &LoadOptions::default()).expect("a program");
    let mut m = machine(&image);
    let info = info(&image);
    let state = SavedState::from_bytes(m.save_state(&info).expect("at the start")).expect("whole");
    let differs = |config: MachineConfig, info: &ImageInfo| {
        let fault = Machine::from_saved(config, info, &state).expect_err("another");
        assert!(matches!(fault, SavedError::Other { .. }), "{fault}");
        fault.to_string()
    };
    let other = ImageInfo {
        hash: Some("fnv1a-64:2".to_owned()),
        ..info.clone()
    };
    assert!(differs(config(), &other).contains("image"));
    let ram = MachineConfig {
        ram_size: 16 << 20,
        ..config()
    };
    assert!(differs(ram, &info).contains("--ram"));
    let amd = MachineConfig {
        cpu: CpuModel::of(Vendor::Amd),
        ..config()
    };
    assert!(differs(amd, &info).contains("--cpu"));
    let longer = MachineConfig {
        max_insns: 7,
        ..config()
    };
    Machine::from_saved(longer, &info, &state).expect("a limit is no part of the state");
}

#[test]
fn hostile_heads_are_refused_or_run() {
    // The form's own hash is made to fit, so that every number of the head is reached.
    let image = Image::open("@user-mode", &LoadOptions::default()).expect("a program");
    let mut m = machine(&image);
    m.run(Until::Icount(500));
    let info = info(&image);
    let file = m.save_state(&info).expect("nothing is open");
    let start = b"iretrace state 1\n".len();
    let len = u32::from_le_bytes(file[start..start + 4].try_into().expect("four")) as usize;
    let head = start + 4..start + 4 + len;
    let digits: Vec<usize> = head.filter(|&at| file[at].is_ascii_digit()).collect();
    let (mut refused, mut ran) = (0, 0);
    for (n, &at) in digits.iter().enumerate().step_by(3) {
        let mut bad = file.clone();
        bad[at] = [b'9', b'0', b'7', b'-'][n / 3 % 4];
        let all = bad.len() - 8;
        let hash = iretrace::trace::fnv1a(&bad[..all]);
        bad[all..].copy_from_slice(&hash.to_le_bytes());
        let state = SavedState::from_bytes(bad);
        let short = MachineConfig {
            max_insns: 3000,
            ..config()
        };
        match state.and_then(|state| Machine::from_saved(short, &info, &state)) {
            Ok(mut machine) => {
                machine.run(Until::Never);
                ran += 1;
            }
            Err(e) => {
                assert_eq!(e.to_string().lines().count(), 1);
                refused += 1;
            }
        }
    }
    assert!(refused > 10 && ran > 10, "{refused} refused, {ran} ran");
}
