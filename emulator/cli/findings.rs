//! Findings: as a compiler would say them, and as JSON.

use std::collections::BTreeSet;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use iretrace::arch::VirtAddr;
use iretrace::check::{Finding, Findings, Policy, Severity};
use iretrace::load::Image;
use iretrace::printable::quoted;
use iretrace::trace::{Symbols as _, TextOptions, TextRenderer};
use serde_json::{Value, json};

use super::failure::Failure;
use super::files::Output;
use super::output::Color;
use super::talk;

/// How findings are shown.
#[derive(Debug)]
pub struct Shown<'a> {
    /// What names the places.
    pub image: &'a Image,
    /// What is done with them.
    pub policy: &'a Policy,
    /// The command that finds them again.
    pub again: Vec<String>,
    /// Notes in full, not just their count.
    pub notes: bool,
    /// Colours.
    pub color: Color,
}

impl Shown<'_> {
    /// Says all of them on standard error; whether one is denied.
    pub fn say(&self, findings: &Findings) -> bool {
        let mut text = Vec::new();
        let mut notes = 0;
        let mut repeated = 0;
        let mut shown = BTreeSet::new();
        for finding in findings.iter() {
            match self.policy.severity(finding) {
                None => {}
                Some(Severity::Note) if !self.notes && !self.policy.denies(finding) => notes += 1,
                // A loop finds the same again and again.
                Some(severity) if shown.insert((finding.rule, severity, finding.rip.0)) => {
                    self.render(finding, severity, &mut text);
                }
                Some(_) => repeated += 1,
            }
        }
        // Nobody is left to be told if standard error is closed.
        let _ = std::io::stderr().write_all(&text);
        if notes != 0 {
            let s = if notes == 1 { "" } else { "s" };
            talk::note(&format!("{notes} note{s} beside; --notes shows them"));
        }
        let more = repeated + findings.dropped();
        if more != 0 {
            let s = if more == 1 { "" } else { "s" };
            talk::note(&format!("{more} more finding{s} at the same places"));
        }
        findings.iter().any(|f| self.policy.denies(f))
    }

    /// One finding, in a few lines.
    pub fn render(&self, finding: &Finding, severity: Severity, out: &mut Vec<u8>) {
        let color = self.color.wanted_on_stderr();
        let tone = match severity {
            Severity::Error => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
            Severity::Note => AnsiColor::Green,
        };
        let (strong, edge) = if color {
            (
                tone.on_default().bold(),
                AnsiColor::Blue.on_default().bold(),
            )
        } else {
            (Style::new(), Style::new())
        };
        let mut line = |text: String| out.extend_from_slice(text.as_bytes());
        line(format!(
            "{strong}{severity}[{}]{strong:#}: {}\n",
            finding.rule, finding.message
        ));
        line(format!(
            "  {edge}-->{edge:#} {}, after {} instructions\n",
            self.place(finding.rip),
            finding.at
        ));
        let options = TextOptions {
            color,
            ..TextOptions::default()
        };
        let mut renderer = TextRenderer::new(self.image, options);
        for event in &finding.events {
            let mut rows = Vec::new();
            renderer.render(event, &mut rows);
            for row in String::from_utf8_lossy(&rows).lines() {
                line(format!("   {edge}|{edge:#} {}\n", row.trim_end()));
            }
        }
        line(format!(
            "   {edge}={edge:#} again: {}\n",
            quoted(&self.again)
        ));
        line(format!(
            "   {edge}={edge:#} help: iretrace explain {}\n",
            finding.rule
        ));
    }

    fn place(&self, at: VirtAddr) -> String {
        let name = self.image.name(at).unwrap_or_else(|| at.to_string());
        match self.image.line(at) {
            Some(line) => format!("{name} ({line})"),
            None => name,
        }
    }

    /// Writes all of them, whatever is shown.
    pub fn write(&self, findings: &Findings, file: Output) -> Result<(), Failure> {
        let list: Vec<Value> = findings
            .iter()
            .filter_map(|f| {
                let severity = self.policy.severity(f)?;
                let mut value = serde_json::to_value(f).unwrap_or(Value::Null);
                value["severity"] = json!(severity);
                value["denied"] = json!(self.policy.denies(f));
                value["symbol"] = json!(self.image.name(f.rip));
                value["line"] = json!(self.image.line(f.rip));
                Some(value)
            })
            .collect();
        let all = json!({
            "version": 1,
            "command": self.again,
            "findings": list,
            "dropped": findings.dropped(),
        });
        file.write(format!("{all:#}\n").as_bytes())
    }
}
