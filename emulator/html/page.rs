//! What all pages begin with.

use std::fmt;

use super::escaped::Escaped;

/// Colours for light and dark, and what all pages have: heads, legends, commands, verdicts.
pub const THEME: &str = include_str!("theme.css");

/// Begins a page that loads nothing and runs nothing: up to and with `<body>`. `style` is its own
/// style sheet, beside the [`THEME`].
///
/// # Errors
/// What `out` says.
pub fn begin(title: &str, style: &str, out: &mut impl fmt::Write) -> fmt::Result {
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{THEME}{style}</style>\n</head>\n<body>\n",
        Escaped(title)
    )
}
