//! Where the harness keeps its own things: linear addresses, all of which can be changed.

/// Bytes of each stack.
pub const STACK_SIZE: u64 = 16 << 10;

/// From one stack to the next. What is between them is not mapped: an overflow faults.
pub const STACK_DISTANCE: u64 = 1 << 20;

/// The first stack.
pub const STACKS: u64 = 0xffff_c200_0000_0000;

/// All RAM, at this distance from its physical addresses.
pub const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

/// Where assembled and linked code begins, unless it says otherwise: below 2 GiB, so that every
/// kind of relocation reaches it (psABI, table 4.9).
pub const CODE: u64 = 0x20_0000;

/// Undefined symbols are said to be so far below the code.
pub const STUBS_BELOW: u64 = 0x1_0000;

/// Bytes of one stub.
pub const STUB_SIZE: u64 = 128;

/// Handlers of vectors for which there is none: reaching one ends the run.
pub const STRAY: u64 = 0xffff_c100_0000_0000;

/// Handlers that do nothing and return.
pub const QUIET: u64 = 0xffff_c100_0000_1000;

/// Kernel code to interrupt.
pub const KERNEL_CODE: u64 = 0xffff_c100_0000_2000;

/// User code to interrupt; a SYSCALL is at [`USER_SYSCALL`].
pub const USER_CODE: u64 = 0x5555_5555_0000;

/// A SYSCALL of the user's.
pub const USER_SYSCALL: u64 = USER_CODE + 0x800;

/// GDT, IDT and TSS, a page each.
pub const TABLES: u64 = 0xffff_c300_0000_0000;

/// GDT.
pub const GDT: u64 = TABLES;

/// IDT.
pub const IDT: u64 = TABLES + 0x1000;

/// TSS.
pub const TSS: u64 = TABLES + 0x2000;

/// The kernel's GS base: one page.
pub const KERNEL_GS: u64 = 0xffff_c400_0000_0000;

/// The user's GS base: one page.
pub const USER_GS: u64 = 0x7fff_f700_0000;

/// Bytes of the user's stack.
pub const USER_STACK_SIZE: u64 = 16 << 10;

/// The end of the user's stack.
pub const USER_STACK: u64 = 0x7fff_ffff_f000;

/// Selectors, in the order that SYSCALL and SYSRET want.
pub mod selector {
    #![expect(missing_docs, reason = "they are what their names say")]
    pub const KERNEL_CS: u16 = 0x08;
    pub const KERNEL_DS: u16 = 0x10;
    pub const USER_CS32: u16 = 0x1b;
    pub const USER_DS: u16 = 0x23;
    pub const USER_CS: u16 = 0x2b;
    pub const TSS: u16 = 0x30;
}

/// One of the harness's stacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stack {
    /// RSP0: where events from user mode go.
    Kernel,
    /// On which interrupted kernel code runs.
    Interrupted,
    /// IST1 to IST7.
    Ist(u8),
}

impl Stack {
    /// All, by rising address.
    pub const ALL: [Self; 9] = [
        Self::Kernel,
        Self::Interrupted,
        Self::Ist(1),
        Self::Ist(2),
        Self::Ist(3),
        Self::Ist(4),
        Self::Ist(5),
        Self::Ist(6),
        Self::Ist(7),
    ];

    const fn number(self) -> u64 {
        match self {
            Self::Kernel => 0,
            Self::Interrupted => 1,
            Self::Ist(n) => 1 + n as u64,
        }
    }

    /// The first address above it.
    #[must_use]
    pub const fn top(self) -> u64 {
        STACKS + (self.number() + 1) * STACK_DISTANCE
    }

    /// The stack in whose reach `at` lies, overflow included.
    #[must_use]
    pub fn of(at: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|s| {
            s.top().wrapping_sub(at).wrapping_sub(1) < STACK_DISTANCE - 1 || s.top() == at
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Kernel => "the kernel's stack".to_owned(),
            Self::Interrupted => "the interrupted stack".to_owned(),
            Self::Ist(n) => format!("IST{n}"),
        }
    }
}

/// Names that a test can use beside those of its code.
#[must_use]
pub fn names() -> Vec<(&'static str, u64, u64)> {
    vec![
        ("user_code", USER_CODE, 0x1000),
        ("user_gs", USER_GS, 0x1000),
        ("user_stack_top", USER_STACK, 1),
        ("harness_stray", STRAY, 0x1000),
        ("harness_quiet", QUIET, 0x1000),
        ("kernel_code", KERNEL_CODE, 0x1000),
        ("kernel_stack_top", Stack::Kernel.top(), 1),
        ("interrupted_stack_top", Stack::Interrupted.top(), 1),
        ("harness_gdt", GDT, 0x1000),
        ("harness_idt", IDT, 0x1000),
        ("harness_tss", TSS, 0x1000),
        ("kernel_gs", KERNEL_GS, 0x1000),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_do_not_meet() {
        for stack in Stack::ALL {
            assert_eq!(Stack::of(stack.top()), Some(stack));
            assert_eq!(Stack::of(stack.top() - 8), Some(stack));
            assert_eq!(Stack::of(stack.top() - STACK_SIZE - 8), Some(stack));
        }
        assert_eq!(Stack::of(STACKS), None);
        assert_eq!(Stack::of(USER_STACK), None);
    }

    #[test]
    fn stubs_fit() {
        assert!(crate::load::link::MAX_STUBS as u64 * STUB_SIZE <= STUBS_BELOW);
    }
}
