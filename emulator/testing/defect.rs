//! What is seen to be wrong while a handler runs, with its cause.

use crate::trace::Boundary;

/// What kind of mistake it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DefectKind {
    /// IRET finds the error code where RIP should be.
    ErrorCodeNotPopped,
    /// IRET with something of the handler's still on the stack.
    IretTooEarly,
    /// IRET above the frame: too much was popped.
    IretTooLate,
    /// IRETD or IRET where the frame needs IRETQ.
    IretSize,
    /// A function is entered with RSP + 8 not a multiple of 16 (System V ABI, 3.2.2).
    MisalignedCall,
    /// A function is entered, or a string instruction runs, with the interrupted code's DF
    /// (System V ABI, 3.2.1).
    DirectionFlag,
    /// The kernel runs with the user's GS base.
    WrongGs,
    /// CR2 is read when it does not hold the fault's address any more.
    Cr2TooLate,
}

impl DefectKind {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::ErrorCodeNotPopped,
        Self::IretTooEarly,
        Self::IretTooLate,
        Self::IretSize,
        Self::MisalignedCall,
        Self::DirectionFlag,
        Self::WrongGs,
        Self::Cr2TooLate,
    ];

    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ErrorCodeNotPopped => "error-code-not-popped",
            Self::IretTooEarly => "iret-too-early",
            Self::IretTooLate => "iret-too-late",
            Self::IretSize => "iret-size",
            Self::MisalignedCall => "misaligned-call",
            Self::DirectionFlag => "direction-flag",
            Self::WrongGs => "wrong-gs",
            Self::Cr2TooLate => "cr2-too-late",
        }
    }
}

/// One mistake, where it was certain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defect {
    /// What.
    pub kind: DefectKind,
    /// When.
    pub at: Boundary,
    /// The instruction.
    pub rip: u64,
    /// What happened, in words.
    pub text: String,
}
