//! The initrd that is used where none is given: an archive with one program, `/init`.

use crate::arch::VirtAddr;
use crate::load::assemble;
use crate::load::error::LoadError;
use crate::load::image::LoadOptions;

/// Its source.
const INIT: &str = include_str!("../../../programs/linux/init.S");

const REGULAR: u32 = 0o10_0000;

/// An archive, and the symbols of what is in it: name, address and size.
pub(super) struct Initrd {
    pub(super) bytes: Vec<u8>,
    pub(super) symbols: Vec<(String, VirtAddr, u64)>,
}

/// Makes it.
pub(super) fn ours() -> Result<Initrd, LoadError> {
    let (elf, image) = assemble::executable("init.S", INIT, &LoadOptions::default())?;
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
