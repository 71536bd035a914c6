//! The strategies: how a kernel's page tables get their shared mappings, and how its NMI handler
//! lives with the page faults that follow.

use thiserror::Error;

use crate::printable::printable;
use crate::suggest::Nearest;

/// One way to do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strategy {
    /// What the program's definition is given: `PAGES=lazy`, `NMI=naive`.
    pub word: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
}

const fn strategy(word: &'static str, about: &'static str) -> Strategy {
    Strategy { word, about }
}

/// How a mapping that was made after a task comes into the task's page tables. The first seven are
/// the systems of the discussion of July 2010, the others its twists.
pub const PAGES: [Strategy; 10] = [
    strategy(
        "lazy",
        "the page-fault handler copies the missing top-level entry from the reference table",
    ),
    strategy(
        "prealloc",
        "the top-level entries are filled in at boot, before the first task is made",
    ),
    strategy(
        "walk",
        "whoever makes the mapping walks all tasks' tables, under a lock that keeps fork out",
    ),
    strategy(
        "walk-racy",
        "so it does, but a table that is being made is not in the list yet",
    ),
    strategy(
        "direct",
        "the memory lies in the direct map, which every table has from the start",
    ),
    strategy(
        "pretouch",
        "whoever makes the mapping touches it once: that fills in the current task's table alone",
    ),
    strategy(
        "switch",
        "the NMI handler switches to the reference table, and back",
    ),
    strategy(
        "huge-stale",
        "walk, and a huge mapping is replaced by small pages: what is present is taken to be right",
    ),
    strategy(
        "stack",
        "lazy, and the task's kernel stack lies in memory that its table lacks",
    ),
    strategy(
        "lower",
        "lazy, with private tables down to the level whose entries span 2 MiB, as on 32-bit x86",
    ),
];

/// How the NMI handler lives with a page fault of its own.
pub const NMI: [Strategy; 5] = [
    strategy(
        "naive",
        "nothing is done about it: the page-fault handler's IRET unblocks NMIs",
    ),
    strategy(
        "no-iret",
        "the page-fault handler returns without IRET when it interrupted an NMI handler",
    ),
    strategy(
        "nestable",
        "an NMI that interrupts another asks for a repetition, and the frames are copied",
    ),
    strategy(
        "three-state",
        "no stack of its own; one that interrupts another only says that there was one",
    ),
    strategy(
        "no-touch",
        "the handler touches nothing that is mapped lazily",
    ),
];

/// There is no such strategy.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{word:?} is none{}; known are {known}", did_you_mean(.nearest))]
pub struct UnknownStrategy {
    word: String,
    nearest: Option<String>,
    known: String,
}

fn did_you_mean(nearest: &Option<String>) -> String {
    let near = nearest.as_ref();
    near.map(|n| format!(": did you mean {n}?"))
        .unwrap_or_default()
}

/// The strategy of `all` that `word` names.
///
/// # Errors
/// [`UnknownStrategy`], with the nearest one and all of them.
pub fn find(word: &str, all: &'static [Strategy]) -> Result<&'static Strategy, UnknownStrategy> {
    if let Some(found) = all.iter().find(|s| s.word == word) {
        return Ok(found);
    }
    let mut nearest = Nearest::to(word);
    all.iter().for_each(|s| nearest.offer(s.word));
    let known: Vec<&str> = all.iter().map(|s| s.word).collect();
    Err(UnknownStrategy {
        word: printable(word, 40),
        nearest: nearest.into_best(),
        known: known.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_near_misses_named() {
        for all in [&PAGES[..], &NMI[..]] {
            for (n, s) in all.iter().enumerate() {
                assert_eq!(find(s.word, all), Ok(s));
                assert!(all[..n].iter().all(|other| other.word != s.word));
            }
        }
        let e = find("lasy", &PAGES).unwrap_err().to_string();
        assert!(e.contains("did you mean lazy?"), "{e}");
        assert!(find("", &NMI).is_err());
    }
}
