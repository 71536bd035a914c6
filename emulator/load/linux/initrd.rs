//! The initrd that is used where none is given: an archive with one program, `/init`.

use crate::arch::{PAGE_SIZE, VirtAddr};
use crate::load::assemble;
use crate::load::error::LoadError;
use crate::load::image::{Image, LoadOptions, SegmentFlags};

/// Its source.
const INIT: &str = include_str!("../../../programs/linux/init.S");

const REGULAR: u32 = 0o10_0000;

/// ET_EXEC, EM_X86_64.
const EXECUTABLE: u16 = 2;
const X86_64: u16 = 62;
/// Bytes of an ELF header and of a program header.
const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// An archive, and the symbols of what is in it: name, address and size.
pub(super) struct Initrd {
    pub(super) bytes: Vec<u8>,
    pub(super) symbols: Vec<(String, VirtAddr, u64)>,
}

/// Makes it.
pub(super) fn ours() -> Result<Initrd, LoadError> {
    let (_, image) = assemble::executable("init.S", INIT, &LoadOptions::default())?;
    let elf = executable(&image);
    let mut symbols: Vec<(String, VirtAddr)> = image
        .symbols
        .iter()
        .filter(|(name, _)| name.starts_with("init_"))
        .map(|(name, at)| (name.to_owned(), at))
        .collect();
    symbols.sort_by_key(|s| s.1);
    let end = |at: VirtAddr| {
        image
            .segments
            .iter()
            .find(|s| s.contains(at))
            .map(|s| s.vend())
    };
    let next = symbols.iter().skip(1).map(|s| Some(s.1.0)).chain([None]);
    let symbols = symbols
        .iter()
        .zip(next)
        .filter_map(|((name, at), next)| {
            let end = next.or_else(|| end(*at))?;
            Some((name.clone(), *at, end.saturating_sub(at.0)))
        })
        .collect();
    let mut bytes = Vec::new();
    member(&mut bytes, "init", REGULAR | 0o755, &elf);
    member(&mut bytes, "TRAILER!!!", 0, &[]);
    Ok(Initrd { bytes, symbols })
}

/// An ELF64 executable of the image's bytes alone (gABI chapters 4 and 5): what the linker makes names the
/// folder that it works in, and would be another one each time.
fn executable(image: &Image) -> Vec<u8> {
    let count = image.segments.len() as u16;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    for half in [EXECUTABLE, X86_64] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    for long in [image.entry.0, HEADER, 0] {
        elf.extend(long.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for half in [HEADER as u16, PROGRAM_HEADER as u16, count, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    let mut data = Vec::new();
    let begin = (HEADER + PROGRAM_HEADER * u64::from(count)).next_multiple_of(PAGE_SIZE);
    for s in &image.segments {
        // A segment lies in the file as it lies in its page.
        data.resize(data.len().next_multiple_of(PAGE_SIZE as usize), 0);
        let (at, size) = (s.vaddr.0, s.data.len() as u64);
        data.resize(data.len() + (at % PAGE_SIZE) as usize, 0);
        let flag = |own, flags: u32| if s.flags.contains(own) { flags } else { 0 };
        let flags = flag(SegmentFlags::X, 1) | flag(SegmentFlags::W, 2) | flag(SegmentFlags::R, 4);
        elf.extend(1u32.to_le_bytes());
        elf.extend(flags.to_le_bytes());
        let offset = begin + data.len() as u64;
        for long in [offset, at, at, size, s.mem_size, PAGE_SIZE] {
            elf.extend(long.to_le_bytes());
        }
        data.extend(&s.data);
    }
    elf.resize(begin as usize, 0);
    elf.extend(data);
    elf
}

/// One member of a cpio archive in the "newc" format (Documentation/driver-api/early-userspace,
/// "initramfs buffer format").
fn member(archive: &mut Vec<u8>, name: &str, mode: u32, data: &[u8]) {
    let [ino, nlink] = [1, 1];
    let fields = [
        ino,
        mode,
        0,
        0,
        nlink,
        0,
        data.len() as u32,
        0,
        0,
        0,
        0,
        name.len() as u32 + 1,
        0,
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08X}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(data);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_aligned_and_counted() {
        let mut archive = Vec::new();
        member(&mut archive, "init", 0o100_755, b"12345");
        // The header's 110 bytes, the name with its NUL, and padding to four each.
        assert_eq!(archive.len(), 116 + 8);
        assert_eq!(&archive[..14], b"07070100000001");
        assert_eq!(&archive[14..22], b"000081ED");
        assert_eq!(&archive[54..62], b"00000005");
        assert_eq!(&archive[94..102], b"00000005");
        assert_eq!(&archive[110..116], b"init\0\0"[..6].to_vec());
        assert_eq!(&archive[116..], b"12345\0\0\0");
    }

    #[test]
    fn the_archive_is_the_same_each_time() {
        assert_eq!(ours().unwrap().bytes, ours().unwrap().bytes);
    }

    #[test]
    fn the_executable_is_the_program() {
        let (linked, image) =
            assemble::executable("init.S", INIT, &LoadOptions::default()).unwrap();
        let again = Image::from_bytes("init", &executable(&image), &LoadOptions::default());
        let again = again.unwrap();
        assert_eq!(
            (again.entry, &again.segments),
            (image.entry, &image.segments)
        );
        assert_ne!(linked, executable(&image));
    }

    #[test]
    fn the_program_has_its_places() {
        let initrd = ours().unwrap();
        let names: Vec<&str> = initrd.symbols.iter().map(|s| &*s.0).collect();
        for name in [
            "init_syscall",
            "init_after_syscall",
            "init_fault",
            "init_end",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(initrd.symbols.iter().all(|s| s.2 > 0 && s.2 < 4096));
    }
}
