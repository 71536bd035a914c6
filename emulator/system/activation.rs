//! Deliveries that have not been resumed, and whose frame bytes are whose.

/// Deliveries that have not been resumed.
#[derive(Clone, Debug, Default)]
pub struct Activations {}
