//! `--shard K/N`.

use std::str::FromStr;

/// Every Nth part, from the Kth on: K is from 1 to N.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// K, from 1 on.
    pub k: u64,
    /// N.
    pub n: u64,
}

impl Shard {
    /// The undivided sweep.
    pub const WHOLE: Self = Self { k: 1, n: 1 };

    /// Whether a part belongs to it.
    pub const fn has(self, part: usize) -> bool {
        part as u64 % self.n == self.k - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "write K/N, with K from 1 to N: 2/4".to_owned();
        let (k, n) = text.split_once('/').ok_or_else(bad)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        let (k, n) = (number(k)?, number(n)?);
        if (1..=n).contains(&k) {
            Ok(Self { k, n })
        } else {
            Err(bad())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_in_one_shard() {
        let shards: Vec<Shard> = (1..=4).map(|k| Shard { k, n: 4 }).collect();
        for part in 0..100 {
            assert_eq!(shards.iter().filter(|s| s.has(part)).count(), 1);
        }
        assert_eq!("2/4".parse(), Ok(shards[1]));
        for bad in ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad:?}");
        }
    }
}
