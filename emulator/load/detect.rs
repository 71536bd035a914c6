//! What a file is, by its content; its extension only tells text apart from text.

use super::error::printable;
use super::linux::is_bzimage;

/// What a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// It begins with `\x7fELF`.
    Elf,
    /// It has a Linux setup header.
    Linux,
    /// Text, named `.S`, `.s` or `.asm`.
    Source,
    /// Named `.bin`: a flat binary by its author's word.
    Bin,
    /// None of them.
    Other {
        /// What it looks like, with an article.
        looks_like: String,
        /// What to do.
        mend: String,
    },
}

const FLAT: &str = "if it is a flat binary all the same, give its base address";

/// First bytes of files that people might give, and what to do with them.
#[rustfmt::skip]
const MAGICS: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\xcf\xfa\xed\xfe", "a Mach-O file", "build an ELF64 for x86_64-unknown-none"),
    (0, b"\xca\xfe\xba\xbe", "a Mach-O universal file", "build an ELF64 for x86_64-unknown-none"),
    (0, b"BC\xc0\xde", "LLVM bitcode", "compile and link it to an ELF64 executable"),
    (0, b"!<arch>\n", "a static library (ar archive)", "link it to an ELF64 executable"),
    (0, b"\x1f\x8b", "a gzip file", "unpack it first: gunzip"),
    (0, b"\xfd7zXZ\0", "an xz file", "unpack it first: unxz"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first: unzstd"),
    (0, b"BZh", "a bzip2 file", "unpack it first: bunzip2"),
    (0, b"PK\x03\x04", "a zip file", "unpack it first"),
    (0, b"\x00asm", "a WebAssembly module", "build an ELF64 for x86_64-unknown-none"),
    (0, b"QFI\xfb", "a qcow2 disk image", "give the kernel's ELF file itself"),
    (0x8001, b"CD001", "a CD image (ISO 9660)", "give the kernel's ELF file itself"),
    (510, b"\x55\xaa", "a boot sector, which starts in 16-bit mode", "give an ELF64 or flat image that starts in long mode"),
];

/// Whether `name` ends in one of the extensions of assembly sources.
#[must_use]
pub fn is_source_name(name: &str) -> bool {
    [".S", ".s", ".asm"].iter().any(|e| name.ends_with(e))
}

/// Says what `bytes`, from the file `name`, are.
#[must_use]
pub fn content(name: &str, bytes: &[u8]) -> Content {
    if bytes.starts_with(b"\x7fELF") {
        return Content::Elf;
    }
    if is_bzimage(bytes) {
        return Content::Linux;
    }
    let text = looks_like_text(bytes);
    if is_source_name(name) && text {
        return Content::Source;
    }
    if name.ends_with(".bin") && !bytes.is_empty() {
        return Content::Bin;
    }
    let (looks_like, mend) = describe(bytes, text);
    Content::Other { looks_like, mend }
}

fn describe(bytes: &[u8], text: bool) -> (String, String) {
    if bytes.is_empty() {
        return (
            "an empty file".to_owned(),
            "give an ELF64 executable, a flat binary or a .S source".to_owned(),
        );
    }
    // PE has its offset of "PE\0\0" at 0x3c; a bare MZ may be two letters of anything.
    if bytes.starts_with(b"MZ") {
        return (
            "a DOS, Windows or UEFI program (MZ)".to_owned(),
            "build an ELF64 for x86_64-unknown-none".to_owned(),
        );
    }
    if let Some((.., looks_like, mend)) =
        MAGICS.iter().find(|(at, magic, ..)| has(bytes, *at, magic))
    {
        return ((*looks_like).to_owned(), (*mend).to_owned());
    }
    if bytes.starts_with(b"#!") && text {
        return (
            "a script (#!)".to_owned(),
            "give the image that it builds".to_owned(),
        );
    }
    if text {
        return (
            format!("a text file ({})", first_line(bytes)),
            "name an assembly source .S, .s or .asm; else give an ELF64 executable".to_owned(),
        );
    }
    if bytes.iter().all(|&b| b == 0) {
        return (
            "nothing but zero bytes".to_owned(),
            "give an ELF64 executable, a flat binary or a .S source".to_owned(),
        );
    }
    let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
    (
        format!("unknown binary data ({})", head.join(" ")),
        FLAT.to_owned(),
    )
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|b| b.starts_with(magic))
}

/// No NUL, few control characters, in the first 4 KiB. An empty file is text.
fn looks_like_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4096)];
    let odd = head
        .iter()
        .filter(|&&b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c))
        .count();
    // Text in another encoding than UTF-8 is text too; but machine code is full of high bytes.
    let high = head.iter().filter(|&&b| b >= 0x80).count();
    let utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    };
    !head.contains(&0) && odd * 50 <= head.len() && (utf8 || high * 10 <= head.len())
}

fn first_line(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]);
    let line = head
        .trim_start()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end();
    let short: String = line.chars().take(40).collect();
    let dots = if short.len() < line.len() { "…" } else { "" };
    format!("\"{}{dots}\"", printable(&short))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(name: &str, bytes: &[u8]) -> String {
        match content(name, bytes) {
            Content::Other { looks_like, .. } => looks_like,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(content("x", b"\x7fELF"), Content::Elf);
        assert_eq!(content("x.S", b"\x7fELF"), Content::Elf);
        assert_eq!(content("x.S", b"hlt\n"), Content::Source);
        assert_eq!(content("x.asm", b""), Content::Source);
        assert_eq!(content("x.bin", b"\xf4"), Content::Bin);
        assert_eq!(
            looks("x", b"Hello,\tworld\nmore"),
            "a text file (\"Hello,\tworld\")".replace('\t', "\\t")
        );
        assert_eq!(
            looks("x.S", b"\xf4\xeb\xfe\0"),
            "unknown binary data (f4 eb fe 00)"
        );
        assert_eq!(looks("x.bin", b""), "an empty file");
        assert_eq!(looks("x", b"\0\0\0"), "nothing but zero bytes");
        assert_eq!(looks("x", b"#!/bin/sh\n"), "a script (#!)");
        assert_eq!(looks("x", b"\x1f\x8b\x08\0"), "a gzip file");
        assert!(looks("x.efi", b"MZ\x90\0").contains("UEFI"));
    }

    #[test]
    fn linux_kernel_images_are_told_from_uefi_programs() {
        let mut b = vec![0x90; 0x300];
        b[..2].copy_from_slice(b"MZ");
        b[510..512].copy_from_slice(b"\x55\xaa");
        b[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(content("bzImage", &b), Content::Linux);
        b[0x202] = 0;
        b[0] = 0xeb;
        assert!(looks("boot", &b).starts_with("a boot sector"));
    }

    #[test]
    fn a_long_first_line_is_cut() {
        let l = looks("x", "ä".repeat(300).as_bytes());
        assert!(l.ends_with("…\")") && l.chars().count() < 70, "{l}");
    }
}
