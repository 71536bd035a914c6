//! The words of one directive, and where each begins.

/// A word: bytes without spaces, or what is between double quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    /// Column of its first character, from 1.
    pub(super) column: usize,
}

impl Word {
    /// Name, value and the value's column, if it is `NAME=VALUE`.
    pub(super) fn option(&self) -> Option<(&str, Self)> {
        let (name, value) = self.text.split_once('=')?;
        let value = Self {
            text: value.to_owned(),
            column: self.column + name.chars().count() + 1,
        };
        Some((name, value))
    }
}

/// What is wrong with a word that [`words`] cannot end.
pub(super) const UNTERMINATED: &str = "this double quote has no other one: write \"...\"";

/// Splits `text`, whose first character is at `column`. The error is the column of a double quote
/// without its end.
pub(super) fn words(text: &str, column: usize) -> Result<Vec<Word>, usize> {
    let mut words = Vec::new();
    let mut chars = text.chars().zip(column..).peekable();
    while let Some(&(c, at)) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        let quoted = c == '"';
        if quoted {
            chars.next();
        }
        let mut word = String::new();
        while let Some((c, _)) =
            chars.next_if(|&(c, _)| if quoted { c != '"' } else { !c.is_whitespace() })
        {
            word.push(c);
        }
        if quoted && chars.next().is_none() {
            return Err(at);
        }
        words.push(Word {
            text: word,
            column: at,
        });
    }
    Ok(words)
}

/// A number: decimal, or `0x` and hex digits, which may be grouped with `_`.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let (digits, base) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None => (digits.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, base).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_are() {
        let words = words("gate  PF \"a b\" x=1", 4).unwrap();
        let all: Vec<_> = words.iter().map(|w| (w.text.as_str(), w.column)).collect();
        assert_eq!(all, [("gate", 4), ("PF", 10), ("a b", 13), ("x=1", 19)]);
        let (name, value) = words[3].option().unwrap();
        assert_eq!((name, value.text.as_str(), value.column), ("x", "1", 21));
    }

    #[test]
    fn a_quote_has_an_end() {
        assert_eq!(words("fails \"a b", 4), Err(10));
        assert_eq!(words("fails \"", 1), Err(7));
        assert_eq!(words("fails \"\"", 1).map(|w| w.len()), Ok(2));
    }

    #[test]
    fn numbers() {
        assert_eq!(number("0xffff_8000"), Some(0xffff_8000));
        assert_eq!(number("12"), Some(12));
        for bad in ["", "0x", "+1", "-1", "1g", "0x+1", "18446744073709551616"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
