//! The program that is measured, with its strategies and sizes defined.

use super::error::MatrixError;
use super::strategy::Strategy;
use crate::arch::{PhysAddr, VirtAddr};
use crate::load::{Define, DefineValue, Image, LoadError};
use crate::machine::{Machine, MachineConfig, TimeMode};
use crate::sweep::SweepError;

/// Makes the program's image with these definitions.
pub type Open<'a> = dyn Fn(&[Define]) -> Result<Image, LoadError> + Sync + 'a;

/// The RAM that a run with these definitions is given: room for a few page tables for each task,
/// mapping and fork, whatever they are called.
#[must_use]
fn ram(define: &[Define]) -> u64 {
    const LEAST: u64 = 64 << 20;
    const EACH: u64 = 16 << 10;
    // That many fit into the least.
    const FEW: u64 = 256;
    let all = define.iter().fold(0u64, |sum, d| match d.value() {
        DefineValue::Number(n) => sum.saturating_add(*n),
        DefineValue::Word(_) => sum,
    });
    if all < FEW {
        return LEAST;
    }
    let more = all.saturating_mul(EACH);
    let more = more.checked_next_multiple_of(1 << 20);
    LEAST.saturating_add(more.unwrap_or(u64::MAX))
}

/// The program with everything defined.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its image.
    pub image: Image,
    /// The command that runs it.
    pub command: Vec<String>,
    /// What it runs on.
    pub config: MachineConfig,
}

/// `PAGES=lazy NMI=naive`.
fn shown(define: &[Define]) -> String {
    let all: Vec<String> = define.iter().map(ToString::to_string).collect();
    all.join(" ")
}

/// Definitions of a strategy pair, and `more` of them.
fn definitions(
    pages: &Strategy,
    nmi: &Strategy,
    more: Vec<Define>,
) -> Result<Vec<Define>, MatrixError> {
    let mut all = vec![
        Define::word("PAGES", pages.word)?,
        Define::word("NMI", nmi.word)?,
    ];
    all.extend(more);
    Ok(all)
}

impl Subject {
    /// Makes it. `program` is how the command names it, and what else it needs.
    pub(super) fn open(
        open: &Open<'_>,
        program: &[String],
        (pages, nmi): (&Strategy, &Strategy),
        more: Vec<Define>,
    ) -> Result<Self, MatrixError> {
        let define = definitions(pages, nmi, more)?;
        let image = open(&define).map_err(|error| MatrixError::Load {
            definitions: shown(&define),
            error,
        })?;
        let config = MachineConfig {
            ram_size: ram(&define),
            time: TimeMode::Frozen,
            ..MachineConfig::default()
        };
        let mut command = vec!["iretrace".to_owned(), "run".to_owned()];
        command.extend_from_slice(program);
        for define in &define {
            command.extend(["--define".to_owned(), define.to_string()]);
        }
        if config.ram_size != MachineConfig::default().ram_size {
            let mib = format!("{}M", config.ram_size >> 20);
            command.extend(["--ram".to_owned(), mib]);
        }
        Ok(Self {
            image,
            command,
            config,
        })
    }

    /// What messages name it by.
    #[must_use]
    pub fn definitions(&self) -> String {
        shown(&self.image.define)
    }

    /// A machine with it at reset.
    pub(super) fn machine(&self) -> Result<Machine, SweepError> {
        let mut machine = Machine::new(self.config.clone())?;
        machine.load(&self.image)?;
        Ok(machine)
    }

    /// An error of a sweep, with what was defined.
    pub(super) fn failed(&self, error: impl Into<SweepError>) -> MatrixError {
        MatrixError::Sweep {
            definitions: self.definitions(),
            error: error.into(),
        }
    }

    /// The address of a symbol that the program must have.
    pub(super) fn symbol(&self, name: &str) -> Result<VirtAddr, MatrixError> {
        self.image.resolve(name).map_err(|error| MatrixError::Load {
            definitions: self.definitions(),
            error,
        })
    }

    /// Where the work of an NMI begins, if the program says so.
    pub(super) fn nmi_body(&self) -> Option<(&'static str, VirtAddr)> {
        ["nmi_body", "nmi_touch"]
            .into_iter()
            .find_map(|name| Some((name, self.image.resolve(name).ok()?)))
    }

    /// The eight bytes at a symbol of the image, whatever the page tables are: where they were loaded.
    pub(super) fn quad(&self, machine: &Machine, name: &str) -> Option<u64> {
        let at = self.image.resolve(name).ok()?;
        let segment = self.image.segments.iter().find(|s| s.contains(at))?;
        let phys = segment
            .paddr
            .0
            .wrapping_add(at.0.wrapping_sub(segment.vaddr.0));
        let mut bytes = [0; 8];
        machine
            .read_physical(PhysAddr(phys), &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_grows_with_what_needs_page_tables() {
        let tasks = |n| [Define::number("TASKS", n).unwrap()];
        assert_eq!(ram(&[]), 64 << 20);
        assert_eq!(ram(&tasks(100)), 64 << 20);
        assert_eq!(ram(&tasks(10_000)), (64 + 157) << 20);
        assert_eq!(ram(&tasks(u64::MAX)), u64::MAX);
    }
}
