//! A trace that begins in the middle of a run changes nothing: what has been translated without it goes on to
//! be used, or is not.

use iretrace::machine::{Machine, MachineConfig, Until};
use iretrace::trace::{Event, EventClass, EventSink};

struct Nowhere(EventClass);

impl EventSink for Nowhere {
    fn classes(&self) -> EventClass {
        self.0
    }

    fn event(&mut self, _: &Event) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_branch_to_itself_is_counted_once_a_step() {
    let image = crate::support::assemble("mov ecx, 40\n1: loop 1b", "");
    let machine = || {
        let config = MachineConfig {
            max_insns: 10_000,
            ..MachineConfig::default()
        };
        let mut m = Machine::new(config).expect("a machine");
        m.load(&image).expect("it fits");
        m
    };
    let mut untraced = machine();
    let wanted = untraced.run(Until::Never);
    let end = untraced.boundary().icount;
    for classes in [EventClass::INSN, EventClass::MEM, EventClass::all()] {
        for begin in end - 60..end {
            let mut m = machine();
            m.run(Until::Icount(begin));
            m.add_sink(Box::new(Nowhere(classes)));
            let stop = m.run(Until::Never);
            let rcx = m.cpu().regs.gpr[1];
            assert_eq!(stop, wanted, "{classes:?} from {begin}, RCX {rcx:#x}");
            assert_eq!(m.boundary().icount, end, "{classes:?} from {begin}");
        }
    }
}
