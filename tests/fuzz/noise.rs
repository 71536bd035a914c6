//! Changes to bytes and to text that know nothing of what they mean.

use super::random::Random;

/// Longest input that is made.
const LONGEST: usize = 1 << 16;

/// One change to bytes.
pub fn bytes(b: &mut Vec<u8>, r: &mut Random) {
    if b.is_empty() {
        b.push(r.next() as u8);
        return;
    }
    let at = r.below(b.len());
    let len = 1 + r.below(16.min(b.len() - at));
    match r.below(8) {
        0 => b[at] ^= 1 << r.below(8),
        1 => b[at] = r.next() as u8,
        2 => b[at] = [0, 1, 0x7f, 0x80, 0xff][r.below(5)],
        3 => b.truncate(at),
        4 => drop(b.drain(at..at + len)),
        5 if b.len() < LONGEST => {
            let part = b[at..at + len].to_vec();
            b.splice(at..at, part);
        }
        6 if b.len() < LONGEST => {
            let part: Vec<u8> = (0..len).map(|_| r.next() as u8).collect();
            b.splice(at..at, part);
        }
        _ => {
            let to = r.below(b.len() - len + 1);
            b.copy_within(at..at + len, to);
        }
    }
}

/// Characters that break lines, terminals, numbers or counts of columns.
const ODD: &[char] = &[
    '\n', '\r', '\t', '\0', '\u{1b}', '\u{85}', '\u{2028}', '\u{202e}', '\u{feff}', 'ä', '\u{301}',
    '𝟙', '＋', '"', '\\', '\'', '#', '+', '-', '=', ',', '@', '.', '_', ' ', '0', '9', 'x', 'f',
];

/// Between two characters of `s`.
fn place(s: &str, r: &mut Random) -> usize {
    let mut at = r.below(s.len() + 1);
    while !s.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One change to text; `words` are those of its language.
pub fn text(s: &mut String, words: &[&str], r: &mut Random) {
    let (a, b) = (place(s, r), place(s, r));
    let (from, to) = (a.min(b), a.max(b));
    match r.below(9) {
        0 => s.insert(a, ODD[r.below(ODD.len())]),
        1 | 2 => s.insert_str(a, r.pick(words)),
        3 => s.replace_range(from..to, r.pick(words)),
        4 if to - from < 12 => s.replace_range(from..to, ""),
        5 if s.len() < LONGEST => {
            let part = s[from..to].to_owned();
            s.insert_str(a, &part);
        }
        6 => {
            let n = r.edge(0);
            let number = if r.one_in(2) {
                format!("{n:#x}")
            } else {
                n.to_string()
            };
            s.insert_str(a, &number);
        }
        7 => {
            // A number in it becomes another.
            let digit = |c: char| c.is_ascii_hexdigit() || c == 'x';
            let tail = s[a..].find(digit).map(|n| a + n);
            if let Some(start) = tail {
                let end = s[start..]
                    .find(|c| !digit(c))
                    .map_or(s.len(), |n| start + n);
                s.replace_range(start..end, &r.edge(0).to_string());
            }
        }
        _ => {
            if let Some(c) = char::from_u32((r.next() & 0x1f_ffff) as u32) {
                s.insert(a, c);
            }
        }
    }
}
