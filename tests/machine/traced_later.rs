//! A trace of instructions that begins in the middle of a run changes nothing.

use iretrace::machine::{Machine, MachineConfig, StopReason, Until};
use iretrace::trace::{Event, EventClass, EventSink};

struct Nowhere;

impl EventSink for Nowhere {
    fn classes(&self) -> EventClass {
        EventClass::INSN
    }

    fn event(&mut self, _: &Event) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_loop_of_one_instruction_ends_as_it_does_untraced() {
    let image = crate::support::assemble("mov ecx, 40\n1: loop 1b", "");
    for begin in 0..900 {
        let config = MachineConfig {
            max_insns: 10_000,
            ..MachineConfig::default()
        };
        let mut m = Machine::new(config).expect("a machine");
        m.load(&image).expect("it fits");
        m.run(Until::Icount(begin));
        m.add_sink(Box::new(Nowhere));
        let stop = m.run(Until::Never);
        assert!(
            matches!(stop, StopReason::GuestExit { success: true, .. }),
            "from {begin}: {stop}"
        );
    }
}
