//! What is written on a command line: injections, lists of event classes, numbers, places.

use iretrace::arch::VirtAddr;
use iretrace::load::SymbolTable;
use iretrace::schedule::{Injection, StimulusKind, resolve};
use iretrace::trace::filter::CLASS_NAMES;
use iretrace::trace::{EventClass, parse_events};

use super::driver::{Target, one_line};
use super::noise;
use super::number;
use super::random::Random;

fn lossy(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

/// Changes text by words; now and then by a piece of another text.
fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&str], r: &mut Random) {
    let mut text = lossy(input);
    if r.one_in(8) {
        let other = lossy(other);
        let part: String = other.chars().skip(r.below(8)).take(r.below(24)).collect();
        text.push_str(&part);
    } else if r.one_in(400) {
        // Long texts.
        text = text.repeat(1 + r.below(2000));
        text.truncate(text.floor_char_boundary(1 << 16));
    } else {
        noise::text(&mut text, words, r);
    }
    *input = text.into_bytes();
}

fn symbols() -> SymbolTable {
    let list = [
        ("main", VirtAddr(0x1000), 0x100),
        ("a+b-c#2", VirtAddr(0x2000), 8),
        ("top", VirtAddr(u64::MAX), 1),
    ];
    SymbolTable::from_list(list, VirtAddr(u64::MAX))
}

/// `--nmi`, `--irq`, `--mce`, `--exception`.
pub struct Schedule;

impl Target for Schedule {
    const NAME: &'static str = "schedule";
    const CASES: u64 = 16_000;

    fn seeds() -> Vec<Vec<u8>> {
        seeds(&[
            "--nmi at=nmi_entry+0x1a",
            "--nmi at=memcpy#3",
            "--nmi at=0xffffffff80001000#3",
            "--nmi icount=1234.2",
            "--nmi after=page-fault#2",
            "--nmi before=iret#1",
            "--nmi every=100,from=main+0x10",
            "--nmi storm=4,from=5000",
            "--irq 0x21@at=main",
            "--irq vector-33@every=7",
            "--mce @icount=500",
            "--exception page-fault@at=main,ec=0x2,addr=0x1000",
            "--exception page-fault@icount=5,addr=main+0x8",
            "--exception #GP@icount=3,ec=16",
            "--exception debug@at=a+b-c#2+0#1",
        ])
    }

    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        const WORDS: &[&str] = &[
            "--nmi ",
            "--irq ",
            "--mce ",
            "--exception ",
            "at=",
            "icount=",
            "after=",
            "before=",
            "every=",
            "storm=",
            "from=",
            "ec=",
            "addr=",
            "iret",
            "#1",
            "#0",
            "#4294967295",
            "#4294967296",
            "+0",
            "+0x",
            "main",
            "a+b-c#2",
            "0x10",
            "@",
            ",",
            "page-fault",
            "#PF",
            "vector-",
            "nmi",
            "machine-check",
            "256",
            "debug",
            "double-fault",
            "..",
            "++",
            "##",
        ];
        mutate(input, other, WORDS, r);
    }

    fn check(input: &[u8]) -> String {
        let text = lossy(input);
        let injection: Injection = match text.parse() {
            Ok(injection) => injection,
            Err(e) => {
                let said = e.to_string();
                one_line(&said);
                let option = StimulusKind::ALL
                    .iter()
                    .find(|k| text.split(' ').next() == Some(k.option()));
                assert_eq!(e.option, option.map_or("injection", |k| k.option()));
                let argument = text.split_once(' ').map_or("", |(_, a)| a);
                let length = if option.is_some() { argument } else { &text }
                    .chars()
                    .count();
                assert!(
                    (1..=length + 1).contains(&e.column),
                    "column {} of {length}",
                    e.column
                );
                return format!("{}; {}", e.problem, e.mend);
            }
        };
        let shown = injection.to_string();
        let back: Injection = shown
            .parse()
            .unwrap_or_else(|e| panic!("{shown:?} does not read back: {e}"));
        assert_eq!(back, injection, "{shown:?} reads back as another");
        assert_eq!(back.to_string(), shown);
        match resolve(injection.clone(), &symbols()) {
            Ok(_) => format!("{:?}", injection.when),
            Err(e) => {
                one_line(&e.to_string());
                "not resolved".to_owned()
            }
        }
    }
}

/// `--events`.
pub struct Events;

impl Target for Events {
    const NAME: &'static str = "events";
    const CASES: u64 = 10_000;

    fn seeds() -> Vec<Vec<u8>> {
        seeds(&[
            "nmi,fault,iret",
            "default,insn",
            "-walk",
            "all,-mem",
            " nmi , io ",
        ])
    }

    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        const WORDS: &[&str] = &[
            "nmi", "fault", "-", ",", "all", "default", "-all", " ", "wlak", "stop",
        ];
        mutate(input, other, WORDS, r);
    }

    fn check(input: &[u8]) -> String {
        let text = lossy(input);
        match parse_events(&text) {
            Ok(classes) => {
                assert!(classes.contains(EventClass::STOP), "the end is always told");
                let mut words: Vec<&str> = Vec::new();
                words.extend(
                    CLASS_NAMES
                        .iter()
                        .filter(|c| classes.contains(c.1))
                        .map(|c| c.0),
                );
                assert_eq!(parse_events(&words.join(",")), Ok(classes));
                format!("{classes:?}")
            }
            Err(e) => {
                one_line(&e.to_string());
                "no list".to_owned()
            }
        }
    }
}

/// Numbers: sizes, counts, limits.
pub struct Numbers;

impl Target for Numbers {
    const NAME: &'static str = "numbers";
    const CASES: u64 = 8_000;

    fn seeds() -> Vec<Vec<u8>> {
        seeds(&[
            "64M",
            "1_000",
            "0x1000",
            "none",
            "16GiB",
            "18446744073709551615",
            "10k",
        ])
    }

    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        const WORDS: &[&str] = &[
            "0x", "0X", "_", "K", "kib", "M", "G", "GiB", "none", "-", "+", "e9", " ",
        ];
        mutate(input, other, WORDS, r);
    }

    fn check(input: &[u8]) -> String {
        let text = lossy(input);
        let mut said = String::new();
        for (name, read) in [
            ("size", number::size as fn(&str) -> Result<u64, String>),
            ("count", number::count),
            ("limit", number::limit),
            ("plain", number::plain),
        ] {
            match read(&text) {
                Ok(n) => {
                    if name == "size" {
                        assert_eq!(number::size(&number::shown_size(n)), Ok(n));
                    }
                    assert_eq!(number::grouped(n).replace(',', ""), n.to_string());
                    assert_eq!(number::plain(&n.to_string()), Ok(n));
                    said += name;
                }
                Err(e) => {
                    one_line(&e);
                    said += &e;
                }
            }
        }
        let narrow = number::plain32(&text).map(u64::from).ok();
        assert_eq!(
            narrow,
            number::plain(&text)
                .ok()
                .filter(|&n| n <= u64::from(u32::MAX))
        );
        said
    }
}

/// `NAME+0x1f`.
pub struct Places;

impl Target for Places {
    const NAME: &'static str = "places";
    const CASES: u64 = 8_000;

    fn seeds() -> Vec<Vec<u8>> {
        seeds(&[
            "main",
            "main+0x1f",
            "main - 4",
            "0xffffffff80000000+16",
            "a+b-c#2-1",
            "0x_ff",
            "top+1",
        ])
    }

    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        const WORDS: &[&str] = &[
            "main",
            "mian",
            "0x",
            "+",
            "-",
            "0xffffffffffffffff",
            "_",
            "a+b-c#2",
            " ",
        ];
        mutate(input, other, WORDS, r);
    }

    fn check(input: &[u8]) -> String {
        let text = lossy(input);
        let table = symbols();
        match table.find(&text) {
            Ok(at) => {
                assert_eq!(table.find(&format!("{at}")), Ok(at));
                if let Some(shown) = table.shown(at) {
                    assert_eq!(table.find(&shown), Ok(at), "{shown:?}");
                }
                "found".to_owned()
            }
            Err(e) => {
                one_line(&e.to_string());
                e.to_string()
            }
        }
    }
}
