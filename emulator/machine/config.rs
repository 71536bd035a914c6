//! What a machine is made of.

use thiserror::Error;

use crate::arch::{CpuModel, Vendor};
use crate::engine::EngineError;
use crate::load::limits::DEFAULT_RAM;

/// The value that a guest writes to port 0xf4 to report success, as the bootimage crate has it.
pub const SUCCESS_VALUE: u32 = 0x10;

/// Instructions after which a run ends unless it is told otherwise.
pub const DEFAULT_MAX_INSNS: u64 = 10_000_000_000;

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
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            ram_size: DEFAULT_RAM,
            cpu: CpuModel::of(Vendor::Intel),
            max_insns: DEFAULT_MAX_INSNS,
            success_value: SUCCESS_VALUE,
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
