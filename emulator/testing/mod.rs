//! Tests of handlers.

mod build;
mod case;
mod code;
mod context;
mod defect;
mod error;
pub mod expect;
mod failure;
pub mod layout;
mod mapper;
mod observed;
mod place;
mod raise;
mod register;
mod run;
mod session;
mod stub;
mod survive;
mod tables;
mod tape;
mod watch;

pub use case::{Arrange, Case, DEFAULT_LIMIT, Gate, OnCall, OnFault, Rights, Until};
pub use code::{Code, Program};
pub use context::{Context, Gs, KERNEL_FLAGS, Mode, USER_FLAGS};
pub use defect::{Defect, DefectKind};
pub use error::TestError;
pub use expect::{Expectation, FrameWanted, Restored};
pub use failure::{Failure, Problem};
pub use observed::{Depth, Observed, Root, Write};
pub use place::Place;
pub use raise::Raise;
pub use register::Register;
pub use run::Run;
pub use session::{End, Session};
pub use stub::{CLOBBERED_CR2, Call, Stub, clobbered};
