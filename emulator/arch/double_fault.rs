//! What becomes of an exception raised by the delivery of another event
//! (SDM vol. 3, 6.15, Interrupt 8: table 6-5).

use super::vector_info::FaultClass;

/// What is delivered when delivering the first event raised the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Combination {
    /// The second alone; it is the first one for what its own delivery raises.
    Serial,
    /// #DF(0).
    DoubleFault,
    /// Nothing: the processor shuts down.
    Shutdown,
}

/// Rows: the class of the first event; columns: of the second (benign, contributory,
/// page fault). No delivery raises #DF itself.
#[rustfmt::skip]
const MATRIX: [[Combination; 3]; 4] = {
    use Combination::{DoubleFault as Double, Serial, Shutdown};
    [
        /* benign       */ [Serial, Serial, Serial],
        /* contributory */ [Serial, Double, Serial],
        /* page fault   */ [Serial, Double, Double],
        /* #DF          */ [Serial, Shutdown, Shutdown],
    ]
};

/// Combines the event that was being delivered with the exception that this raised.
#[must_use]
pub const fn combine(first: FaultClass, second: FaultClass) -> Combination {
    match second {
        FaultClass::DoubleFault => Combination::Shutdown,
        _ => MATRIX[first as usize][second as usize],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::vector_info::fault_class;
    use crate::arch::{EventType, Vector, Vendor};

    /// SDM vol. 3, 6.15, "Interrupt 8": the classes and the table, typed from the manual's
    /// lists of vectors rather than from the classes above.
    #[test]
    fn matrix_over_vectors() {
        let contributory = [0u8, 10, 11, 12, 13, 21];
        let page_faults = [14u8, 20];
        for first in 0..32u8 {
            for second in (0..32u8).filter(|&v| v != 8) {
                let class = |v| fault_class(Vector(v), EventType::Fault, Vendor::Intel);
                let second_bad = contributory.contains(&second) || page_faults.contains(&second);
                let want = if first == 8 && second_bad {
                    Combination::Shutdown
                } else if (contributory.contains(&first) && contributory.contains(&second))
                    || (page_faults.contains(&first) && second_bad)
                {
                    Combination::DoubleFault
                } else {
                    Combination::Serial
                };
                assert_eq!(
                    combine(class(first), class(second)),
                    want,
                    "{first} {second}"
                );
            }
        }
    }

    /// APM vol. 2, 8.2.9: #VC and #SX are contributory on AMD, and unknown to Intel.
    #[test]
    fn amd_adds_vc_and_sx() {
        for v in [Vector::VC, Vector::SX] {
            let class = |vendor| fault_class(v, EventType::Fault, vendor);
            assert_eq!(class(Vendor::Amd), FaultClass::Contributory);
            assert_eq!(class(Vendor::Intel), FaultClass::Benign);
        }
    }

    /// Interrupts are benign whatever their vector is.
    #[test]
    fn interrupts_are_benign() {
        for v in [8u8, 10, 13, 14] {
            for kind in [EventType::External, EventType::SoftwareInterrupt] {
                assert_eq!(
                    fault_class(Vector(v), kind, Vendor::Intel),
                    FaultClass::Benign
                );
            }
        }
    }
}
