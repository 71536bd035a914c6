//! What each exception vector is: its class for double faults and whether it pushes an
//! error code (SDM vol. 3, 6.15 and table 6-5; APM vol. 2, 8.2).

use super::{EventType, Vector, Vendor};

/// The class of an event in the double-fault matrix (SDM vol. 3, table 6-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultClass {
    /// Everything else, interrupts included.
    Benign = 0,
    /// #DE, #TS, #NP, #SS, #GP, #CP; on AMD #VC and #SX too.
    Contributory = 1,
    /// #PF and #VE.
    PageFault = 2,
    /// #DF itself.
    DoubleFault = 3,
}

/// One vector's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VectorInfo {
    /// The vector.
    pub vector: Vector,
    /// Its class as a hardware exception.
    pub class: FaultClass,
    /// Whether its hardware exception pushes an error code.
    pub has_error_code: bool,
    /// The vendor that alone has it.
    pub only: Option<Vendor>,
}

const fn row(vector: Vector, class: FaultClass, has_error_code: bool) -> VectorInfo {
    VectorInfo {
        vector,
        class,
        has_error_code,
        only: None,
    }
}

const fn of(only: Vendor, row: VectorInfo) -> VectorInfo {
    VectorInfo {
        only: Some(only),
        ..row
    }
}

use FaultClass::{Benign, Contributory, DoubleFault, PageFault};

/// The vectors that differ from the rule "benign, no error code".
#[rustfmt::skip]
const ROWS: [VectorInfo; 12] = [
    row(Vector::DE, Contributory, false),
    row(Vector::DF, DoubleFault, true),
    row(Vector::TS, Contributory, true),
    row(Vector::NP, Contributory, true),
    row(Vector::SS, Contributory, true),
    row(Vector::GP, Contributory, true),
    row(Vector::PF, PageFault, true),
    row(Vector::AC, Benign, true),
    of(Vendor::Intel, row(Vector::VE, PageFault, false)),
    row(Vector::CP, Contributory, true),
    of(Vendor::Amd, row(Vector::VC, Contributory, true)),
    of(Vendor::Amd, row(Vector::SX, Contributory, true)),
];

/// The row of `vector` for `vendor`.
#[must_use]
pub fn vector_info(vector: Vector, vendor: Vendor) -> VectorInfo {
    ROWS.into_iter()
        .find(|r| r.vector == vector && r.only.is_none_or(|only| only == vendor))
        .unwrap_or(row(vector, Benign, false))
}

/// The class of an event: only what hardware raises counts by its vector; interrupts and
/// software interrupts are benign whatever their vector.
#[must_use]
pub fn fault_class(vector: Vector, kind: EventType, vendor: Vendor) -> FaultClass {
    match kind {
        EventType::Fault | EventType::Trap | EventType::Abort => vector_info(vector, vendor).class,
        EventType::External
        | EventType::Nmi
        | EventType::SoftwareInterrupt
        | EventType::SoftwareException
        | EventType::PrivilegedSoftwareException => Benign,
    }
}
