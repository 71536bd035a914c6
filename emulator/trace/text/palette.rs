//! Colours of the text format.

use anstyle::{AnsiColor, Reset, Style};

/// What a style stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    /// The state of the NMI machinery, and NMI deliveries.
    Nmi,
    /// What breaks things: unblocked early, a frame overwritten, a failed delivery.
    Alarm,
    /// Exceptions.
    Fault,
    /// Returns.
    Return,
    /// What matters least: numbers at the edge, walks.
    Quiet,
    /// The end.
    Stop,
}

const STYLES: [(Tone, Style); 6] = [
    (Tone::Nmi, AnsiColor::Yellow.on_default()),
    (Tone::Alarm, AnsiColor::Red.on_default().bold()),
    (Tone::Fault, AnsiColor::Magenta.on_default()),
    (Tone::Return, AnsiColor::Green.on_default()),
    (Tone::Quiet, Style::new().dimmed()),
    (Tone::Stop, Style::new().bold()),
];

/// The escape sequences, or nothing.
#[derive(Debug)]
pub(super) struct Palette {
    open: [String; STYLES.len()],
    close: String,
}

impl Palette {
    /// With colours, or without.
    pub(super) fn new(color: bool) -> Self {
        let text = |s: String| if color { s } else { String::new() };
        Self {
            open: STYLES.map(|(_, style)| text(style.render().to_string())),
            close: text(Reset.render().to_string()),
        }
    }

    /// What begins `tone`.
    pub(super) fn open(&self, tone: Tone) -> &[u8] {
        STYLES
            .iter()
            .position(|(t, _)| *t == tone)
            .map_or(b"", |i| self.open[i].as_bytes())
    }

    /// What ends any tone.
    pub(super) fn close(&self) -> &[u8] {
        self.close.as_bytes()
    }
}
