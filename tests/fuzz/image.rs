//! Files of any kind and name: which loader takes them, and what it says.

use iretrace::load::assemble::Limits;
use iretrace::load::detect::{Content, content};
use iretrace::load::{Format, Image, LoadOptions};

use super::driver::{Target, one_line};
use super::noise;
use super::random::Random;

/// The first line is the name, and what options there are; the rest is the file.
fn split(input: &[u8]) -> (String, LoadOptions, &[u8]) {
    let end = input
        .iter()
        .position(|&b| b == b'\n')
        .unwrap_or(input.len());
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let (name, option) = head.split_once('\t').unwrap_or((&head, ""));
    let options = LoadOptions {
        flat: option == "flat",
        base: option
            .strip_prefix("0x")
            .and_then(|n| u64::from_str_radix(n, 16).ok()),
        ..LoadOptions::default()
    };
    (
        name.to_owned(),
        options,
        input.get(end + 1..).unwrap_or_default(),
    )
}

fn examine(input: &[u8], assemble: bool) -> String {
    let (name, mut options, bytes) = split(input);
    let content = content(&name, bytes);
    if content == Content::Source && !options.flat {
        if !assemble {
            return "a source".to_owned();
        }
        options.assembler = Limits {
            seconds: 2,
            ..Limits::default()
        };
    }
    if let Content::Other { looks_like, mend } = &content {
        one_line(looks_like);
        one_line(mend);
    }
    match Image::from_bytes(&name, bytes, &options) {
        Ok(image) => {
            assert!(image.segment_at(image.entry).is_some());
            image.notes.iter().for_each(|n| one_line(n));
            if image.format == Format::Flat {
                assert_eq!(image.segments[0].data, bytes);
            }
            format!("{:?}", image.format)
        }
        Err(e) => {
            one_line(&e.to_string());
            e.to_string()
        }
    }
}

fn join(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\n", body].concat()
}

const SOURCE: &[u8] =
    b".globl _start\n_start:\n mov $0x1000, %rsp\n1: pause\n jmp 1b\n.data\nx: .quad _start\n";

pub struct AnyFile;

impl Target for AnyFile {
    const NAME: &'static str = "any-file";
    const CASES: u64 = 10_000;

    fn seeds() -> Vec<Vec<u8>> {
        let mut boot = vec![0x90; 0x210];
        boot[510..512].copy_from_slice(b"\x55\xaa");
        vec![
            join("a.S", SOURCE),
            join("a.bin", b"\xf4\xeb\xfd"),
            join("a.bin\t0x200000", b"\xf4"),
            join("a\tflat", b"\x7fELF"),
            join("a", b"\x7fELF\x02\x01\x01"),
            join("a", b"MZ\x90\0"),
            join("a", b"#!/bin/sh\n"),
            join("boot", &boot),
            join("a", "grüße\n".as_bytes()),
        ]
    }

    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        const MAGICS: &[&[u8]] = &[
            b"\x7fELF",
            b"MZ",
            b"#!",
            b"!<arch>\n",
            b"\x1f\x8b",
            b"HdrS",
            b"\xff\xfe",
            b"\0\0\0\0",
            b".S",
            b".bin",
            b".asm",
            b"\tflat",
            b"\t0xfffffffffffff000",
        ];
        match r.below(4) {
            0 => {
                let at = r.below(input.len() + 1);
                input.splice(at..at, r.pick(MAGICS).iter().copied());
            }
            1 => {
                let (name, body) = (split(input).2.to_vec(), other);
                let head = &body[..body.iter().position(|&b| b == b'\n').unwrap_or(0)];
                *input = [head, b"\n", &name].concat();
            }
            _ => noise::bytes(input, r),
        }
    }

    fn check(input: &[u8]) -> String {
        examine(input, false)
    }
}

/// Sources, through the assembler: slow, so there are few.
pub struct Assembly;

impl Target for Assembly {
    const NAME: &'static str = "assembly";
    const CASES: u64 = 25;

    fn seeds() -> Vec<Vec<u8>> {
        let macros =
            b".macro r n\n .rept \\n\n nop\n .endr\n.endm\n.globl _start\n_start: r 9\n hlt\n";
        vec![join("a.S", SOURCE), join("b.asm", macros)]
    }

    fn mutate(input: &mut Vec<u8>, _: &[u8], r: &mut Random) {
        const WORDS: &[&str] = &[
            ".rept 99999999\n",
            ".endr\n",
            ".org 0x7fffffff\n",
            ".fill 1000000,8,0\n",
            ".macro",
            "1f",
            ".section .x,\"ax\"\n",
            ".quad ",
            "_start",
            ".globl ",
            "\n",
            "$",
            "%rax",
            ".incbin \"x\"\n",
            ".include \"kernel.inc\"\n",
            ".err\n",
            ".warning \"a\"\n",
            ".code16\n",
            "section .text\n",
        ];
        let mut text = String::from_utf8_lossy(split(input).2).into_owned();
        noise::text(&mut text, WORDS, r);
        *input = join("a.S", text.as_bytes());
    }

    fn check(input: &[u8]) -> String {
        examine(input, true)
    }
}
