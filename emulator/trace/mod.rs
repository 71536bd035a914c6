//! The event model and its formats.

pub mod event;
pub mod filter;
pub mod header;
pub mod jsonl;
mod number;
pub mod reader;
#[cfg(test)]
mod samples;
pub mod schema;
pub mod shared;
pub mod sink;
pub mod symbols;
pub mod text;

pub use event::{
    Boundary, Delivery, DeliveryId, Direction, Event, EventClass, EventKind, FrameValues, HeldBy,
    Invalidation, Return, Source, UnblockedBy, Walk, WalkOutcome, WalkStep,
};
pub use filter::{DEFAULT_CLASSES, FilterError, parse_events};
pub use header::{Header, ImageInfo, TRACE_VERSION, fnv1a, image_hash};
pub use jsonl::{JsonEncoder, JsonlWriter};
pub use reader::{ReadError, TraceReader, TracedEvent, Truncated};
pub use schema::TRACE_SCHEMA;
pub use shared::SharedEvents;
pub use sink::{EventSink, Filtered, RecordWriter};
pub use symbols::{NoSymbols, Symbols};
pub use text::{TextOptions, TextRenderer, TextWriter};
