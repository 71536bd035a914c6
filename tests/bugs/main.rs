//! Each program in `programs/bugs` is found out by the one command of its header, at the place that
//! its mechanism says, and its twin is not.

#[path = "../checks/command.rs"]
mod command;
mod runs;
mod sweeps;
mod tries;
