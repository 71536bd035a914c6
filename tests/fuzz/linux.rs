//! Linux kernels: the setup header, the payload and the symbols in it.

use std::path::PathBuf;

use iretrace::arch::{CpuModel, Vendor};
use iretrace::load::{Format, Image, LinuxOptions, LoadOptions, boot};

use super::driver::{Target, one_line};
use super::elf::{get, put};
use super::noise;
use super::random::Random;

/// Where the file's fields are (Documentation/arch/x86/boot, "The Real-Mode Kernel Header"): offset
/// and size.
const FIELDS: [(usize, usize); 10] = [
    (0x1f1, 1),
    (0x201, 1),
    (0x206, 2),
    (0x211, 1),
    (0x22c, 4),
    (0x236, 2),
    (0x238, 4),
    (0x248, 4),
    (0x24c, 4),
    (0x1f4, 4),
];
const SETUP: usize = 0x400;
const TEXT: u64 = 0xffff_ffff_8100_0000;
const PHYS: u64 = 0x100_0000;

/// A bzImage whose payload is this.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; SETUP];
    put(&mut file, 0x1f1, 1, 1);
    put(&mut file, 0x1fe, 2, 0xaa55);
    put(&mut file, 0x201, 1, 0x6a);
    file[0x202..0x206].copy_from_slice(b"HdrS");
    put(&mut file, 0x206, 2, 0x020f);
    put(&mut file, 0x211, 1, 1);
    put(&mut file, 0x22c, 4, 0x7fff_ffff);
    put(&mut file, 0x236, 2, 1);
    put(&mut file, 0x238, 4, 2047);
    put(&mut file, 0x24c, 4, payload.len() as u64);
    file.extend(payload);
    file
}

/// An ELF with one segment, as a kernel has it: its entry point is a physical address.
fn vmlinux(contents: &[u8]) -> Vec<u8> {
    let mut b = vec![0; 0x1000];
    b[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    for (at, width, value) in [
        (16, 2, 2),
        (18, 2, 62),
        (20, 4, 1),
        (24, 8, PHYS),
        (32, 8, 64),
        (52, 2, 64),
        (54, 2, 56),
        (56, 2, 1),
        (58, 2, 64),
        (64, 4, 1),
        (68, 4, 5),
        (72, 8, 0x1000),
        (80, 8, TEXT),
        (88, 8, PHYS),
        (96, 8, contents.len() as u64),
        (104, 8, contents.len() as u64 + 0x2000),
        (112, 8, 0x1000),
    ] {
        put(&mut b, at, width, value);
    }
    b.extend(contents);
    b
}

fn pad(b: &mut Vec<u8>) {
    b.resize(b.len().next_multiple_of(8), 0);
}

/// The tables of kernel/kallsyms.c with every byte its own token, in the order before Linux 6.4 or
/// since then.
fn kallsyms(names: &[&str], since_6_4: bool) -> Vec<u8> {
    let offsets: Vec<u8> = (0..names.len())
        .flat_map(|n| (-1 - 0x10 * n as i32).to_le_bytes())
        .collect();
    let mut b = vec![0x90; 64];
    let addresses = |b: &mut Vec<u8>| {
        b.extend(&offsets);
        pad(b);
        b.extend(TEXT.to_le_bytes());
    };
    if !since_6_4 {
        addresses(&mut b);
    }
    b.extend((names.len() as u64).to_le_bytes());
    let mut markers = Vec::new();
    let begin = b.len();
    for (n, name) in names.iter().enumerate() {
        if n % 256 == 0 {
            markers.extend(((b.len() - begin) as u32).to_le_bytes());
        }
        b.push(name.len() as u8 + 1);
        b.push(b'T');
        b.extend(name.bytes());
    }
    pad(&mut b);
    b.extend(markers);
    pad(&mut b);
    let mut index = Vec::new();
    let table = b.len();
    for token in 0..=255u8 {
        index.extend(((b.len() - table) as u16).to_le_bytes());
        // A NUL would end it.
        b.extend([token.max(1), 0]);
    }
    pad(&mut b);
    b.extend(index);
    pad(&mut b);
    if since_6_4 {
        addresses(&mut b);
    }
    b.resize(b.len() + 64, 0);
    b
}

/// The LZ4 legacy format, of literals alone (lz4's block format: token, length, literals).
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x02\x21\x4c\x18".to_vec();
    for chunk in bytes.chunks(4000) {
        let mut block = vec![0xf0];
        let mut left = chunk.len() - 15;
        while left >= 255 {
            block.push(255);
            left -= 255;
        }
        block.push(left as u8);
        block.extend(chunk);
        out.extend((block.len() as u32).to_le_bytes());
        out.extend(block);
    }
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut filters = liblzma::stream::Filters::new();
    let options = liblzma::stream::LzmaOptions::new_preset(1).expect("a preset");
    filters.x86().lzma2(&options);
    let check = liblzma::stream::Check::Crc32;
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).expect("an encoder");
    let mut out = Vec::new();
    let mut reader = liblzma::read::XzEncoder::new_stream(bytes, stream);
    std::io::Read::read_to_end(&mut reader, &mut out).expect("packed");
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Uncompressed;
    let mut out = ruzstd::encoding::compress_to_vec(bytes, level);
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

const NAMES: [&str; 3] = ["startup_64", "asm_exc_nmi", "first_nmi"];

/// An initrd, so that none is assembled.
fn initrd() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz-initrd");
    if !path.exists() {
        std::fs::write(&path, b"070701").expect("a file");
    }
    path
}

fn options() -> LoadOptions {
    LoadOptions {
        linux: LinuxOptions {
            append: None,
            initrd: Some(initrd()),
        },
        ..LoadOptions::default()
    }
}

/// bzImages.
pub struct Linux;

impl Target for Linux {
    const NAME: &'static str = "linux";
    const CASES: u64 = 3000;

    fn seeds() -> Vec<Vec<u8>> {
        let many: Vec<String> = (0..600).map(|n| format!("symbol_{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let old = vmlinux(&kallsyms(&NAMES, false));
        let new = vmlinux(&kallsyms(&many, true));
        let mut seeds = vec![bzimage(&old), bzimage(&new), bzimage(b"\x1f\x8b\x08\0")];
        for kernel in [old, new] {
            seeds.extend([lz4, xz, zstd].map(|pack| bzimage(&pack(&kernel))));
        }
        seeds
    }

    fn mutate(input: &mut Vec<u8>, _: &[u8], r: &mut Random) {
        match r.below(6) {
            0 | 1 => {
                let (at, width) = FIELDS[r.below(FIELDS.len())];
                let old = get(input, at, width);
                let near = old.wrapping_add(r.below(9) as u64).wrapping_sub(4);
                let new = if r.below(2) == 0 { near } else { r.next() };
                put(input, at, width, new);
            }
            2 => {
                let keep = r.below(input.len() + 1);
                input.truncate(keep);
            }
            // Only what is not packed can be damaged so that something comes of it.
            3 if input.len() > SETUP => {
                let at = SETUP + r.below(input.len() - SETUP);
                let width = [1, 2, 4, 8][r.below(4)];
                put(input, at, width, r.next());
            }
            _ => noise::bytes(input, r),
        }
    }

    fn check(input: &[u8]) -> String {
        let image = match Image::from_bytes("vmlinuz", input, &options()) {
            Ok(image) => image,
            Err(e) => {
                one_line(&e.to_string());
                return e.to_string();
            }
        };
        image.notes.iter().for_each(|n| one_line(n));
        if image.format != Format::Linux {
            return format!("{:?}", image.format);
        }
        let count = image.symbols.iter().count();
        match boot(&image, 64 << 20, &CpuModel::of(Vendor::Intel)) {
            Ok(boot) => format!("{} writes, {count} symbols", boot.writes.len()),
            Err(e) => {
                one_line(&e.to_string());
                e.to_string()
            }
        }
    }
}

#[test]
fn every_packing_and_table_is_read() {
    for (n, seed) in Linux::seeds().iter().enumerate() {
        let image = Image::from_bytes("vmlinuz", seed, &options());
        if n == 2 {
            let fault = image.expect_err("gzip is not read").to_string();
            assert!(fault.contains("gzip"), "{fault}");
            continue;
        }
        let image = image.unwrap_or_else(|e| panic!("seed {n}: {e}"));
        let old = [0, 3, 4, 5].contains(&n);
        let (name, offset) = if old {
            ("asm_exc_nmi", 0x10)
        } else {
            ("symbol_599", 0x2570)
        };
        let at = image
            .resolve(name)
            .unwrap_or_else(|e| panic!("seed {n}: {e}"));
        assert_eq!(at.0, TEXT + offset, "seed {n}");
    }
}
