//! What a machine is made of.

use thiserror::Error;

use super::clock::TimeMode;
use crate::arch::{CpuModel, Vendor};
use crate::engine::EngineError;
use crate::load::limits::DEFAULT_RAM;

/// The value that a guest writes to port 0xf4 to report success, as the bootimage crate has it.
pub const SUCCESS_VALUE: u32 = 0x10;

/// Instructions after which a run ends unless it is told otherwise.
pub const DEFAULT_MAX_INSNS: u64 = 10_000_000_000;

/// Which cached translations there are. The manual lets a processor keep a translation until it is
/// invalidated, and lets it keep none (SDM vol. 3, 4.10.2 and 4.10.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlbMode {
    /// Every translation is used until it is invalidated.
    #[default]
    Model,
    /// None outlives the instruction, or the iteration of a REP string instruction, that made it.
    None,
}

impl TlbMode {
    /// The word for it on the command line and in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::None => "none",
        }
    }
}

/// Everything that a machine's behaviour depends on, beside the image and the schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineConfig {
    /// Bytes of RAM, a multiple of 4096.
    pub ram_size: u64,
    /// The CPU.
    pub cpu: CpuModel,
    /// Instructions after which a run ends; `u64::MAX`: never.
    pub max_insns: u64,
    /// The debug-exit value that means success.
    pub success_value: u32,
    /// Cached translations.
    pub tlb: TlbMode,
    /// Time in the handlers of injected events.
    pub time: TimeMode,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            ram_size: DEFAULT_RAM,
            cpu: CpuModel::of(Vendor::Intel),
            max_insns: DEFAULT_MAX_INSNS,
            success_value: SUCCESS_VALUE,
            tlb: TlbMode::default(),
            time: TimeMode::default(),
        }
    }
}

/// Why a machine cannot be made.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
