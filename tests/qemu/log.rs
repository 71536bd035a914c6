//! Reads what QEMU writes with `-d int,cpu_reset`.
//!
//! Each event whose delivery begins is a line `N: v=0e e=0002 i=0 cpl=0 IP=0008:RIP pc=… SP=SS:RSP
//! CR2=…`, then the registers; what delivery raises follows as an event of its own. What the
//! firmware does, outside long mode, is left out.

use iretrace::arch::state::gpr::{NAMES, RSP};

use crate::attempt::Attempt;

const RF: u64 = 1 << 16;
const LMA: u64 = 1 << 10;

/// The events in long mode, and whether the last one's delivery ended in a shutdown.
pub fn read(log: &str) -> (Vec<Attempt>, bool) {
    let mut attempts = Vec::new();
    let mut open: Option<Attempt> = None;
    let mut shutdown = false;
    for line in log.lines() {
        if let Some(begun) = event(line) {
            open = Some(begun);
        } else if line.starts_with("Triple fault") {
            shutdown = true;
        } else if let Some(a) = &mut open {
            for (name, value) in fields(line) {
                let value = u64::from_str_radix(value, 16).unwrap_or(0);
                if let Some(n) = NAMES.iter().position(|r| r.eq_ignore_ascii_case(name)) {
                    a.gpr[n] = value;
                } else if name == "RFL" {
                    a.rflags = value & !RF;
                } else if name == "EFER" && value & LMA != 0 {
                    attempts.extend(open.take());
                    break;
                }
            }
        }
    }
    (attempts, shutdown)
}

/// `NAME=VALUE` pairs; QEMU writes `R8 =…`, `EFER=…`.
fn fields(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let (before, after) = rest.split_once('=')?;
        let name = before.trim_end().rsplit(' ').next().unwrap_or_default();
        let end = after.find(' ').unwrap_or(after.len());
        rest = &after[end..];
        Some((name, &after[..end]))
    })
}

/// A line that begins an event.
fn event(line: &str) -> Option<Attempt> {
    let (number, rest) = line.trim_start().split_once(": v=")?;
    number.parse::<u64>().ok()?;
    let rest = format!("v={rest}");
    let mut a = Attempt::default();
    for (name, value) in fields(&rest) {
        let hex = |t: &str| u64::from_str_radix(t, 16).ok();
        let far = |t: &str| {
            let (selector, offset) = t.split_once(':')?;
            Some((hex(selector)? as u16, hex(offset)?))
        };
        match name {
            "v" => a.vector = hex(value)? as u8,
            "e" => a.error_code = hex(value)? as u32,
            "i" => a.software = value != "0",
            "cpl" => a.cpl = hex(value)? as u8,
            "IP" => (a.cs, a.rip) = far(value)?,
            "SP" => (a.ss, a.gpr[RSP]) = far(value)?,
            "CR2" => a.cr2 = Some(hex(value)?),
            _ => {}
        }
    }
    if a.software {
        // INT 14 is no page fault.
        a.cr2 = None;
    }
    Some(a)
}
