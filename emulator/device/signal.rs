//! What a device tells the machine besides the value of a read.

use std::borrow::Cow;

use crate::arch::Vector;
use crate::trace::Source;

/// One thing that the machine must act on, in the order in which the device did it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// An NMI arrives at the CPU.
    Nmi(Source),
    /// A vector was accepted into the local APIC's IRR. It is delivered when
    /// [`Lapic::pending_interrupt`](super::Lapic::pending_interrupt) names it.
    Irq {
        /// The vector, 16 to 255.
        vector: Vector,
        /// Who raised it.
        source: Source,
    },
    /// The guest asks for the end of the run.
    Exit {
        /// What it wrote.
        value: u32,
    },
    /// The guest wrote to a console.
    Console {
        /// The device's [`name`](super::Device::name).
        device: &'static str,
        /// The bytes as written; [`ConsoleLines`](super::ConsoleLines) makes lines of them.
        bytes: Vec<u8>,
    },
    /// The guest wrote a POST code.
    Post(u8),
    /// The device has something to say about an access.
    Report {
        /// The device's name.
        device: &'static str,
        /// How grave it is.
        concern: Concern,
        /// What, in words.
        text: Cow<'static, str>,
    },
}

/// Whose problem a [`Signal::Report`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// Correct, but without the effect that the guest may expect: nobody is there to answer.
    Absent,
    /// The guest did what the manual calls undefined, reserved or invalid. What happened then is
    /// said in the text and is deterministic; another processor may do otherwise.
    Violation,
    /// The manual defines the effect and this device lacks it: the run should stop here.
    NotModelled,
}
