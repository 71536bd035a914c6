//! Text as text, whatever it holds.

use std::fmt::{self, Display, Write as _};

use crate::printable::is_harmful;

/// Text of the image, the guest or the user, fit for any place of the page: neither markup nor
/// control characters nor marks that reorder what is around them.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_harmful(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_markup_nor_marks_get_through() {
        let text = "<a href=\"x\">&'\u{202e}\n";
        assert_eq!(
            Escaped(text).to_string(),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\\u{202e}\\n"
        );
    }
}
