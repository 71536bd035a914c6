//! Exceptions and interrupts before they are delivered: vector, class, error code.

use serde::{Deserialize, Serialize};

use super::addr::VirtAddr;

/// An interrupt vector, 0 to 255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vector(pub u8);

#[rustfmt::skip]
#[expect(missing_docs, reason = "the manuals' mnemonics, SDM vol. 3 table 6-1")]
impl Vector {
    pub const DE: Self = Self(0);
    pub const DB: Self = Self(1);
    pub const NMI: Self = Self(2);
    pub const BP: Self = Self(3);
    pub const OF: Self = Self(4);
    pub const BR: Self = Self(5);
    pub const UD: Self = Self(6);
    pub const NM: Self = Self(7);
    pub const DF: Self = Self(8);
    pub const TS: Self = Self(10);
    pub const NP: Self = Self(11);
    pub const SS: Self = Self(12);
    pub const GP: Self = Self(13);
    pub const PF: Self = Self(14);
    pub const MF: Self = Self(16);
    pub const AC: Self = Self(17);
    pub const MC: Self = Self(18);
    pub const XM: Self = Self(19);
    pub const VE: Self = Self(20);
    pub const CP: Self = Self(21);
    pub const HV: Self = Self(28);
    pub const VC: Self = Self(29);
    pub const SX: Self = Self(30);
}

impl Vector {
    /// The manuals' mnemonic: `#PF`, `NMI`; `None` for vectors that have none.
    #[must_use]
    pub const fn mnemonic(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "#DE",
            1 => "#DB",
            2 => "NMI",
            3 => "#BP",
            4 => "#OF",
            5 => "#BR",
            6 => "#UD",
            7 => "#NM",
            8 => "#DF",
            10 => "#TS",
            11 => "#NP",
            12 => "#SS",
            13 => "#GP",
            14 => "#PF",
            16 => "#MF",
            17 => "#AC",
            18 => "#MC",
            19 => "#XM",
            20 => "#VE",
            21 => "#CP",
            28 => "#HV",
            29 => "#VC",
            30 => "#SX",
            _ => return None,
        })
    }
}

/// How an event came about; decides the DPL check, EXT, the saved RF and RIP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventType {
    /// Maskable external interrupt.
    External,
    /// Non-maskable interrupt.
    Nmi,
    /// Fault: saved RIP is the instruction, pushed RF is 1.
    Fault,
    /// Trap-class hardware exception (#DB after an instruction): saved RIP is the next one.
    Trap,
    /// Abort (#DF, #MC).
    Abort,
    /// INT n (CD ib).
    SoftwareInterrupt,
    /// INT3 (CC) or INTO.
    SoftwareException,
    /// INT1 (F1).
    PrivilegedSoftwareException,
}

impl EventType {
    /// INT n, INT3, INTO: gate DPL is checked and EXT is 0 (SDM vol. 2, INT).
    #[must_use]
    pub const fn is_software(self) -> bool {
        matches!(self, Self::SoftwareInterrupt | Self::SoftwareException)
    }
}

/// An exception that an instruction, or a delivery, has raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Its vector.
    pub vector: Vector,
    /// The error code, for the vectors that have one.
    pub error_code: Option<u32>,
    /// Fault or trap.
    pub kind: EventType,
    /// For #PF: the faulting linear address, that goes to CR2.
    pub address: Option<VirtAddr>,
    /// For #DB: bits that are OR-ed into DR6 (positive polarity).
    pub dr6: u64,
}

impl Exception {
    /// A fault without an error code.
    #[must_use]
    pub const fn fault(vector: Vector) -> Self {
        Self {
            vector,
            error_code: None,
            kind: EventType::Fault,
            address: None,
            dr6: 0,
        }
    }

    /// A fault with an error code.
    #[must_use]
    pub const fn with_code(vector: Vector, code: u32) -> Self {
        Self {
            error_code: Some(code),
            ..Self::fault(vector)
        }
    }

    /// #UD.
    #[must_use]
    pub const fn ud() -> Self {
        Self::fault(Vector::UD)
    }

    /// #GP(`code`).
    #[must_use]
    pub const fn gp(code: u32) -> Self {
        Self::with_code(Vector::GP, code)
    }

    /// #SS(`code`).
    #[must_use]
    pub const fn ss(code: u32) -> Self {
        Self::with_code(Vector::SS, code)
    }

    /// #PF at `address`.
    #[must_use]
    pub const fn pf(code: u32, address: VirtAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::with_code(Vector::PF, code)
        }
    }
}

/// Why microcode could not complete an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trap {
    /// The architecture says: this exception. Nothing has changed.
    Exception(Exception),
    /// Not modelled: the run stops and says so; the text names what.
    NotModelled(String),
}

impl From<Exception> for Trap {
    fn from(e: Exception) -> Self {
        Self::Exception(e)
    }
}
