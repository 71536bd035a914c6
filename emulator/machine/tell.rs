//! What an instruction did, as events.

use iced_x86::Instruction;

use super::Machine;
use super::log::Place;
use super::stop::StopReason;
use crate::arch::{AccessKind, Hex, VirtAddr};
use crate::engine::RunOptions;
use crate::system::insn::{DataAccess, data_accesses};
use crate::trace::{Direction, EventClass, EventKind};

impl Machine {
    /// One instruction with its data accesses told: reads with the value before, writes with the
    /// value after.
    pub(super) fn step_with_accesses(&mut self, options: RunOptions) -> Option<StopReason> {
        let Some(insn) = self.peek_instruction() else {
            let exit = self.enter(options);
            return self.after(exit);
        };
        let mut accesses = Vec::new();
        data_accesses(&self.cpu.regs, &insn, &mut accesses);
        let mut events: Vec<EventKind> = accesses
            .iter()
            .map(|a| EventKind::Mem {
                address: a.addr,
                size: u8::try_from(a.size).unwrap_or(u8::MAX),
                direction: if a.kind == AccessKind::Write {
                    Direction::Write
                } else {
                    Direction::Read
                },
                value: self.value_at(a),
            })
            .collect();
        self.note_place();
        let place = self.world.log.place;
        let before = (self.world.engine.icount(), self.state.sub);
        let exit = self.enter(options);
        if (self.world.engine.icount(), self.state.sub) != before {
            for (event, a) in events.iter_mut().zip(&accesses) {
                if let (EventKind::Mem { value, .. }, AccessKind::Write) = (event, a.kind) {
                    *value = self.value_at(a);
                }
            }
            for event in events {
                self.world.log.instruction(place, event);
            }
        }
        self.after(exit)
    }

    pub(super) fn value_at(&self, a: &DataAccess) -> Option<Hex> {
        let mut bytes = [0; 8];
        let size = a.size as usize;
        (size <= 8 && self.peek_linear(a.addr, &mut bytes[..size]))
            .then(|| Hex(u64::from_le_bytes(bytes)))
    }

    /// The `insn` event of the instruction at RIP, about to be executed by microcode, where that is
    /// traced. It may leave the mode in which it is decoded.
    pub(super) fn instruction_if_traced(&mut self, insn: &Instruction) -> Option<EventKind> {
        if !self.world.log.wants(EventClass::INSN) {
            return None;
        }
        let mut bytes = self.peek_bytes();
        bytes.truncate(insn.len());
        let rip = VirtAddr(self.cpu.regs.rip);
        Some(self.formatter.event(self.bitness(), rip, &bytes))
    }

    /// Tells of an instruction that microcode has executed at `place`, and that has retired.
    pub(super) fn tell_instruction(&mut self, place: Place, event: Option<EventKind>) {
        if let Some(event) = event {
            self.world.log.instruction(place, event);
        }
    }
}
