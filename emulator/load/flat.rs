//! Flat binaries: bytes that go to one address, which is also where they run.

use super::error::LoadError;
use super::image::{Format, Image, LoadSegment, SegmentFlags};
use super::limits::MAX_RAM;
use super::placement::Placement;
use super::symbols::SymbolTable;
use crate::arch::{PhysAddr, VirtAddr};

/// Where a flat binary goes when no base is given: 1 MiB.
pub const DEFAULT_BASE: u64 = 0x10_0000;

/// Loads `bytes` at `base`, physical and virtual; its first byte is the entry point.
///
/// Memory behind the file's last byte is RAM like any other: zero, and mapped.
///
/// # Errors
/// An empty file, or a base so high that no RAM reaches it.
pub fn load(name: String, bytes: &[u8], base: Option<u64>) -> Result<Image, LoadError> {
    let base = base.unwrap_or(DEFAULT_BASE);
    let size = bytes.len() as u64;
    if size == 0 {
        return Err(LoadError::Unrecognised {
            file: name,
            looks_like: "an empty file".to_owned(),
            mend: "give a flat binary that has code".to_owned(),
        });
    }
    if base.checked_add(size).is_none_or(|end| end > MAX_RAM) {
        return Err(LoadError::Option {
            file: name,
            problem: format!("base address {base:#x} lies beyond the largest RAM ({MAX_RAM:#x})"),
            mend: "give the physical address; the higher half needs an ELF64",
        });
    }
    let segment = LoadSegment {
        index: 0,
        vaddr: VirtAddr(base),
        paddr: PhysAddr(base),
        data: bytes.to_vec(),
        mem_size: size,
        flags: SegmentFlags::all(),
    };
    Ok(Image {
        name,
        format: Format::Flat,
        entry: VirtAddr(base),
        segments: vec![segment],
        placement: Placement::Headers,
        symbols: SymbolTable::default(),
        debug: None,
        define: Vec::new(),
        notes: Vec::new(),
        linux: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LoadOptions;

    fn options(base: Option<u64>, flat: bool) -> LoadOptions {
        LoadOptions {
            base,
            flat,
            ..LoadOptions::default()
        }
    }

    #[test]
    fn a_base_or_the_extension_or_the_option_is_needed() {
        let code = b"\xf4\xeb\xfd";
        let e = Image::from_bytes("k", code, &options(None, false)).unwrap_err();
        assert_eq!(
            e.to_string(),
            "k: byte 0: looks like unknown binary data (f4 eb fd); \
             if it is a flat binary all the same, give its base address"
        );
        for (name, o, base) in [
            ("k", options(Some(0x8000), false), 0x8000),
            ("k.bin", options(None, false), DEFAULT_BASE),
            ("k.bin", options(Some(0x8000), false), 0x8000),
            ("k", options(None, true), DEFAULT_BASE),
        ] {
            let i = Image::from_bytes(name, code, &o).unwrap();
            assert_eq!((i.format, i.entry.0), (Format::Flat, base));
            assert_eq!(i.segments[0].paddr.0, base);
            assert_eq!(i.segments[0].data, code);
        }
    }

    #[test]
    fn the_flat_option_takes_anything_but_a_base_does_not_override_an_elf() {
        let elf = b"\x7fELF and more";
        assert!(Image::from_bytes("k", elf, &options(None, true)).is_ok());
        let e = Image::from_bytes("k", elf, &options(Some(0), false)).unwrap_err();
        assert!(matches!(e, LoadError::Option { .. }), "{e}");
        let e = Image::from_bytes("k.S", b"hlt", &options(Some(0), false)).unwrap_err();
        assert!(matches!(e, LoadError::Option { .. }), "{e}");
    }

    #[test]
    fn absurd_bases_and_empty_files_are_refused() {
        for base in [u64::MAX, MAX_RAM, 0xffff_ffff_8000_0000] {
            let e = Image::from_bytes("k", b"\xf4", &options(Some(base), false)).unwrap_err();
            assert!(e.to_string().contains(&format!("{base:#x}")), "{e}");
        }
        assert!(Image::from_bytes("k.bin", b"", &options(None, true)).is_err());
    }

    #[test]
    fn ram_must_reach_its_end() {
        let i = Image::from_bytes("k.bin", &[0xf4; 4096], &options(None, false)).unwrap();
        assert!(i.check_fits(DEFAULT_BASE + 4096).is_ok());
        let e = i.check_fits(DEFAULT_BASE + 4095).unwrap_err().to_string();
        assert_eq!(
            e,
            "k.bin: segment 0 (0x100000..0x101000) needs physical memory up to 0x101000, \
             beyond the RAM of 0x100fff bytes; give at least 4 MiB of RAM"
        );
    }
}
