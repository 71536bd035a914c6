//! What is interrupted: privilege, flags, bases, and where in which code.

use super::layout;
use super::place::Place;
use super::register::Register;
use crate::arch::Vector;
use crate::arch::bits::rflags;

/// Which code is interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Code at CPL 0, on a stack of its own, with the kernel's GS base.
    Kernel,
    /// Code at CPL 3, with the user's GS base.
    User,
    /// The kernel's first instruction after SYSCALL: CPL 0, with the user's RSP and GS base (SDM
    /// vol. 2, SYSCALL).
    SyscallGap,
}

/// An interrupted context. Every general register holds a value of its own, so that a lost one shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    pub(super) mode: Mode,
    pub(super) at: Option<Place>,
    pub(super) registers: Vec<(Register, u64)>,
    pub(super) places: Vec<(Register, Place)>,
    pub(super) gs: Gs,
    /// Handlers that are entered first, each inside the one before.
    pub(super) inside: Vec<(Vector, Option<Place>)>,
}

/// What the GS bases are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gs {
    /// The user's and the kernel's, which differ.
    Bases {
        /// The user's.
        user: u64,
        /// The kernel's.
        kernel: u64,
    },
    /// The kernel does not use GS: both are 0, and SWAPGS is not missed.
    Unused,
}

/// IF: interrupts can be taken. DF: the user may have set it, and delivery does not clear it.
pub const USER_FLAGS: u64 = rflags::FIXED | rflags::IF | rflags::DF | rflags::CF;

/// Interrupted kernel code has interrupts on.
pub const KERNEL_FLAGS: u64 = rflags::FIXED | rflags::IF | rflags::CF;

impl Context {
    fn of(mode: Mode) -> Self {
        Self {
            mode,
            at: None,
            registers: Vec::new(),
            places: Vec::new(),
            gs: Gs::Bases {
                user: layout::USER_GS,
                kernel: layout::KERNEL_GS,
            },
            inside: Vec::new(),
        }
    }

    /// Kernel code.
    #[must_use]
    pub fn kernel() -> Self {
        Self::of(Mode::Kernel)
    }

    /// User code, with the direction flag set.
    #[must_use]
    pub fn user() -> Self {
        Self::of(Mode::User)
    }

    /// The first instruction of the SYSCALL entry, before it has SWAPGS and a stack. Without
    /// [`at`](Self::at) it is code that does nothing.
    #[must_use]
    pub fn syscall_gap() -> Self {
        Self::of(Mode::SyscallGap)
    }

    /// The next instruction. In user mode its page is made one of the user's.
    #[must_use]
    pub fn at(mut self, place: impl Into<Place>) -> Self {
        self.at = Some(place.into());
        self
    }

    /// Inside the handler of this vector, which has interrupted what was said so far: at its first
    /// instruction, or where it comes to `at` first.
    #[must_use]
    pub fn inside(mut self, vector: Vector, at: Option<Place>) -> Self {
        self.inside.push((vector, at));
        self
    }

    /// A register's value.
    #[must_use]
    pub fn register(mut self, register: Register, value: u64) -> Self {
        self.registers.push((register, value));
        self
    }

    /// A register holds the address of a place.
    #[must_use]
    pub fn register_at(mut self, register: Register, place: impl Into<Place>) -> Self {
        self.places.push((register, place.into()));
        self
    }

    /// RFLAGS.
    #[must_use]
    pub fn flags(self, value: u64) -> Self {
        self.register(Register::Rflags, value)
    }

    /// The GS bases.
    #[must_use]
    pub const fn gs(mut self, user: u64, kernel: u64) -> Self {
        self.gs = Gs::Bases { user, kernel };
        self
    }

    /// The kernel does not use GS: SWAPGS is not missed.
    #[must_use]
    pub const fn without_gs(mut self) -> Self {
        self.gs = Gs::Unused;
        self
    }

    /// What is interrupted.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// User and kernel GS base, if they are told apart.
    #[must_use]
    pub const fn gs_bases(&self) -> Option<(u64, u64)> {
        match self.gs {
            Gs::Bases { user, kernel } if user != kernel => Some((user, kernel)),
            _ => None,
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::kernel()
    }
}
