//! Definitions of symbols that an assembly source asks for: `TASKS=8`, `PAGES=lazy`.

use std::fmt;
use std::str::FromStr;

use super::error::printable;
use super::symbols;

/// The longest name or word.
const MAX_LENGTH: usize = 64;

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DefineValue {
    /// The symbol `NAME` has this value.
    Number(u64),
    /// The symbol `NAME.WORD` is 1, with `_` for each `-` of the word, and `NAME` is -1: a source
    /// tells words apart by `.ifdef NAME.WORD`, an unknown one from none by `.ifdef NAME`, and any
    /// from the numbers that it expects.
    Word(String),
}

/// One definition: an identifier, and a number or a word of letters, digits, `-` and `_` that
/// begins with a letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Define {
    name: String,
    value: DefineValue,
}

/// Why a text is no definition.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}; write NAME=NUMBER or NAME=WORD, for example TASKS=8 or PAGES=lazy")]
pub struct DefineError {
    problem: String,
}

fn is_word(text: &str, more: &[u8]) -> bool {
    let bytes = text.as_bytes();
    text.len() <= MAX_LENGTH
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || more.contains(b))
}

impl Define {
    /// The definition of `name` as the number `value`.
    ///
    /// # Errors
    /// Where `name` is no identifier of at most 64 bytes that begins with a letter.
    pub fn number(name: &str, value: u64) -> Result<Self, DefineError> {
        Self::new(name, DefineValue::Number(value))
    }

    /// The definition of `name` as the word `value`.
    ///
    /// # Errors
    /// As [`Define::number`], and where `value` is no word.
    pub fn word(name: &str, value: &str) -> Result<Self, DefineError> {
        if !is_word(value, b"-_") {
            let value = printable(value);
            return Err(DefineError {
                problem: format!("{value:?} is neither a number nor a word"),
            });
        }
        Self::new(name, DefineValue::Word(value.to_owned()))
    }

    fn new(name: &str, value: DefineValue) -> Result<Self, DefineError> {
        if !is_word(name, b"_") {
            let name = printable(name);
            return Err(DefineError {
                problem: format!("{name:?} is no name"),
            });
        }
        let name = name.to_owned();
        Ok(Self { name, value })
    }

    /// What is defined.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As what.
    #[must_use]
    pub const fn value(&self) -> &DefineValue {
        &self.value
    }

    /// The arguments of the assembler's `--defsym`.
    pub(super) fn symbols(&self) -> Vec<String> {
        let name = &self.name;
        match &self.value {
            DefineValue::Number(n) => vec![format!("{name}={n}")],
            DefineValue::Word(w) => {
                vec![
                    format!("{name}={:#x}", u64::MAX),
                    format!("{name}.{}=1", w.replace('-', "_")),
                ]
            }
        }
    }
}

impl FromStr for Define {
    type Err = DefineError;

    fn from_str(text: &str) -> Result<Self, DefineError> {
        let Some((name, value)) = text.split_once('=') else {
            let text = printable(text);
            return Err(DefineError {
                problem: format!("{text:?} has no '='"),
            });
        };
        match symbols::number(value) {
            Some(n) => Self::number(name, n),
            _ => Self::word(name, value),
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Define {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            DefineValue::Number(n) => write!(f, "{}={n}", self.name),
            DefineValue::Word(w) => write!(f, "{}={w}", self.name),
        }
    }
}

/// The name that `defines` define twice.
pub(super) fn defined_twice(defines: &[Define]) -> Option<&str> {
    let mut names: Vec<&str> = defines.iter().map(Define::name).collect();
    names.sort_unstable();
    names.windows(2).find(|w| w[0] == w[1]).map(|w| w[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_become_symbols() {
        for (text, shown, symbols) in [
            ("TASKS=8", "TASKS=8", "TASKS=8"),
            // The assembler would take 010 for octal.
            ("TASKS=010", "TASKS=10", "TASKS=10"),
            ("BASE=0x1_0000", "BASE=65536", "BASE=65536"),
            (
                "N=0xffffffffffffffff",
                "N=18446744073709551615",
                "N=18446744073709551615",
            ),
            (
                "PAGES=lazy",
                "PAGES=lazy",
                "PAGES=0xffffffffffffffff PAGES.lazy=1",
            ),
            (
                "NMI=no-iret",
                "NMI=no-iret",
                "NMI=0xffffffffffffffff NMI.no_iret=1",
            ),
            (
                "a_1=b_2-c",
                "a_1=b_2-c",
                "a_1=0xffffffffffffffff a_1.b_2_c=1",
            ),
        ] {
            let define: Define = text.parse().unwrap();
            assert_eq!(define.to_string(), shown);
            assert_eq!(define.symbols().join(" "), symbols);
            assert_eq!(shown.parse(), Ok(define));
        }
    }

    #[test]
    fn anything_else_is_refused_on_one_line() {
        let long = "x".repeat(MAX_LENGTH + 1);
        for text in [
            "",
            "=",
            "TASKS",
            "TASKS=",
            "=8",
            "8=8",
            "a b=1",
            "a.b=1",
            "a-b=1",
            "_a=1",
            "a=1x",
            "a=-1",
            "a=0x",
            "a=b=c",
            "a=b c",
            "a=.b",
            "a=18446744073709551616",
            "a=b\nc",
            "ä=1",
            &format!("{long}=1"),
            &format!("a={long}"),
        ] {
            let e = text.parse::<Define>().unwrap_err().to_string();
            assert!(e.contains("write NAME=NUMBER or NAME=WORD"), "{e}");
            assert!(!e.contains('\n'), "{e}");
        }
    }

    #[test]
    fn twice_is_told() {
        let of =
            |texts: &[&str]| -> Vec<Define> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        assert_eq!(defined_twice(&of(&["a=1", "b=1", "a=c"])), Some("a"));
        assert_eq!(defined_twice(&of(&["a=1", "b=1", "A=c"])), None);
    }
}
