//! How the machine of a case is laid out: CPU, gates, stacks, system registers, memory.

use super::case::Case;
use super::place::Place;
use super::register::Register;
use crate::arch::{CpuModel, Vector};

/// An interrupt or trap gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gate {
    /// Its vector.
    pub vector: Vector,
    /// The handler.
    pub handler: Place,
    /// The IST index; 0: none.
    pub ist: u8,
    /// DPL: what may use INT n.
    pub dpl: u8,
    /// A trap gate, which leaves IF alone.
    pub trap: bool,
}

impl Gate {
    /// An interrupt gate of DPL 0 without IST.
    #[must_use]
    pub fn new(vector: Vector, handler: impl Into<Place>) -> Self {
        Self {
            vector,
            handler: handler.into(),
            ist: 0,
            dpl: 0,
            trap: false,
        }
    }

    /// With a stack of its own.
    #[must_use]
    pub const fn ist(mut self, index: u8) -> Self {
        self.ist = index;
        self
    }
}

/// Rights of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// U/S.
    pub user: bool,
    /// R/W.
    pub write: bool,
    /// Not XD.
    pub execute: bool,
}

impl Rights {
    /// A kernel's data.
    pub const KERNEL: Self = Self {
        user: false,
        write: true,
        execute: false,
    };
    /// A user's data.
    pub const USER: Self = Self {
        user: true,
        write: true,
        execute: false,
    };
}

/// One step of arranging memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrange {
    /// Pages become present; new ones are zero.
    Map(Place, u64, Rights),
    /// Pages become not present.
    Unmap(Place, u64),
    /// Pages are not present, and become so when a #PF for them has been delivered.
    Lazy(Place, u64, Rights),
    /// Bytes.
    Write(Place, Vec<u8>),
}

/// The machine.
impl Case {
    /// Another CPU.
    #[must_use]
    pub fn cpu(mut self, cpu: CpuModel) -> Self {
        self.cpu = cpu;
        self
    }

    /// The handler of a vector: an interrupt gate of DPL 0 without IST.
    #[must_use]
    pub fn handler(self, vector: Vector, handler: impl Into<Place>) -> Self {
        self.gate(Gate::new(vector, handler))
    }

    /// A gate. The last one for a vector holds.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gates.retain(|g| g.vector != gate.vector);
        self.gates.push(gate);
        self
    }

    /// This vector's handler does nothing and returns.
    #[must_use]
    pub fn quiet(mut self, vector: Vector) -> Self {
        self.quiet.push(vector);
        self
    }

    /// The end of a stack in the TSS: RSP0 as 0, IST1 to IST7 as 1 to 7.
    #[must_use]
    pub fn stack(mut self, index: u8, top: impl Into<Place>) -> Self {
        self.stacks.push((index, top.into()));
        self
    }

    /// A control or debug register of the machine.
    #[must_use]
    pub fn machine_register(mut self, register: Register, value: u64) -> Self {
        self.machine.push((register, value));
        self
    }

    /// Where SYSCALL goes (LSTAR).
    #[must_use]
    pub fn syscall_entry(mut self, place: impl Into<Place>) -> Self {
        self.syscall = Some(place.into());
        self
    }

    /// Arranges memory, after what was arranged before.
    #[must_use]
    pub fn arrange(mut self, step: Arrange) -> Self {
        self.memory.push(step);
        self
    }

    /// Maps pages; new ones are zero.
    #[must_use]
    pub fn map(self, at: impl Into<Place>, size: u64, rights: Rights) -> Self {
        self.arrange(Arrange::Map(at.into(), size, rights))
    }

    /// Makes pages not present.
    #[must_use]
    pub fn unmap(self, at: impl Into<Place>, size: u64) -> Self {
        self.arrange(Arrange::Unmap(at.into(), size))
    }

    /// Pages that are not present until the kernel has taken a #PF for them.
    #[must_use]
    pub fn lazy(self, at: impl Into<Place>, size: u64, rights: Rights) -> Self {
        self.arrange(Arrange::Lazy(at.into(), size, rights))
    }

    /// Writes bytes, whatever the rights of their pages.
    #[must_use]
    pub fn write(self, at: impl Into<Place>, bytes: &[u8]) -> Self {
        self.arrange(Arrange::Write(at.into(), bytes.to_vec()))
    }

    /// Maps all RAM at its own address too.
    #[must_use]
    pub const fn identity_map(mut self) -> Self {
        self.identity = true;
        self
    }
}
