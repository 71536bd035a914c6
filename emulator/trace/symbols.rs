//! Names of addresses, as the formats ask for them.

use std::rc::Rc;
use std::sync::Arc;

use crate::arch::VirtAddr;

/// Names code addresses. Asked once an address: the writers keep the answers.
pub trait Symbols {
    /// The symbol with an offset: `nmi_entry+0x1f`; `None`: no symbol covers it.
    fn name(&self, at: VirtAddr) -> Option<String>;

    /// The source line: `nested-nmi.S:42`; `None`: not known.
    fn line(&self, at: VirtAddr) -> Option<String> {
        let _ = at;
        None
    }
}

/// No names: every address is shown in hex.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn name(&self, _: VirtAddr) -> Option<String> {
        None
    }
}

/// Passes the calls on through a pointer.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: Symbols + ?Sized> Symbols for $pointer {
            fn name(&self, at: VirtAddr) -> Option<String> {
                (**self).name(at)
            }

            fn line(&self, at: VirtAddr) -> Option<String> {
                (**self).line(at)
            }
        }
    )*};
}

forward!(&T, Box<T>, Rc<T>, Arc<T>);

/// Answers kept by address: direct-mapped, so that memory is bounded and a miss costs one answer.
///
/// What is in it never changes what is printed, only how fast.
#[derive(Debug)]
pub(crate) struct AddressCache<V> {
    slots: Vec<Option<(u64, V)>>,
}

impl<V> AddressCache<V> {
    const SLOTS_LOG2: u32 = 13;

    /// An empty cache.
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..1_usize << Self::SLOTS_LOG2).map(|_| None).collect(),
        }
    }

    /// The answer for `at`, made by `make` if it is not there.
    pub(crate) fn get(&mut self, at: VirtAddr, make: impl FnOnce() -> V) -> &V {
        // Fibonacci hashing: neighbouring addresses go to different slots.
        let slot = at.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::SLOTS_LOG2);
        let entry = &mut self.slots[slot as usize];
        if entry.as_ref().is_some_and(|(key, _)| *key != at.0) {
            *entry = None;
        }
        &entry.get_or_insert_with(|| (at.0, make())).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_answers_for_the_address_asked() {
        let mut cache = AddressCache::new();
        // More addresses than slots, twice: every slot is reused.
        for round in 0..2 {
            for i in 0..20_000_u64 {
                let at = VirtAddr(0xffff_8000_0000_0000 + i * 3);
                assert_eq!(*cache.get(at, || at.0), at.0, "round {round}");
            }
        }
        let mut asked = 0;
        for _ in 0..3 {
            cache.get(VirtAddr(u64::MAX), || {
                asked += 1;
                7
            });
        }
        assert_eq!(asked, 1);
    }
}
