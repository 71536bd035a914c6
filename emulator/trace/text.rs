//! The text format, for people.
//!
//! One row an event, with more lines below it where there is more to say:
//!
//! ```text
//!       512     main+0x31                NMI raised by the schedule
//!                                        NMIs are blocked until the next IRET
//!                                        NMI#1 delivered to nmi_entry on IST1
//!                                          frame 0xfffffe0000001fd8  rsp 0xffffffff80010f00  cs 0x8  ss 0x10
//!                                          returns to main+0x31 with rflags 0x10246 [RF IF ZF PF]
//!       517     | nmi_entry+0x12         walk: write 0xffffc90000002008: #PF, not present
//!               |                          PML4E 0x1c90         0x2063             P W A
//!               |                          PDPTE 0x2000         0x3007             P W U  (A set)
//!               |                          PDE   0x3000         0x4067             P W U A
//!               |                          PTE   0x4010         0x0                not present
//!               |                        #PF raised: write of 0xffffc90000002008, not present
//!               |                        #PF#1 (fault) delivered to pf_entry on this stack
//! ```
//!
//! On the left stand the icount with `.sub`, the CPL when it is not 0, and the place.
//! The place is indented by the number of unresumed deliveries. All three are left out where
//! they are those of the row above. A line is at most [`WIDTH`] columns wide unless the
//! guest's own text, or an instruction's, is longer.

mod delivery;
mod page;
mod palette;
mod state;
mod walk;
mod words;

use std::io::{self, Write};

use super::event::{Boundary, Delivery, Event, EventKind, FrameValues, WalkOutcome};
use super::header::Header;
use super::sink::{EventSink, RecordWriter};
use super::symbols::Symbols;
use crate::arch::VirtAddr;
use page::{Names, Page};
use palette::Palette;

/// Columns that a line should have at most.
pub const WIDTH: usize = 110;

/// How the text looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TextOptions {
    /// ANSI colours. Whether the output is a terminal, and `NO_COLOR`, are for the caller to see.
    pub color: bool,
    /// Walks that succeed too, with the levels that they changed; else only those that fault.
    pub mapped_walks: bool,
    /// Every level of every walk.
    pub full_walks: bool,
}

/// How many deliveries the text remembers, to say in one line that an IRET pops what was pushed.
const REMEMBERED: usize = 64;

/// What a delivery pushed, and where.
#[derive(Clone, Copy, Debug)]
struct Pushed {
    serial: u64,
    frame: VirtAddr,
    values: FrameValues,
}

/// What the rows above say already.
#[derive(Debug, Default)]
struct Memory {
    /// The place and time of the row above.
    row: Option<(Boundary, VirtAddr, u8, u16)>,
    /// The last deliveries, at their serial number modulo [`REMEMBERED`].
    pushed: Vec<Option<Pushed>>,
}

impl Memory {
    fn remember(&mut self, d: &Delivery) {
        self.pushed.resize(REMEMBERED, None);
        self.pushed[(d.id.serial % REMEMBERED as u64) as usize] = Some(Pushed {
            serial: d.id.serial,
            // Where RIP is: above the error code.
            frame: VirtAddr(
                d.frame
                    .0
                    .wrapping_add(if d.error_code.is_some() { 8 } else { 0 }),
            ),
            values: d.pushed,
        });
    }

    fn pushed_by(&self, serial: u64) -> Option<&Pushed> {
        self.pushed
            .get((serial % REMEMBERED as u64) as usize)?
            .as_ref()
            .filter(|p| p.serial == serial)
    }
}

/// Turns events into rows. What it has shown before decides what it leaves out, so events must
/// be given in their order.
#[derive(Debug)]
pub struct TextRenderer<'s> {
    names: Names<'s>,
    options: TextOptions,
    palette: Palette,
    memory: Memory,
}

impl<'s> TextRenderer<'s> {
    /// Names addresses with `symbols`.
    pub fn new(symbols: impl Symbols + 's, options: TextOptions) -> Self {
        Self {
            names: Names::new(Box::new(symbols)),
            options,
            palette: Palette::new(options.color),
            memory: Memory::default(),
        }
    }

    /// Appends the event's lines to `out`.
    pub fn render(&mut self, event: &Event, out: &mut Vec<u8>) {
        if let EventKind::Walk(walk) = &event.kind
            && matches!(walk.outcome, WalkOutcome::Mapped { .. })
            && !self.options.mapped_walks
            && !self.options.full_walks
        {
            return;
        }
        // A delivery's row stands outside the handler that it enters.
        let depth = match event.kind {
            EventKind::Delivered(_) => event.depth.saturating_sub(1),
            _ => event.depth,
        };
        let row = (event.at, event.rip, event.cpl, depth);
        let repeated = self.memory.row.replace(row) == Some(row);
        let mut page = Page::new(out, &mut self.names, &self.palette, depth);
        if repeated {
            page.blank_place();
        } else {
            page.place(event.at, event.rip, event.cpl);
        }
        match &event.kind {
            EventKind::Exception {
                vector,
                kind,
                error_code,
                cr2,
            } => {
                delivery::exception(&mut page, *vector, *kind, *error_code, *cr2);
                page.source_line(event.rip);
            }
            EventKind::Delivered(d) => {
                delivery::delivered(&mut page, event, d);
                self.memory.remember(d);
            }
            EventKind::DeliveryFailed {
                vector,
                raised,
                error_code,
                address,
                then,
            } => delivery::failed(&mut page, *vector, *raised, *error_code, *address, *then),
            EventKind::FrameOverwritten { frame, by } => {
                delivery::overwritten(&mut page, *frame, *by);
            }
            EventKind::Iret(r) => {
                let pushed = r.of.and_then(|id| self.memory.pushed_by(id.serial));
                delivery::returned(&mut page, event, r, pushed);
            }
            EventKind::Walk(w) => walk::walk(&mut page, w, self.options.full_walks),
            kind => state::other(&mut page, event, kind),
        }
        page.end();
    }
}

/// Writes a trace as text.
#[derive(Debug)]
pub struct TextWriter<'s, W: Write> {
    renderer: TextRenderer<'s>,
    out: RecordWriter<W>,
}

impl<'s, W: Write> TextWriter<'s, W> {
    /// Writes to `out`.
    pub fn new(out: RecordWriter<W>, symbols: impl Symbols + 's, options: TextOptions) -> Self {
        Self {
            renderer: TextRenderer::new(symbols, options),
            out,
        }
    }

    /// Writes what ran, and the command that repeats it, as lines that begin with `#`.
    ///
    /// # Errors
    /// The output's.
    pub fn header(&mut self, header: &Header) -> io::Result<()> {
        self.out.record(|b| page::header(b, header))
    }
}

impl<W: Write> EventSink for TextWriter<'_, W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let renderer = &mut self.renderer;
        self.out.record(|b| renderer.render(event, b))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
