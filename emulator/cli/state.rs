//! `--save` and `--load`: a machine's state in a file.

use std::path::Path;

use iretrace::load::Image;
use iretrace::load::error::printable;
use iretrace::machine::{Machine, MachineConfig, SavedError, SavedState};

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::files::Output;
use super::image_args::describe;

fn refused(path: &Path, error: SavedError) -> Failure {
    match error {
        SavedError::Machine(e) => e.into(),
        error => Failure {
            code: ExitCode::BadInput,
            message: format!("{}: {error}", printable(&path.to_string_lossy())),
        },
    }
}

/// Reads a saved state.
pub fn read(path: &Path) -> Result<SavedState, Failure> {
    let bytes = iretrace::load::read_file(path)?;
    SavedState::from_bytes(bytes).map_err(|e| refused(path, e))
}

/// A machine with `image` loaded, or in the state that was read from the file.
pub fn machine(
    config: &MachineConfig,
    image: &Image,
    state: Option<(&Path, &SavedState)>,
) -> Result<Machine, Failure> {
    if let Some((path, state)) = state {
        return Machine::from_saved(config.clone(), &describe(image), state)
            .map_err(|e| refused(path, e));
    }
    let mut machine = Machine::new(config.clone())?;
    machine.load(image)?;
    Ok(machine)
}

/// Writes the state of `machine`.
pub fn write(machine: &mut Machine, image: &Image, file: Output) -> Result<(), Failure> {
    let bytes = machine
        .save_state(&describe(image))
        .map_err(|e| refused(file.path(), e))?;
    file.write(&bytes)
}
