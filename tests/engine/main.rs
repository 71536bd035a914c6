//! Conformance tests of the engine: each proves something that the emulator relies on and that
//! the Unicorn version in use must show again.

mod code_changes;
mod counting;
mod exceptions;
mod faults;
mod fetch;
mod fills;
mod hooks;
mod modes;
mod snapshots;
mod stores;
mod support;
mod suspect_code;
