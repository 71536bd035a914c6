//! Tests in a TOML file: each key is a directive, each value the rest of its line.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::DirectiveError;
use super::file::{Spot, TestFile};
use super::line::{UNTERMINATED, Word, words};

/// A text whose bytes are found by line and column.
struct Text<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        let more = text.match_indices('\n').map(|(n, _)| n + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(more).collect(),
        }
    }

    /// Line and column of a byte, from 1.
    fn spot(&self, at: usize) -> Spot {
        let line = self.lines.partition_point(|&start| start <= at);
        let start = self.lines[line.saturating_sub(1)];
        let before = self.text.get(start..at).unwrap_or_default();
        Spot {
            line,
            column: before.chars().count() + 1,
        }
    }
}

/// Reads the file into `file`.
pub(super) fn read(file: &mut TestFile, text: &str) -> Result<(), DirectiveError> {
    let table = DeTable::parse(text);
    let text = &Text::new(text);
    let table = table.map_err(|e| {
        let s = text.spot(e.span().map_or(0, |s| s.start));
        file.error(s.line, s.column, e.message().to_owned())
    })?;
    let mut tests = Vec::new();
    for (span, key, value) in in_order(table.get_ref()) {
        if key == "test" {
            tests.push((span, value));
        } else {
            directive(file, text, span, key, value)?;
        }
    }
    for (span, value) in tests {
        let at = text.spot(span.start);
        let DeValue::Array(list) = value.get_ref() else {
            return Err(file.error(at.line, at.column, "write [[test]], once for each test"));
        };
        for test in list {
            one(file, text, test)?;
        }
    }
    Ok(())
}

type Entry<'a> = (Range<usize>, &'a str, &'a toml::Spanned<DeValue<'a>>);

/// The entries by place: a table's own order is by name.
fn in_order<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = table
        .iter()
        .map(|(k, v)| (k.span(), k.get_ref().as_ref(), v))
        .collect();
    entries.sort_by_key(|e| e.0.start);
    entries
}

fn one(
    file: &mut TestFile,
    text: &Text<'_>,
    test: &toml::Spanned<DeValue<'_>>,
) -> Result<(), DirectiveError> {
    let at = text.spot(test.span().start);
    let DeValue::Table(table) = test.get_ref() else {
        return Err(file.error(at.line, at.column, "write [[test]], once for each test"));
    };
    let name = table.iter().find(|(k, _)| k.get_ref() == "name");
    let Some(DeValue::String(name)) = name.map(|(_, v)| v.get_ref()) else {
        return Err(file.error(at.line, at.column, "a test needs a name: name = \"...\""));
    };
    file.begin(name, at)?;
    for (span, key, value) in in_order(table) {
        match key {
            "name" => {}
            "test" => {
                let at = text.spot(span.start);
                let problem = "a test is in no other one: write [[test]], once for each test";
                return Err(file.error(at.line, at.column, problem));
            }
            _ => directive(file, text, span, key, value)?,
        }
    }
    Ok(())
}

/// One key: a line, or several.
fn directive(
    file: &mut TestFile,
    text: &Text<'_>,
    key_at: Range<usize>,
    key: &str,
    value: &toml::Spanned<DeValue<'_>>,
) -> Result<(), DirectiveError> {
    let at = text.spot(key_at.start);
    let first = Word {
        text: key.to_owned(),
        column: at.column,
    };
    // `quote`: how many characters are before the value's own.
    let mut add = |rest: &str, span: Range<usize>, quote: usize| {
        let value = text.spot(span.start);
        let mut all = vec![first.clone()];
        let rest_words = words(rest, value.column + quote);
        all.extend(rest_words.map_err(|open| file.error(value.line, open, UNTERMINATED))?);
        let line = if all.len() > 1 { value.line } else { at.line };
        file.add(line, all, &format!("{key} {rest}"))
    };
    match value.get_ref() {
        DeValue::String(s) => add(s, value.span(), 1),
        DeValue::Integer(n) => {
            let prefix = if n.radix() == 16 { "0x" } else { "" };
            add(&format!("{prefix}{}", n.as_str()), value.span(), 0)
        }
        DeValue::Boolean(true) => add("", value.span(), 0),
        DeValue::Array(list) => {
            for v in list {
                let DeValue::String(s) = v.get_ref() else {
                    let s = text.spot(v.span().start);
                    return Err(file.error(s.line, s.column, "write a string"));
                };
                add(s, v.span(), 1)?;
            }
            Ok(())
        }
        _ => {
            let s = text.spot(value.span().start);
            Err(file.error(s.line, s.column, "write a string, or a list of strings"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_lines_and_columns() {
        let text = Text::new("aé\n\nb");
        let spots = [(0, 1, 1), (3, 1, 3), (4, 2, 1), (5, 3, 1), (6, 3, 2)];
        for (at, line, column) in spots {
            assert_eq!(text.spot(at), Spot { line, column }, "{at}");
        }
        assert_eq!(Text::new("").spot(0), Spot { line: 1, column: 1 });
    }
}
