//! What became of a run into which something was injected.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of verdicts, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interrupted context was reached again, and nothing that is used again is different.
    Same,
    /// So it was, but bytes differ that the undisturbed run neither reads nor writes again.
    SameExcept,
    /// The event was never taken.
    NotTaken,
    /// Neither of the others was shown in time.
    Limit,
    /// The machine needs something that is not modelled.
    NotModelled,
    /// The interrupted context was reached again in another state, which the run goes on to use;
    /// or it ended otherwise.
    Differs,
    /// A check reported an error (or what is denied).
    Finding,
    /// The same state comes again and again, or HLT waits for what cannot come.
    Hung,
    /// Triple fault.
    Shutdown,
}

impl Verdict {
    /// All, by badness.
    pub const ALL: [Self; 9] = [
        Self::Same,
        Self::SameExcept,
        Self::NotTaken,
        Self::Limit,
        Self::NotModelled,
        Self::Differs,
        Self::Finding,
        Self::Hung,
        Self::Shutdown,
    ];

    /// Whether the code that was interrupted, or its handlers, are to blame.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Differs | Self::Finding | Self::Hung | Self::Shutdown
        )
    }

    /// Whether nothing was shown.
    #[must_use]
    pub const fn is_undecided(self) -> bool {
        matches!(self, Self::Limit | Self::NotModelled)
    }

    /// One character for it.
    #[must_use]
    pub const fn mark(self) -> char {
        match self {
            Self::Same => '.',
            Self::SameExcept => 'o',
            Self::NotTaken => '-',
            Self::Limit => '?',
            Self::NotModelled => '!',
            Self::Differs => 'D',
            Self::Finding => 'F',
            Self::Hung => 'H',
            Self::Shutdown => 'S',
        }
    }

    /// What it means, for who reads a report without the manual.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Same => "the interrupted code goes on as if nothing had been",
            Self::SameExcept => "so it does; bytes that nothing reads again differ",
            Self::NotTaken => "the event was never taken",
            Self::Limit => "not decided within the limits",
            Self::NotModelled => "the machine needs what is not modelled",
            Self::Differs => "the interrupted code goes on in another state",
            Self::Finding => "a check reports an error",
            Self::Hung => "the same state again and again, or halted for ever",
            Self::Shutdown => "triple fault",
        }
    }

    /// Its name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::SameExcept => "same-except",
            Self::NotTaken => "not-taken",
            Self::Limit => "limit",
            Self::NotModelled => "not-modelled",
            Self::Differs => "differs",
            Self::Finding => "finding",
            Self::Hung => "hung",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How one case ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The kind.
    pub verdict: Verdict,
    /// What it was: the rules, the symbols, how it stopped. Cases with the same words are one class.
    pub what: String,
    /// Where it went wrong, if at one place.
    pub rip: Option<u64>,
}

impl Outcome {
    /// An outcome with words.
    pub fn new(verdict: Verdict, what: impl Into<String>) -> Self {
        Self {
            verdict,
            what: what.into(),
            rip: None,
        }
    }
}
