//! Which events are wanted: the words of `--events`.

use thiserror::Error;

use super::event::EventClass;
use crate::suggest::Nearest;

/// The word of each class, and what it selects.
pub const CLASS_NAMES: &[(&str, EventClass, &str)] = &[
    (
        "nmi",
        EventClass::NMI,
        "NMIs: raised, latched, merged, delivered, blocked, unblocked",
    ),
    (
        "fault",
        EventClass::FAULT,
        "exceptions, their deliveries, and failures of delivery",
    ),
    ("irq", EventClass::IRQ, "maskable and software interrupts"),
    ("walk", EventClass::WALK, "page walks"),
    ("iret", EventClass::IRET, "IRET and other resumptions"),
    ("syscall", EventClass::SYSCALL, "SYSCALL and SYSRET"),
    ("reg", EventClass::REG, "control registers, MSRs, SWAPGS"),
    (
        "tlb",
        EventClass::TLB,
        "invalidations of cached translations",
    ),
    ("io", EventClass::IO, "ports and device memory"),
    (
        "console",
        EventClass::CONSOLE,
        "lines that the guest prints",
    ),
    ("halt", EventClass::HALT, "HLT and waking from it"),
    ("insn", EventClass::INSN, "every instruction"),
    ("mem", EventClass::MEM, "every data access"),
    ("stop", EventClass::STOP, "the end of the run; always on"),
];

/// What is traced unless something else is asked for: everything but the events that come with
/// ordinary instructions.
pub const DEFAULT_CLASSES: EventClass = EventClass::all()
    .difference(EventClass::INSN)
    .difference(EventClass::MEM)
    .difference(EventClass::IO);

/// A list of classes that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FilterError {
    /// A word that names no class.
    #[error(
        "--events {list:?}: {word:?} is no kind of event{}; known are {}",
        .nearest.as_ref().map(|n| format!(" (did you mean {n:?}?)")).unwrap_or_default(),
        known_words()
    )]
    Unknown {
        /// The whole list.
        list: String,
        /// The bad word.
        word: String,
        /// The known word nearest to it.
        nearest: Option<String>,
    },
    /// Nothing between two commas.
    #[error("--events {list:?}: an empty word; write for example nmi,fault,iret or -walk")]
    Empty {
        /// The whole list.
        list: String,
    },
}

/// All words, for the error.
fn known_words() -> String {
    let mut words: Vec<&str> = CLASS_NAMES.iter().map(|(name, ..)| *name).collect();
    words.extend(["all", "default"]);
    words.join(", ")
}

/// Reads a list such as `nmi,fault,iret`, `default,insn` or `-walk`.
///
/// Words are taken from left to right; `-word` removes. A list that begins with a removal
/// starts from [`DEFAULT_CLASSES`], any other from nothing. The end of the run is always wanted.
///
/// # Errors
/// [`FilterError`] names the bad word, the nearest good one and all good ones.
pub fn parse_events(list: &str) -> Result<EventClass, FilterError> {
    let mut classes = if list.trim_start().starts_with('-') {
        DEFAULT_CLASSES
    } else {
        EventClass::empty()
    };
    for word in list.split(',').map(str::trim) {
        let (name, removes) = match word.strip_prefix('-') {
            Some(name) => (name, true),
            None => (word, false),
        };
        if name.is_empty() {
            return Err(FilterError::Empty { list: shown(list) });
        }
        let class = class_of(name).ok_or_else(|| FilterError::Unknown {
            list: shown(list),
            word: shown(name),
            nearest: nearest(name),
        })?;
        if removes {
            classes -= class;
        } else {
            classes |= class;
        }
    }
    Ok(classes | EventClass::STOP)
}

/// The beginning of what is very long.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

fn class_of(name: &str) -> Option<EventClass> {
    match name {
        "all" => Some(EventClass::all()),
        "default" => Some(DEFAULT_CLASSES),
        _ => CLASS_NAMES
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, class, _)| *class),
    }
}

fn nearest(name: &str) -> Option<String> {
    let mut n = Nearest::to(name);
    for (known, ..) in CLASS_NAMES {
        n.offer(known);
    }
    n.offer("all");
    n.offer("default");
    n.into_best()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_one_word() {
        let mut all = EventClass::empty();
        for (name, class, _) in CLASS_NAMES {
            assert_eq!(class.bits().count_ones(), 1, "{name}");
            assert!(!all.intersects(*class), "{name}");
            all |= *class;
            assert_eq!(parse_events(name), Ok(*class | EventClass::STOP));
        }
        assert_eq!(all, EventClass::all());
    }

    #[test]
    fn lists_add_and_remove_from_left_to_right() {
        let nmi_iret = EventClass::NMI | EventClass::IRET | EventClass::STOP;
        assert_eq!(parse_events("nmi,iret"), Ok(nmi_iret));
        assert_eq!(parse_events(" nmi , iret "), Ok(nmi_iret));
        assert_eq!(parse_events("nmi,walk,iret,-walk"), Ok(nmi_iret));
        assert_eq!(parse_events("-walk,walk"), Ok(DEFAULT_CLASSES));
        assert_eq!(
            parse_events("-walk"),
            Ok(DEFAULT_CLASSES - EventClass::WALK)
        );
        assert_eq!(
            parse_events("all,-mem"),
            Ok(EventClass::all() - EventClass::MEM)
        );
        assert_eq!(
            parse_events("default,insn"),
            Ok(DEFAULT_CLASSES | EventClass::INSN)
        );
        assert_eq!(parse_events("all,-all"), Ok(EventClass::STOP));
    }

    #[test]
    fn errors_name_the_word_and_the_mend() {
        let text = parse_events("nmi,wlak").unwrap_err().to_string();
        assert!(
            text.contains("\"wlak\"") && text.contains("did you mean \"walk\"?"),
            "{text}"
        );
        for (name, ..) in CLASS_NAMES {
            assert!(text.contains(name), "{text}");
        }
        let text = parse_events("-zzzzzz").unwrap_err().to_string();
        assert!(
            text.contains("\"zzzzzz\"") && !text.contains("did you mean"),
            "{text}"
        );
        for list in ["", "nmi,,io", "-", "nmi,"] {
            assert!(
                matches!(parse_events(list), Err(FilterError::Empty { .. })),
                "{list:?}"
            );
        }
    }
}
