//! What the engine may ask while guest code runs.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

use super::log::{Log, Place};
use crate::arch::VirtAddr;
use crate::device::DeviceBus;
use crate::engine::{Grant, Source};
use crate::system::TlbView;
use crate::system::page_hash::PageMap;
use crate::trace::{Boundary, Event, EventKind};

/// The cached translations and the trace, for the time of one run of the engine.
pub(super) struct View<'a> {
    pub(super) tlb: TlbView<'a>,
    pub(super) devices: &'a DeviceBus,
    pub(super) log: &'a mut Log,
    pub(super) formatter: &'a mut InsnText,
    pub(super) bitness: u32,
    pub(super) cpl: u8,
    pub(super) depth: u16,
    /// Where the instruction at which the run begins began.
    pub(super) begin: Boundary,
}

impl Source for View<'_> {
    fn grant(&self, page: VirtAddr, cpl: u8, ac: bool) -> Option<Grant> {
        let grant = self.tlb.grant(page, cpl, ac)?;
        if self.devices.claims_frame(grant.phys) {
            return None;
        }
        Some(Grant {
            phys: grant.phys,
            read: grant.read,
            write: grant.write,
            exec: grant.exec,
        })
    }

    fn instruction(&mut self, rip: VirtAddr, bytes: &[u8], icount: u64) {
        let kind = self.formatter.event(self.bitness, rip, bytes);
        let sub = if icount == self.begin.icount {
            self.begin.sub
        } else {
            0
        };
        let at = Boundary { icount, sub };
        self.log.push(Event {
            at,
            rip,
            cpl: self.cpl,
            depth: self.depth,
            kind,
        });
    }
}

/// Instructions as text, kept by address.
pub(super) struct InsnText {
    formatter: GasFormatter,
    known: PageMap<(u32, Box<[u8]>, EventKind)>,
}

impl Default for InsnText {
    fn default() -> Self {
        Self {
            formatter: GasFormatter::new(),
            known: HashMap::default(),
        }
    }
}

const KNOWN: usize = 1 << 16;

impl InsnText {
    /// The `insn` event of the instruction with these bytes in code of `bitness` bits.
    pub(super) fn event(&mut self, bitness: u32, rip: VirtAddr, bytes: &[u8]) -> EventKind {
        if let Some((mode, known, event)) = self.known.get(&rip.0)
            && *mode == bitness
            && **known == *bytes
        {
            return event.clone();
        }
        let mut text = String::new();
        let insn = Decoder::with_ip(bitness, bytes, rip.0, DecoderOptions::NONE).decode();
        self.formatter.format(&insn, &mut text);
        let hex = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let event = EventKind::Insn { bytes: hex, text };
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        let known = (bitness, bytes.into(), event.clone());
        self.known.insert(rip.0, known);
        event
    }
}

impl Log {
    /// Emits the `insn` event of an instruction that microcode executed at the present place.
    pub(super) fn instruction(&mut self, place: Place, kind: EventKind) {
        let Place {
            at,
            rip,
            cpl,
            depth,
        } = place;
        self.push(Event {
            at,
            rip: VirtAddr(rip),
            cpl,
            depth,
            kind,
        });
    }
}
