//! Digits: numbers appended to a byte buffer without `core::fmt`, which is several times slower.

/// The ASCII hex digits of `v`, most significant first.
const fn hex8(v: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // One nibble to each byte, then '0' added, and what lies between '9' and 'a' where it is above 9.
    let mut x = v as u64;
    x = (x << 16 | x) & 0x0000_ffff_0000_ffff;
    x = (x << 8 | x) & 0x00ff_00ff_00ff_00ff;
    x = (x << 4 | x) & 0x0f0f_0f0f_0f0f_0f0f;
    let above_nine = ((x + ONES * 6) >> 4) & ONES;
    (x + ONES * (b'0' as u64) + above_nine * ((b'a' - b'9' - 1) as u64)).to_be_bytes()
}

/// Appends `0x` and the digits of `v`: what `{v:#x}` prints. Returns the number of characters.
pub(crate) fn push_hex(out: &mut Vec<u8>, v: u64) -> usize {
    let mut b = [b'0'; 18];
    b[2..10].copy_from_slice(&hex8((v >> 32) as u32));
    b[10..].copy_from_slice(&hex8(v as u32));
    let digits = (64 - (v | 1).leading_zeros() as usize).div_ceil(4);
    let start = 16 - digits;
    b[start] = b'0';
    b[start + 1] = b'x';
    out.extend_from_slice(&b[start..]);
    digits + 2
}

const PAIRS: [u8; 200] = {
    let mut t = [0; 200];
    let mut i = 0;
    while i < 100 {
        t[2 * i] = b'0' + (i / 10) as u8;
        t[2 * i + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    t
};

/// Appends `v` in decimal. Returns the number of digits.
pub(crate) fn push_dec(out: &mut Vec<u8>, mut v: u64) -> usize {
    if v < 10 {
        out.push(b'0' + v as u8);
        return 1;
    }
    let mut b = [0; 20];
    let mut i = b.len();
    while v >= 10 {
        let pair = 2 * (v % 100) as usize;
        v /= 100;
        i -= 2;
        b[i..i + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if v > 0 {
        i -= 1;
        b[i] = b'0' + v as u8;
    }
    out.extend_from_slice(&b[i..]);
    b.len() - i
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(v: u64) -> (String, String) {
        let (mut h, mut d) = (Vec::new(), Vec::new());
        let (nh, nd) = (push_hex(&mut h, v), push_dec(&mut d, v));
        assert_eq!((nh, nd), (h.len(), d.len()));
        (
            String::from_utf8(h).expect("ASCII"),
            String::from_utf8(d).expect("ASCII"),
        )
    }

    #[test]
    fn agrees_with_core_fmt_around_each_power() {
        for shift in 0..64 {
            for v in [(1 << shift) - 1, 1 << shift, u64::MAX >> shift] {
                assert_eq!(both(v), (format!("{v:#x}"), format!("{v}")));
            }
        }
        let mut p: u64 = 1;
        while let Some(next) = p.checked_mul(10) {
            for v in [p - 1, p, p + 1] {
                assert_eq!(both(v), (format!("{v:#x}"), format!("{v}")));
            }
            p = next;
        }
    }

    proptest! {
        #[test]
        fn agrees_with_core_fmt(v: u64) {
            prop_assert_eq!(both(v), (format!("{v:#x}"), format!("{v}")));
        }
    }
}
