//! Compares what the two sides tell.

use iretrace::arch::state::gpr::{NAMES, RAX};
use iretrace::load::Image;

use crate::attempt::Attempt;
use crate::differences::{self, Then};
use crate::peer::Told;

const START: u8 = 0x40;

/// The attempts of one case: after its marker, up to the next one.
pub type Part<'a> = &'a [Attempt];

/// The parts of a run, by the case's place in the image.
pub fn parts(told: &Told) -> Vec<Part<'_>> {
    let mut marks: Vec<usize> = Vec::new();
    for (i, a) in told.attempts.iter().enumerate() {
        let next = a.gpr[RAX] == marks.len() as u64;
        if a.vector == START && a.software && a.cpl == 0 && next {
            marks.push(i);
        }
    }
    let mut all = Vec::new();
    for (n, &from) in marks.iter().enumerate() {
        let to = marks.get(n + 1).copied().unwrap_or(told.attempts.len());
        all.push(&told.attempts[from..to]);
    }
    all
}

/// The first place where two sides differ.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The case's place in the image.
    pub case: u64,
    /// The attempts before it are equal.
    pub index: usize,
    /// What the machine tells there.
    pub ours: Option<Attempt>,
    /// What the peer tells there.
    pub peer: Option<Attempt>,
    /// The attempt before, the same on both sides.
    pub before: Option<Attempt>,
    /// The next of the machine's.
    pub after: Option<Attempt>,
    /// The next of the peer's.
    pub peer_after: Option<Attempt>,
}

/// How a case compares.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The rows that were needed.
    pub rows: Vec<&'static str>,
    /// How many events are the same, or as a row says.
    pub same: usize,
    /// What no row explains.
    pub unexplained: Option<Mismatch>,
}

/// Compares a case up to where the sides differ in a way that changes what follows.
pub fn case(ours: Part<'_>, peer: Part<'_>, image: &Image) -> Verdict {
    let mut verdict = Verdict::default();
    for i in 0..ours.len().max(peer.len()) {
        let (a, mut b) = (ours.get(i), peer.get(i).cloned());
        if let (Some(a), Some(b)) = (a, &mut b) {
            let before = i.checked_sub(1).and_then(|i| ours.get(i));
            differences::normalise(a, b, before, &mut verdict.rows);
        }
        if a == b.as_ref() {
            verdict.same += 1;
            continue;
        }
        let m = Mismatch {
            case: ours.first().map_or(0, |a| a.gpr[RAX]),
            index: i,
            ours: a.cloned(),
            peer: b,
            before: i.checked_sub(1).and_then(|i| ours.get(i)).cloned(),
            after: ours.get(i + 1).cloned(),
            peer_after: peer.get(i + 1).cloned(),
        };
        match differences::explain(&m, image, &ours[..i.min(ours.len())], &verdict.rows) {
            Some((row, then)) => {
                verdict.rows.push(row);
                verdict.same += 1;
                if then == Then::Apart {
                    break;
                }
            }
            None => {
                verdict.unexplained = Some(m);
                break;
            }
        }
    }
    verdict
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |a: &Option<Attempt>| {
            a.as_ref()
                .map_or_else(|| "nothing".to_owned(), Attempt::to_string)
        };
        writeln!(f, "  event {}", self.index)?;
        writeln!(f, "  before {}", show(&self.before))?;
        writeln!(f, "  ours   {}", show(&self.ours))?;
        writeln!(f, "  peer   {}", show(&self.peer))?;
        writeln!(f, "  then ours {}", show(&self.after))?;
        writeln!(f, "  then peer {}", show(&self.peer_after))?;
        if let (Some(a), Some(b)) = (&self.ours, &self.peer) {
            for (name, (a, b)) in NAMES.iter().zip(a.gpr.iter().zip(&b.gpr)) {
                if a != b {
                    writeln!(f, "    {name}: ours {a:x}, peer {b:x}")?;
                }
            }
        }
        Ok(())
    }
}
