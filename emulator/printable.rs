//! Text made fit for people: from outside, for one line of a terminal or a log; numbers; commands.

/// `text` on one line: control characters and direction marks are escaped, and what is behind the
/// first `longest` characters is left out.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    for (n, c) in text.chars().enumerate() {
        if n == longest {
            out.push('…');
            break;
        }
        if is_harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a terminal could take `c` for something else than a character to show: control
/// characters, and marks that reorder what is around them.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `5,123`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A command as a shell would take it: what a terminal should not see by `$'\\x1b'`, as bash, ksh and zsh
/// read it.
#[must_use]
pub fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    let words = words.iter().map(|w| {
        if !w.is_empty() && w.chars().all(plain) {
            w.clone()
        } else if w.chars().any(is_harmful) {
            escaped(w)
        } else {
            format!("'{}'", w.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word by `$'...'`.
fn escaped(word: &str) -> String {
    let mut out = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_harmful(c) => {
                let mut bytes = [0; 4];
                let bytes = c.encode_utf8(&mut bytes).bytes();
                out.extend(bytes.map(|b| format!("\\x{b:02x}")));
            }
            c => out.push(c),
        }
    }
    out + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(5123), "5,123");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_shell_reads_the_words_back() {
        let words = ["a", "PF,addr=0x1000+nmi", "it's", "", "$x"].map(str::to_owned);
        assert_eq!(quoted(&words), r"a PF,addr=0x1000+nmi 'it'\''s' '' '$x'");
    }

    #[test]
    fn a_terminal_sees_no_control_character() {
        let words = ["a\u{1b}[2J'\\é", "\u{202e}"].map(str::to_owned);
        assert_eq!(quoted(&words), r"$'a\x1b[2J\'\\é' $'\xe2\x80\xae'");
    }
}
