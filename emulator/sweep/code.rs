//! Instructions of the image as a report shows them, so that it can be made without the image.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

use super::report::Line;
use crate::arch::VirtAddr;
use crate::load::Image;
use crate::trace::Symbols as _;

/// Lines without counts, by address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Code(BTreeMap<u64, Line>);

impl Code {
    /// Adds the instructions at `rips`; the new ones are returned, in order.
    pub fn add(&mut self, image: &Image, rips: impl IntoIterator<Item = u64>) -> Vec<Line> {
        let mut new = BTreeMap::new();
        for rip in rips {
            if !self.0.contains_key(&rip) {
                new.entry(rip).or_insert_with(|| line(image, rip));
            }
        }
        let lines = new.values().cloned().collect();
        self.0.append(&mut new);
        lines
    }

    /// Takes lines that were made before.
    pub fn extend(&mut self, lines: impl IntoIterator<Item = Line>) {
        for mut line in lines {
            line.counts.clear();
            self.0.insert(line.rip.0, line);
        }
    }

    /// All, by address.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.0.values()
    }

    /// The line at an address.
    #[must_use]
    pub fn get(&self, rip: u64) -> Option<&Line> {
        self.0.get(&rip)
    }

    /// Symbol and offset of an address.
    #[must_use]
    pub fn place(&self, rip: u64) -> String {
        match self.get(rip) {
            Some(line) => line.place.clone(),
            None => VirtAddr(rip).to_string(),
        }
    }

    /// The length of the instruction at `rip`.
    #[must_use]
    pub fn length(&self, rip: u64) -> u64 {
        self.get(rip)
            .map_or(1, |l| (l.bytes.len() as u64 / 2).max(1))
    }
}

/// The bytes of the image at a linear address.
fn bytes_at(image: &Image, at: u64) -> Vec<u8> {
    image
        .segments
        .iter()
        .find(|s| s.contains(VirtAddr(at)))
        .map(|s| {
            let from = at.wrapping_sub(s.vaddr.0) as usize;
            let from = from.min(s.data.len());
            s.data[from..s.data.len().min(from + 15)].to_vec()
        })
        .unwrap_or_default()
}

fn line(image: &Image, rip: u64) -> Line {
    let bytes = bytes_at(image, rip);
    let insn = Decoder::with_ip(64, &bytes, rip, DecoderOptions::NONE).decode();
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_branch_leading_zeros(false);
    options.set_uppercase_hex(false);
    if insn.is_invalid() {
        text.push_str("(not in the image)");
    } else {
        formatter.format(&insn, &mut text);
        let target = VirtAddr(insn.near_branch_target());
        if target.0 != 0
            && let Some(name) = image.name(target)
        {
            text += &format!(" <{name}>");
        }
    }
    let len = insn.len().min(bytes.len());
    let label = match image.symbols.name(VirtAddr(rip)) {
        Some((name, 0)) => Some(name.to_owned()),
        _ => None,
    };
    Line {
        rip: VirtAddr(rip),
        label,
        place: image
            .name(VirtAddr(rip))
            .unwrap_or_else(|| VirtAddr(rip).to_string()),
        bytes: bytes[..len].iter().map(|b| format!("{b:02x}")).collect(),
        text,
        counts: Vec::new(),
    }
}
