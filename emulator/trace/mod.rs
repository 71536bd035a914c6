//! The event model and its formats.

pub mod event;

pub use event::{
    Boundary, Delivery, DeliveryId, Direction, Event, EventClass, EventKind, FrameValues, HeldBy,
    Invalidation, Return, Source, UnblockedBy, Walk, WalkOutcome, WalkStep,
};
