//! `--until`: where a run shall end.

use iretrace::load::Image;
use iretrace::machine::Until;

use super::failure::Failure;
use super::number;

/// An end that is written down, but not looked up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UntilArg {
    /// After this many instructions.
    Icount(u64),
    /// Before the instruction at this symbol or address.
    Place(String),
}

impl UntilArg {
    /// Reads `icount=N`, `SYMBOL+OFFSET` or `0xADDRESS`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("icount=") {
            Some(n) => number::count(n).map(Self::Icount),
            None if text.is_empty() => Err("empty".to_owned()),
            None => Ok(Self::Place(text.to_owned())),
        }
    }

    /// What reads back as the same.
    pub fn shown(&self) -> String {
        match self {
            Self::Icount(n) => format!("icount={n}"),
            Self::Place(text) => text.clone(),
        }
    }

    /// Looks the place up in `image`.
    pub fn resolve(&self, image: &Image) -> Result<Until, Failure> {
        match self {
            Self::Icount(n) => Ok(Until::Icount(*n)),
            Self::Place(text) => image
                .resolve(text)
                .map(Until::Address)
                .map_err(|e| Failure::usage(format!("--until {text:?}: {e}"))),
        }
    }
}
