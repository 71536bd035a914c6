//! What the checks must be told.

use crate::arch::{Vector, VirtAddr};

/// What the checks cannot know by themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckConfig {
    /// Where the work of an NMI begins: `nmi-unserved` is silent without it.
    pub nmi_body: Option<VirtAddr>,
    /// Vectors whose handlers must leave no trace in the interrupted code, beside those of
    /// which this is known: NMI, #MC, external interrupts, injected #DB and #BP, and #PF.
    pub transparent: Vec<Vector>,
}
