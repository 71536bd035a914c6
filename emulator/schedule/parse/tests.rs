use proptest::prelude::*;

use super::*;

fn nmi(text: &str) -> Trigger {
    match Injection::parse(StimulusKind::Nmi, text) {
        Ok(Injection {
            what: Stimulus::Nmi,
            when,
        }) => when,
        other => panic!("{text}: {other:?}"),
    }
}

fn symbol(name: &str, offset: u64) -> Place {
    Place::Symbol {
        name: name.to_owned(),
        offset,
    }
}

fn at(place: Place, nth: u32) -> Trigger {
    Trigger::At { place, nth }
}

#[test]
fn the_design_s_own_words_are_read() {
    let boundary = |icount, sub| Trigger::Icount(Boundary { icount, sub });
    let after = |vector, nth| Trigger::After { vector, nth };
    for (text, when) in [
        ("at=SYMBOL+0x1a", at(symbol("SYMBOL", 0x1a), 1)),
        ("at=SYMBOL#3", at(symbol("SYMBOL", 0), 3)),
        ("at=SYMBOL+26#3", at(symbol("SYMBOL", 26), 3)),
        (
            "at=0xffffffff80001000",
            at(Place::Address(VirtAddr(0xffff_ffff_8000_1000)), 1),
        ),
        ("at=0x1000#2", at(Place::Address(VirtAddr(0x1000)), 2)),
        ("icount=1234", boundary(1234, 0)),
        ("icount=1234.2", boundary(1234, 2)),
        ("after=page-fault#2", after(Vector::PF, 2)),
        ("after=page-fault", after(Vector::PF, 1)),
        ("after=#pf", after(Vector::PF, 1)),
        ("after=#pf#7", after(Vector::PF, 7)),
        ("after=nmi", after(Vector::NMI, 1)),
        ("after=general-protection#1", after(Vector::GP, 1)),
        ("after=breakpoint", after(Vector::BP, 1)),
        ("after=vector-0x21#4", after(Vector(0x21), 4)),
        ("before=iret#1", Trigger::BeforeIret { nth: 1 }),
        ("before=iret", Trigger::BeforeIret { nth: 1 }),
        (
            "every=100",
            Trigger::Every {
                period: 100,
                from: Origin::Icount(100),
            },
        ),
        (
            "every=100,from=5000",
            Trigger::Every {
                period: 100,
                from: Origin::Icount(5000),
            },
        ),
        (
            "from=main+4,every=100",
            Trigger::Every {
                period: 100,
                from: Origin::Place(symbol("main", 4)),
            },
        ),
        (
            "storm=4",
            Trigger::Storm {
                count: 4,
                from: Origin::Icount(0),
            },
        ),
    ] {
        assert_eq!(nmi(text), when, "{text}");
    }
}

#[test]
fn names_of_other_languages_are_symbols() {
    for name in [
        "_ZN4core3ptr13drop_in_place17h0123456789abcdefE",
        "a.b$c",
        "größe",
        "a#b",
        "f@plt",
    ] {
        assert_eq!(nmi(&format!("at={name}")), at(symbol(name, 0), 1));
        assert_eq!(nmi(&format!("at={name}+0x10#2")), at(symbol(name, 0x10), 2));
    }
}

#[test]
fn the_other_options_name_what_they_inject() {
    let parse = |kind, text| Injection::parse(kind, text).expect(text).what;
    assert_eq!(
        parse(StimulusKind::Irq, "0x21@at=main"),
        Stimulus::Irq(Vector(0x21))
    );
    assert_eq!(
        parse(StimulusKind::Irq, "33@every=10"),
        Stimulus::Irq(Vector(33))
    );
    assert_eq!(
        parse(StimulusKind::MachineCheck, "@icount=5"),
        Stimulus::MachineCheck
    );
    let exception = |vector, error_code, address: Option<Place>| Stimulus::Exception {
        vector,
        error_code,
        address,
    };
    let number = |at| Some(Place::Address(VirtAddr(at)));
    for (text, what) in [
        (
            "page-fault@at=main,ec=0x2,addr=0x1000",
            exception(Vector::PF, Some(2), number(0x1000)),
        ),
        (
            "#pf@addr=0x1000,at=main",
            exception(Vector::PF, Some(0), number(0x1000)),
        ),
        // An address is also read in decimal, and so is an offset.
        (
            "#pf@at=main,addr=4096",
            exception(Vector::PF, Some(0), number(4096)),
        ),
        (
            "#pf@at=main,ec=3,addr=jiffies_64",
            exception(Vector::PF, Some(3), Some(symbol("jiffies_64", 0))),
        ),
        (
            "#pf@addr=jiffies_64+0x8,at=main",
            exception(Vector::PF, Some(0), Some(symbol("jiffies_64", 8))),
        ),
        (
            "#pf@addr=jiffies_64+10,at=main",
            exception(Vector::PF, Some(0), Some(symbol("jiffies_64", 10))),
        ),
        // A place has no number of arrivals here.
        (
            "#pf@at=main#2,addr=a#3",
            exception(Vector::PF, Some(0), Some(symbol("a#3", 0))),
        ),
        ("#gp@at=main,ec=24", exception(Vector::GP, Some(24), None)),
        ("#gp@at=main", exception(Vector::GP, Some(0), None)),
        ("invalid-opcode@at=main", exception(Vector::UD, None, None)),
        ("1@at=main", exception(Vector::DB, None, None)),
    ] {
        assert_eq!(parse(StimulusKind::Exception, text), what, "{text}");
    }
}

#[test]
fn errors_show_the_place_and_the_mend() {
    use StimulusKind::{Exception, Irq, MachineCheck, Nmi};
    for (kind, text, column, problem, mend) in [
        (Nmi, "", 1, "expected a time", "at=main+0x1a"),
        (
            Nmi,
            "main",
            1,
            "expected KEY=VALUE, found \"main\"",
            "at=main+0x1a",
        ),
        (
            Nmi,
            "at=",
            4,
            "expected a symbol or an address",
            "main+0x1a",
        ),
        (
            Nmi,
            "at=main+",
            9,
            "expected an offset after '+'",
            "main+0x1a",
        ),
        (Nmi, "at=main+0xfg", 9, "expected an offset", "+0x1a"),
        (
            Nmi,
            "at=main+0x10000000000000000",
            9,
            "expected an offset of at most 64 bits",
            "+0x1a",
        ),
        (Nmi, "at=main#0", 9, "#0", "count from 1"),
        (Nmi, "at=main#4294967296", 9, "too large", "4294967295"),
        (Nmi, "at=+5", 4, "expected a symbol before '+'", "main+0x1a"),
        (
            Nmi,
            "at=1234",
            4,
            "neither a symbol nor an address",
            "icount=1234",
        ),
        (Nmi, "at=0xzz", 4, "no 64-bit address", "0xffffffff80001000"),
        (
            Nmi,
            "icount=",
            8,
            "expected a number of instructions",
            "icount=1234.2",
        ),
        (
            Nmi,
            "icount=-1",
            8,
            "expected a number of instructions",
            "icount=1234.2",
        ),
        (
            Nmi,
            "icount=5.",
            10,
            "expected a number after '.'",
            "icount=1234.2",
        ),
        (Nmi, "icount=5.4294967296", 10, "too large", "icount=1234.2"),
        (
            Nmi,
            "icount=18446744073709551616",
            8,
            "expected a number of instructions",
            "icount=1234",
        ),
        (
            Nmi,
            "after=page-falt#2",
            7,
            "\"page-falt\" is no vector",
            "did you mean page-fault?",
        ),
        (Nmi, "after=vector-256", 7, "is no vector", "from 0 to 255"),
        (Nmi, "before=ret", 8, "expected iret", "before=iret#1"),
        (Nmi, "every=0", 7, "never", "every=100"),
        (Nmi, "every=10,from=0x", 15, "no 64-bit address", "main"),
        (Nmi, "storm=0", 7, "expected 1 to", "storm=4"),
        (
            Nmi,
            "at=größe,att=5",
            10,
            "\"att\" is no key",
            "did you mean at=?",
        ),
        (
            Nmi,
            "at=a,icount=5",
            6,
            "at= and icount= in one injection",
            "use --nmi once for each",
        ),
        (Nmi, "at=a,at=b", 6, "twice", "leave one out"),
        (
            Nmi,
            "at=a,from=5",
            6,
            "from= goes with every= and storm=",
            "leave it out",
        ),
        (
            Nmi,
            "at=a,ec=5",
            6,
            "ec= goes with --exception",
            "leave it out",
        ),
        (Nmi, "from=5", 1, "expected a time", "at=main"),
        (Irq, "at=main", 1, "expected a vector, '@'", "0x21@at=main"),
        (Irq, "256@at=main", 1, "\"256\" is no vector", "0 to 255"),
        (Irq, "0x21@", 6, "expected a time", "at=main"),
        (Irq, "0x21@storm=3", 6, "storm= is for NMIs", "every="),
        (MachineCheck, "at=main", 1, "expected '@'", "@icount=500"),
        (
            Exception,
            "page-fault@at=main",
            19,
            "expected addr=",
            "addr=0xffffc90000000000",
        ),
        (
            Exception,
            "#pf@at=main,addr=",
            18,
            "expected a symbol or an address",
            "main+0x1a",
        ),
        (
            Exception,
            "#pf@at=main,addr=0x1000+8",
            18,
            "no 64-bit address",
            "0xffffffff80001000",
        ),
        (
            Exception,
            "#pf@at=main,addr=4096+8",
            18,
            "expected an address for CR2",
            "jiffies+0x8",
        ),
        (
            Exception,
            "#pf@at=main,addr=jiffies+",
            26,
            "expected an offset after '+'",
            "jiffies+0x1a",
        ),
        (
            Exception,
            "#pf@at=main,addr=jiffies+0x10000000000000000",
            26,
            "expected an offset of at most 64 bits",
            "+0x1a",
        ),
        (
            Exception,
            "#gp@at=main,addr=jiffies",
            18,
            "has no address",
            "leave addr= out",
        ),
        (
            Exception,
            "#ud@at=main,ec=1",
            16,
            "pushes no error code",
            "leave ec= out",
        ),
        (
            Exception,
            "#gp@at=main,ec=0x100000000",
            16,
            "too large",
            "32 bits",
        ),
        (
            Exception,
            "#gp@at=main,addr=1",
            18,
            "has no address",
            "leave addr= out",
        ),
        (
            Exception,
            "nmi@at=main",
            1,
            "nmi is no exception",
            "use --nmi",
        ),
        (
            Exception,
            "#mc@at=main",
            1,
            "machine-check is no exception",
            "use --mce",
        ),
        (
            Exception,
            "0x21@at=main",
            1,
            "vector-0x21 is no exception",
            "use --irq",
        ),
        (
            Exception,
            "15@at=main",
            1,
            "vector-0xf is no exception",
            "not reserved",
        ),
    ] {
        let e = Injection::parse(kind, text).expect_err(text);
        assert_eq!((e.column, e.option), (column, kind.option()), "{e}");
        assert!(e.problem.contains(problem), "{e}");
        assert!(e.mend.contains(mend), "{e}");
        let line = e.to_string();
        assert!(
            !line.contains('\n') && line.contains(&format!("{text:?}")),
            "{line}"
        );
    }
}

#[test]
fn hostile_text_is_refused_in_one_short_line() {
    let long = format!("at={}", "x".repeat(1 << 20));
    let e = Injection::parse(StimulusKind::Nmi, &long).expect_err("too long");
    assert!(e.to_string().len() < 400, "{e}");
    let e = Injection::parse(StimulusKind::Nmi, "a\nb\u{1b}=c").expect_err("no key");
    assert!(!e.to_string().contains(['\n', '\u{1b}']), "{e}");
    assert!("--smi at=main".parse::<Injection>().is_err());
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_.$][a-zA-Z0-9_.$@:<>#+]{0,12}",
        "[a-z]{1,3}#[0-9]{1,3}",
        "[a-z]{1,3}[+](0x)?[0-9a-g]{1,3}",
    ]
    .prop_filter("a lone '+' at the end asks for an offset", |name| {
        !name.ends_with('+')
    })
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![
        (names(), prop_oneof![Just(0), any::<u64>()])
            .prop_map(|(name, offset)| Place::Symbol { name, offset }),
        any::<u64>().prop_map(|a| Place::Address(VirtAddr(a))),
    ]
}

fn origins() -> impl Strategy<Value = Origin> {
    prop_oneof![
        any::<u64>().prop_map(Origin::Icount),
        places().prop_map(Origin::Place),
    ]
}

fn triggers() -> impl Strategy<Value = Trigger> {
    let nth = 1..=u32::MAX;
    prop_oneof![
        (places(), prop_oneof![Just(1), nth.clone()])
            .prop_map(|(place, nth)| Trigger::At { place, nth }),
        (any::<u64>(), any::<u32>())
            .prop_map(|(icount, sub)| Trigger::Icount(Boundary { icount, sub })),
        (any::<u8>(), nth.clone()).prop_map(|(v, nth)| Trigger::After {
            vector: Vector(v),
            nth
        }),
        nth.prop_map(|nth| Trigger::BeforeIret { nth }),
        (1..=u64::MAX, origins()).prop_map(|(period, from)| Trigger::Every { period, from }),
    ]
}

fn injections() -> impl Strategy<Value = Injection> {
    let exceptions = prop_oneof![
        (any::<u32>(), places()).prop_map(|(code, at)| Stimulus::Exception {
            vector: Vector::PF,
            error_code: Some(code),
            address: Some(at),
        }),
        any::<u32>().prop_map(|code| Stimulus::Exception {
            vector: Vector::GP,
            error_code: Some(code),
            address: None,
        }),
        Just(Stimulus::Exception {
            vector: Vector::UD,
            error_code: None,
            address: None,
        }),
    ];
    let any_time = prop_oneof![
        Just(Stimulus::Nmi),
        any::<u8>().prop_map(|v| Stimulus::Irq(Vector(v))),
        Just(Stimulus::MachineCheck),
        exceptions,
    ];
    prop_oneof![
        8 => (any_time, triggers()).prop_map(|(what, when)| Injection { what, when }),
        1 => (1..=u32::MAX, origins()).prop_map(|(count, from)| Injection {
            what: Stimulus::Nmi,
            when: Trigger::Storm { count, from },
        }),
    ]
}

proptest! {
    #[test]
    fn canonical_text_reads_back(injection in injections()) {
        let text = injection.to_string();
        prop_assert_eq!(text.parse::<Injection>().map_err(|e| e.to_string()), Ok(injection), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}", near in "(at|icount|after|every|storm|from|ec|addr)=[a-z0-9x#+.,=@]{0,20}") {
        for kind in StimulusKind::ALL {
            for text in [&text, &near, &format!("#pf@{near}"), &format!("#pf@at=a,{near}")] {
                if let Ok(injection) = Injection::parse(kind, text) {
                    // What is read has a canonical text that means the same.
                    let again = Injection::parse(kind, &injection.argument());
                    prop_assert_eq!(again.map_err(|e| e.to_string()), Ok(injection));
                }
            }
        }
    }
}
