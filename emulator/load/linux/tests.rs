//! Kernels made by hand: what is refused, and what the machine is told of the others.

use super::image::COMMAND_LINE;
use crate::arch::{CpuModel, Vendor};
use crate::load::samples::{elf, load, put16, put32};
use crate::load::{Boot, Image, LinuxOptions, LoadError, LoadOptions, boot};

/// Where the kernel is linked, and where its entry point is.
const TEXT: u64 = 0xffff_ffff_8100_0000;
const ENTRY: u64 = 0x100_0000;

/// Fields of the header (Documentation/arch/x86/boot, "The Real-Mode Kernel Header").
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;

/// A bzImage of one sector of setup code, whose payload is this.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    file[0x1f1] = 1;
    file[0x201] = 0x6a;
    file[0x202..0x206].copy_from_slice(b"HdrS");
    put16(&mut file, 0x206, 0x020f);
    // LOADED_HIGH, XLF_KERNEL_64.
    file[0x211] = 1;
    put16(&mut file, XLOADFLAGS, 1);
    put32(&mut file, 0x22c, 0x7fff_ffff);
    put32(&mut file, CMDLINE_SIZE, 2047);
    put32(&mut file, 0x24c, payload.len() as u32);
    file.extend(payload);
    file
}

fn vmlinux() -> Vec<u8> {
    elf(ENTRY, &[load(TEXT, ENTRY, b"\xf4\xeb\xfd")])
}

fn open(file: &[u8], append: Option<String>) -> Result<Image, LoadError> {
    let options = LoadOptions {
        linux: LinuxOptions {
            append,
            initrd: None,
        },
        ..LoadOptions::default()
    };
    Image::from_bytes("vmlinuz", file, &options)
}

fn refused(file: &[u8], append: Option<String>) -> String {
    open(file, append).unwrap_err().to_string()
}

/// The command line as it lies in RAM: at cmd_line_ptr (0x228 in the zero page, which RSI points to).
fn command_line(boot: &Boot) -> &[u8] {
    let at = |at: u64| boot.writes.iter().find(|w| w.0.0 == at).unwrap();
    let zero_page = &at(boot.regs.gpr[crate::arch::state::gpr::RSI]).1;
    let pointer = u32::from_le_bytes(zero_page[0x228..0x22c].try_into().unwrap());
    &at(pointer.into()).1
}

#[test]
fn kernels_of_32_bits() {
    let mut file = bzimage(&vmlinux());
    put16(&mut file, XLOADFLAGS, 0);
    assert_eq!(
        refused(&file, None),
        "vmlinuz: setup header: a 32-bit kernel, without the 64-bit entry point; give an x86-64 kernel (Debian: linux-image-amd64)"
    );
    // ELFCLASS32; and EM_386 in an ELF64.
    let mut elf32 = vmlinux();
    elf32[4] = 1;
    let mut i386 = vmlinux();
    put16(&mut i386, 18, 3);
    for (payload, problem) in [
        (elf32, "a 32-bit ELF (class 1)"),
        (i386, "made for 32-bit x86 (3)"),
    ] {
        assert_eq!(
            refused(&bzimage(&payload), None),
            format!(
                "vmlinuz: unpacked kernel: {problem}; give an x86-64 kernel (Debian: linux-image-amd64)"
            )
        );
    }
}

#[test]
fn compressions_that_are_not_read() {
    for (payload, what) in [
        (&b"BZh9packed"[..], "425a6839, which is bzip2"),
        (b"\x01\x02\x03\x04what", "01020304, which is not known"),
        (b"?", "3f, which is not known"),
    ] {
        assert_eq!(
            refused(&bzimage(payload), None),
            format!(
                "vmlinuz: payload: begins with {what}; rebuild the kernel with CONFIG_KERNEL_GZIP, CONFIG_KERNEL_ZSTD, CONFIG_KERNEL_XZ or CONFIG_KERNEL_LZ4"
            )
        );
    }
}

#[test]
fn a_command_line_fits_the_kernel_and_its_page() {
    // One blank before what is added; and a NUL behind it, in one page.
    let given = COMMAND_LINE.len() + 1;
    for (size, limit, whose) in [
        (2047, 2047, "this kernel's limit"),
        (4094, 4094, "this kernel's limit"),
        (4096, 4095, "the limit of its place in RAM"),
        (u32::MAX, 4095, "the limit of its place in RAM"),
    ] {
        let mut file = bzimage(&vmlinux());
        put32(&mut file, CMDLINE_SIZE, size);
        let most = "x".repeat(limit - given);
        let image = open(&file, Some(most.clone())).unwrap();
        let started = boot(&image, 256 << 20, &CpuModel::of(Vendor::Intel)).unwrap();
        let line = format!("{COMMAND_LINE} {most}\0");
        assert!(line.len() <= 4096);
        assert_eq!(command_line(&started), line.as_bytes());
        assert_eq!(
            refused(&file, Some(format!("{most}xyz"))),
            format!(
                "vmlinuz: --append: makes a command line of {} bytes, and {whose} is {limit}; give 3 bytes less",
                limit + 3
            )
        );
    }
    let mut file = bzimage(&vmlinux());
    put32(&mut file, CMDLINE_SIZE, 3);
    let fault = refused(&file, None);
    assert!(
        fault.starts_with("vmlinuz: setup header: cmdline_size is 3, less than the "),
        "{fault}"
    );
}

#[test]
fn a_kernel_below_the_start_tables_has_no_place() {
    let low = elf(0x1_5000, &[load(TEXT, 0x1_5000, b"\xf4\xeb\xfd")]);
    let image = open(&bzimage(&low), None).unwrap();
    let fault = boot(&image, 256 << 20, &CpuModel::of(Vendor::Intel)).unwrap_err();
    let fault = fault.to_string();
    assert!(
        fault.starts_with("vmlinuz: unpacked kernel: a segment at 0x15000, below 0x"),
        "{fault}"
    );
}

#[test]
fn no_initrd_and_no_write_lies_in_the_apics_page() {
    let image = open(&bzimage(&vmlinux()), None).unwrap();
    let model = CpuModel::of(Vendor::Intel);
    for ram in [256 << 20, 0xfee0_0000, 0xfee0_1000, 8u64 << 30] {
        let started = boot(&image, ram, &model).unwrap();
        let mut end = 0;
        for (at, bytes) in &started.writes {
            assert!(at.0 >= end, "{ram:#x}: {at} overlaps");
            end = at.0 + bytes.len() as u64;
        }
        assert!(end <= ram.min(0xfee0_0000), "{ram:#x}: {end:#x}");
    }
}
