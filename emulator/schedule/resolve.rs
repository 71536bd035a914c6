//! Symbols of a schedule become addresses.

use std::fmt;

use thiserror::Error;

use super::injection::{Injection, Origin, Place, Stimulus, Trigger};
use crate::arch::{Vector, VirtAddr};
use crate::printable::printable;
use crate::suggest::Nearest;
use crate::trace::Boundary;

/// Finds symbols of the image.
pub trait SymbolResolver {
    /// The address of the symbol `name`.
    fn resolve(&self, name: &str) -> Option<VirtAddr>;

    /// Gives every name to `each`, in any order: near misses are suggested from them.
    fn for_each_name(&self, each: &mut dyn FnMut(&str)) {
        let _ = each;
    }
}

/// [`Trigger`] with addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in `Trigger`")]
pub enum ResolvedTrigger {
    At { address: VirtAddr, nth: u32 },
    Icount(Boundary),
    After { vector: Vector, nth: u32 },
    BeforeIret { nth: u32 },
    Every { period: u64, from: ResolvedOrigin },
    Storm { count: u32, from: ResolvedOrigin },
}

/// [`Origin`] with an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResolvedOrigin {
    /// At this icount.
    Icount(u64),
    /// At the first arrival at this address.
    Address(VirtAddr),
}

/// An injection into one image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedInjection {
    /// What, with the address of a page fault.
    pub what: Stimulus,
    /// When.
    pub when: ResolvedTrigger,
    /// As the user wrote it, for headers and reports.
    pub source: Injection,
}

/// A schedule, or an event, that does not fit the image.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ResolveError {
    /// There is no such symbol.
    #[error(
        "{injection}: the image has no symbol {name:?}; {}",
        match nearest {
            Some(n) => format!("did you mean {n}?"),
            None => "nm lists what it has; an address is written 0xffffffff80001000".to_owned(),
        }
    )]
    UnknownSymbol {
        /// The text of what is injected.
        injection: String,
        /// The name.
        name: String,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// Symbol and offset do not fit in 64 bits.
    #[error("{injection}: {name}+{offset:#x} is beyond the last address; {name} is at {base}")]
    OffsetTooLarge {
        /// The text of what is injected.
        injection: String,
        /// The symbol.
        name: String,
        /// The offset.
        offset: u64,
        /// The symbol's address.
        base: VirtAddr,
    },
}

/// Finds the addresses that `injection` names.
///
/// # Errors
/// [`ResolveError`] names the symbol, and the nearest one that is there.
pub fn resolve(
    injection: Injection,
    symbols: &(impl SymbolResolver + ?Sized),
) -> Result<ResolvedInjection, ResolveError> {
    let address = |place: &Place| address_of(&injection, place, symbols);
    let what = resolve_stimulus(&injection.what, &injection, symbols)?;
    let origin = |from: &Origin| match from {
        Origin::Icount(n) => Ok(ResolvedOrigin::Icount(*n)),
        Origin::Place(place) => address(place).map(ResolvedOrigin::Address),
    };
    let when = match &injection.when {
        Trigger::At { place, nth } => ResolvedTrigger::At {
            address: address(place)?,
            nth: *nth,
        },
        Trigger::Icount(at) => ResolvedTrigger::Icount(*at),
        Trigger::After { vector, nth } => ResolvedTrigger::After {
            vector: *vector,
            nth: *nth,
        },
        Trigger::BeforeIret { nth } => ResolvedTrigger::BeforeIret { nth: *nth },
        Trigger::Every { period, from } => ResolvedTrigger::Every {
            period: *period,
            from: origin(from)?,
        },
        Trigger::Storm { count, from } => ResolvedTrigger::Storm {
            count: *count,
            from: origin(from)?,
        },
    };
    Ok(ResolvedInjection {
        what,
        when,
        source: injection,
    })
}

/// Finds the address that `stimulus` names; `injection` is the text that it stands in, for errors.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_stimulus(
    stimulus: &Stimulus<Place>,
    injection: &dyn fmt::Display,
    symbols: &(impl SymbolResolver + ?Sized),
) -> Result<Stimulus, ResolveError> {
    stimulus.try_map(|place| address_of(injection, place, symbols))
}

fn address_of(
    injection: &dyn fmt::Display,
    place: &Place,
    symbols: &(impl SymbolResolver + ?Sized),
) -> Result<VirtAddr, ResolveError> {
    let (name, offset) = match place {
        Place::Address(at) => return Ok(*at),
        Place::Symbol { name, offset } => (name, *offset),
    };
    let Some(base) = symbols.resolve(name) else {
        let mut nearest = Nearest::to(name);
        symbols.for_each_name(&mut |n| nearest.offer(n));
        return Err(ResolveError::UnknownSymbol {
            injection: printable(&injection.to_string(), 400),
            name: printable(name, 200),
            nearest: nearest.into_best(),
        });
    };
    match base.0.checked_add(offset) {
        Some(at) => Ok(VirtAddr(at)),
        None => Err(ResolveError::OffsetTooLarge {
            injection: printable(&injection.to_string(), 400),
            name: printable(name, 200),
            offset,
            base,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Image;

    const NAMES: [(&str, u64); 3] = [("main", 0x1000), ("nmi_entry", 0x2000), ("top", u64::MAX)];

    impl SymbolResolver for Image {
        fn resolve(&self, name: &str) -> Option<VirtAddr> {
            NAMES
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, at)| VirtAddr(*at))
        }

        fn for_each_name(&self, each: &mut dyn FnMut(&str)) {
            NAMES.iter().for_each(|(n, _)| each(n));
        }
    }

    fn resolved(text: &str) -> Result<ResolvedTrigger, String> {
        let injection: Injection = text.parse().expect(text);
        resolve(injection.clone(), &Image)
            .map(|r| {
                assert_eq!(
                    (r.what.kind(), &r.source),
                    (injection.what.kind(), &injection)
                );
                r.when
            })
            .map_err(|e| e.to_string())
    }

    #[test]
    fn places_become_addresses() {
        let at = |address, nth| ResolvedTrigger::At {
            address: VirtAddr(address),
            nth,
        };
        assert_eq!(resolved("--nmi at=main+0x1a#2"), Ok(at(0x101a, 2)));
        assert_eq!(resolved("--nmi at=0x5"), Ok(at(5, 1)));
        assert_eq!(
            resolved("--irq 0x21@every=7,from=nmi_entry"),
            Ok(ResolvedTrigger::Every {
                period: 7,
                from: ResolvedOrigin::Address(VirtAddr(0x2000)),
            })
        );
        assert_eq!(
            resolved("--nmi storm=7"),
            Ok(ResolvedTrigger::Storm {
                count: 7,
                from: ResolvedOrigin::Icount(0),
            })
        );
    }

    #[test]
    fn the_address_of_a_page_fault_is_a_place_too() {
        let cr2 = |text: &str| {
            let injection: Injection = text.parse().expect(text);
            let resolved = resolve(injection, &Image).map_err(|e| e.to_string())?;
            Ok(resolved.what.address().copied())
        };
        let fault = |addr| format!("--exception page-fault@at=main,ec=0x3,addr={addr}");
        for (addr, at) in [
            ("nmi_entry", 0x2000),
            ("nmi_entry+8", 0x2008),
            ("nmi_entry+0x10", 0x2010),
            ("top+0", u64::MAX),
            ("0x1234", 0x1234),
            ("4096", 4096),
        ] {
            assert_eq!(cr2(&fault(addr)), Ok(Some(VirtAddr(at))), "{addr}");
        }
        assert_eq!(cr2("--exception #GP@at=main"), Ok(None));
        assert_eq!(
            cr2(&fault("nmi_enty+4")),
            Err(format!(
                "{}: the image has no symbol \"nmi_enty\"; did you mean nmi_entry?",
                fault("nmi_enty+0x4")
            ))
        );
        let beyond = cr2(&fault("top+1")).unwrap_err();
        assert!(beyond.contains("top is at 0xffffffffffffffff"), "{beyond}");
    }

    #[test]
    fn errors_name_the_symbol_and_a_near_miss() {
        assert_eq!(
            resolved("--nmi at=nmi_enty+4").unwrap_err(),
            "--nmi at=nmi_enty+0x4: the image has no symbol \"nmi_enty\"; did you mean nmi_entry?"
        );
        let far = resolved("--nmi storm=1,from=quite_another").unwrap_err();
        assert!(
            !far.contains("did you mean") && far.contains("nm lists"),
            "{far}"
        );
        let beyond = resolved("--nmi at=top+1").unwrap_err();
        assert!(beyond.contains("top is at 0xffffffffffffffff"), "{beyond}");
    }
}
