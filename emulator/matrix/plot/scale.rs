//! From numbers to places: logarithmic, with a place for zero.

/// Where the numbers of one axis lie. Zero, which has no logarithm, lies at the axis' beginning, below
/// the first decade.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scale {
    /// The first decade: 0 for 1.
    first: i32,
    /// Decades; at least one.
    decades: i32,
    /// Whether there is a place for zero.
    zero: bool,
    /// Pixels of the axis' beginning and end.
    from: f64,
    to: f64,
}

/// The place for zero, in decades.
const ZERO: f64 = 0.6;

/// A tick.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tick {
    /// Where.
    pub at: f64,
    /// The number there.
    pub value: u64,
    /// Whether it is a whole decade, or zero.
    pub major: bool,
}

/// The decade that `n` lies in.
fn decade(n: u64) -> i32 {
    n.max(1).ilog10() as i32
}

impl Scale {
    /// For these numbers, from pixel `from` to pixel `to`.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = u64>, from: f64, to: f64) -> Self {
        let (mut least, mut most, mut zero) = (u64::MAX, 0, false);
        for n in values {
            if n == 0 {
                zero = true;
            } else {
                least = least.min(n);
                most = most.max(n);
            }
        }
        let first = if most == 0 { 0 } else { decade(least) };
        let whole = 10u64.checked_pow(decade(most) as u32) == Some(most);
        let last = decade(most) + i32::from(!whole);
        Self {
            first,
            decades: (last - first).max(1),
            zero,
            from,
            to,
        }
    }

    fn length(&self) -> f64 {
        f64::from(self.decades) + if self.zero { ZERO } else { 0.0 }
    }

    /// Where `n` lies.
    #[must_use]
    pub fn at(&self, n: u64) -> f64 {
        let decades = if n == 0 {
            0.0
        } else {
            let above = (n as f64).log10() - f64::from(self.first);
            above.max(0.0) + if self.zero { ZERO } else { 0.0 }
        };
        self.from + (self.to - self.from) * decades / self.length()
    }

    /// The ticks, by rising number. Between decades there are some if there are few decades.
    #[must_use]
    pub fn ticks(&self) -> Vec<Tick> {
        let mut all = Vec::new();
        let mut push = |value, major| {
            let at = self.at(value);
            all.push(Tick { at, value, major });
        };
        if self.zero {
            push(0, true);
        }
        for d in 0..=self.decades {
            let Some(power) = 10u64.checked_pow((self.first + d) as u32) else {
                break;
            };
            push(power, true);
            if self.decades <= 3 && d < self.decades {
                for n in [2, 5] {
                    if let Some(value) = power.checked_mul(n) {
                        push(value, false);
                    }
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_are_equally_long() {
        let s = Scale::of([1, 10_000], 0.0, 400.0);
        let at: Vec<f64> = [1, 10, 100, 1_000, 10_000].map(|n| s.at(n)).to_vec();
        for (n, x) in at.iter().enumerate() {
            assert!((x - 100.0 * n as f64).abs() < 1e-9, "{at:?}");
        }
        let major: Vec<u64> = s.ticks().iter().map(|t| t.value).collect();
        assert_eq!(major, [1, 10, 100, 1_000, 10_000]);
    }

    #[test]
    fn zero_lies_below_everything() {
        let s = Scale::of([0, 3, 70], 300.0, 0.0);
        assert_eq!(s.at(0), 300.0);
        assert!(s.at(3) < s.at(1) && s.at(1) < 300.0, "{s:?}");
        // 3 to 70 lie in the decades from 1 to 100.
        assert!((s.at(100) - 0.0).abs() < 1e-9);
        let values: Vec<u64> = s.ticks().iter().map(|t| t.value).collect();
        assert_eq!(values, [0, 1, 2, 5, 10, 20, 50, 100]);
    }

    #[test]
    fn any_numbers_have_an_axis() {
        for values in [
            vec![],
            vec![0],
            vec![5],
            vec![1],
            vec![u64::MAX],
            vec![0, u64::MAX, 1],
        ] {
            let s = Scale::of(values.iter().copied(), 10.0, 20.0);
            let ticks = s.ticks();
            assert!(!ticks.is_empty(), "{values:?}");
            for at in values
                .iter()
                .map(|&n| s.at(n))
                .chain(ticks.iter().map(|t| t.at))
            {
                assert!(
                    at.is_finite() && (9.999..=20.001).contains(&at),
                    "{values:?}: {at}"
                );
            }
        }
    }
}
