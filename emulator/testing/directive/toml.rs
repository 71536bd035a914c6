//! Tests in a TOML file: each key is a directive, each value the rest of its line.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::DirectiveError;
use super::file::{Spot, TestFile};
use super::line::{UNTERMINATED, Word, words};

/// Line and column of a byte, from 1.
fn spot(text: &str, at: usize) -> Spot {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    Spot {
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    }
}

/// Reads the file into `file`.
pub(super) fn read(file: &mut TestFile, text: &str) -> Result<(), DirectiveError> {
    let table = DeTable::parse(text).map_err(|e| {
        let s = spot(text, e.span().map_or(0, |s| s.start));
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
        let at = spot(text, span.start);
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
    text: &str,
    test: &toml::Spanned<DeValue<'_>>,
) -> Result<(), DirectiveError> {
    let at = spot(text, test.span().start);
    let DeValue::Table(table) = test.get_ref() else {
        return Err(file.error(at.line, at.column, "write [[test]], once for each test"));
    };
    let name = table.iter().find(|(k, _)| k.get_ref() == "name");
    let Some(DeValue::String(name)) = name.map(|(_, v)| v.get_ref()) else {
        return Err(file.error(at.line, at.column, "a test needs a name: name = \"...\""));
    };
    file.begin(name, at)?;
    for (span, key, value) in in_order(table) {
        if key != "name" {
            directive(file, text, span, key, value)?;
        }
    }
    Ok(())
}

/// One key: a line, or several.
fn directive(
    file: &mut TestFile,
    text: &str,
    key_at: Range<usize>,
    key: &str,
    value: &toml::Spanned<DeValue<'_>>,
) -> Result<(), DirectiveError> {
    let at = spot(text, key_at.start);
    let first = Word {
        text: key.to_owned(),
        column: at.column,
    };
    // `quote`: how many characters are before the value's own.
    let mut add = |rest: &str, span: Range<usize>, quote: usize| {
        let value = spot(text, span.start);
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
                    let s = spot(text, v.span().start);
                    return Err(file.error(s.line, s.column, "write a string"));
                };
                add(s, v.span(), 1)?;
            }
            Ok(())
        }
        _ => {
            let s = spot(text, value.span().start);
            Err(file.error(s.line, s.column, "write a string, or a list of strings"))
        }
    }
}
