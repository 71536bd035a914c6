//! Conformance tests of the engine: each proves something that the emulator relies on and that
//! the Unicorn version in use must show again.

mod counting;
mod exceptions;
mod fetch;
mod fills;
mod stores;
mod support;
