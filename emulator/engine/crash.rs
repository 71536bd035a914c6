//! Bytes that Unicorn's translator cannot survive.
//!
//! LOCK BT, BTS, BTR and BTC with a register operand (#UD: SDM vol. 2, LOCK) end the whole process in
//! an assertion: the translator computes no address for them and then uses it. They do so
//! when they are translated, whether or not control comes there.

use crate::arch::PAGE_SIZE;

/// The longest instruction (SDM vol. 2, 2.3.11).
const LONGEST: usize = 15;

const LOCK: u8 = 0xf0;

/// Whether this is a legacy or REX prefix (SDM vol. 2, 2.1.1 and 2.2.1).
pub(super) const fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}

/// Whether these bytes are such an instruction from its LOCK prefix on; `None`: they end too early
/// to tell.
fn matches_from_lock(bytes: &[u8]) -> Option<bool> {
    let prefixes = bytes.iter().take_while(|&&b| is_prefix(b)).count();
    if prefixes >= LONGEST {
        return Some(false);
    }
    let mut rest = bytes[prefixes..].iter().copied();
    if rest.next()? != 0x0f {
        return Some(false);
    }
    let any_group = match rest.next()? {
        0xa3 | 0xab | 0xb3 | 0xbb => true,
        0xba => false,
        _ => return Some(false),
    };
    let modrm = rest.next()?;
    Some(modrm >= 0xc0 && (any_group || modrm & 0x20 != 0))
}

/// Where the LOCK prefix of such an instruction may lie in this page; the rest of it may be in the
/// next.
pub(super) fn suspects(page: &[u8; PAGE_SIZE as usize]) -> impl Iterator<Item = usize> {
    let is_suspect = |at: &usize| {
        let end = page.len().min(at + LONGEST + 3);
        page[*at] == LOCK && matches_from_lock(&page[*at..end]) != Some(false)
    };
    (0..page.len()).filter(is_suspect)
}

/// Whether the instruction with these bytes is one. (Where its end is not among them, because the
/// next page may not be fetched from, the translator does not come so far.)
pub(super) fn crashes(bytes: &[u8]) -> bool {
    let prefixes = bytes.iter().take_while(|&&b| is_prefix(b)).count();
    bytes[..prefixes].contains(&LOCK) && matches_from_lock(bytes) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_with(at: usize, bytes: &[u8]) -> [u8; 4096] {
        let mut page = [0x90; 4096];
        page[at..at + bytes.len()].copy_from_slice(bytes);
        page
    }

    fn may_crash(page: &[u8; 4096]) -> bool {
        suspects(page).next().is_some()
    }

    #[test]
    fn register_forms_are_found_wherever_they_lie() {
        for bytes in [
            &[0xf0, 0x65, 0x66, 0x0f, 0xba, 0xe7, 0x15][..],
            &[0xf0, 0x4f, 0x48, 0x0f, 0xb3, 0xd3],
            &[0x66, 0xf0, 0x0f, 0xa3, 0xc0],
            &[0xf0, 0x0f, 0xab, 0xff],
            &[0xf0, 0xf0, 0x0f, 0xbb, 0xc1],
            &[0xf0, 0x0f, 0xba, 0xf8, 1],
        ] {
            assert!(crashes(bytes), "{bytes:x?}");
            for at in [0, 1, 63, 4096 - bytes.len()] {
                assert!(may_crash(&page_with(at, bytes)), "{bytes:x?} at {at}");
            }
            // What the next page may complete.
            for kept in bytes.iter().position(|&b| b == LOCK).unwrap() + 1..bytes.len().min(5) {
                let (front, whole) = (&bytes[..kept], matches_from_lock(bytes));
                assert_eq!(whole, Some(true));
                assert!(may_crash(&page_with(4096 - kept, front)), "{front:x?}");
            }
        }
    }

    #[test]
    fn memory_forms_and_others_are_not() {
        for bytes in [
            &[0xf0, 0x0f, 0xba, 0x28, 1][..], // lock bts dword ptr [rax], 1
            &[0xf0, 0x0f, 0xab, 0x08],        // lock bts [rax], ecx
            &[0xf0, 0x0f, 0xba, 0xc0],        // group 8, /0: no instruction, and refused as such
            &[0xf0, 0x0f, 0xc1, 0xc0],        // lock xadd eax, eax: refused later
            &[0x0f, 0xba, 0xe7, 0x15],        // bt edi, 0x15
            &[0x90, 0xf0, 0x90],
        ] {
            assert!(!crashes(bytes), "{bytes:x?}");
            assert!(!may_crash(&page_with(100, bytes)), "{bytes:x?}");
        }
        assert!(!may_crash(&[0xf0; 4096].map(|_| 0x90)));
    }
}
