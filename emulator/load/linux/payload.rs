//! The packed kernel inside a bzImage.

use std::io::{Cursor, Read};

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::fault::LinuxFault;

/// The largest kernel that is unpacked.
const MAX: u64 = 512 << 20;
/// The most memory for an XZ dictionary: the kernel's build uses up to 128 MiB.
const XZ_MEMORY: u64 = 256 << 20;
/// Blocks of the LZ4 legacy format unpack to no more than this (lz4's frame format, "Legacy frame").
const LZ4_BLOCK: usize = 8 << 20;

type Unpack = fn(&[u8]) -> Result<Vec<u8>, String>;

/// First bytes, name, and how it is unpacked, where it is.
#[rustfmt::skip]
const FORMATS: &[(&[u8], &str, Option<Unpack>)] = &[
    (b"\x02\x21\x4c\x18", "LZ4 (legacy format)", Some(lz4)),
    (b"\xfd7zXZ\0", "XZ", Some(xz)),
    (b"\x28\xb5\x2f\xfd", "zstd", Some(zstd)),
    (b"\x7fELF", "an ELF that is not packed", Some(plain)),
    (b"\x1f\x8b", "gzip", Some(gzip)),
    (b"BZh", "bzip2", None),
    (b"\x5d\0\0", "LZMA", Some(lzma)),
    (b"\x89LZO", "LZO", None),
];

/// The ELF file that `payload` holds. What follows it (relocations) may follow it here too.
pub(super) fn unpack(payload: &[u8]) -> Result<Vec<u8>, LinuxFault> {
    let known = FORMATS.iter().find(|f| payload.starts_with(f.0));
    match known {
        Some((_, format, Some(unpack))) => {
            unpack(payload).map_err(|cause| LinuxFault::Unpack { format, cause })
        }
        other => Err(LinuxFault::Compression {
            magic: payload.iter().take(4).map(|b| format!("{b:02x}")).collect(),
            name: other.map_or("not known", |f| f.1),
        }),
    }
}

/// All that `reader` gives, up to [`MAX`].
fn read(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let n = reader
        .take(MAX + 1)
        .read_to_end(&mut out)
        .map_err(|e| crate::load::error::printable(&e.to_string()))?;
    if n as u64 > MAX {
        return Err(format!("it unpacks to more than {} MiB", MAX >> 20));
    }
    Ok(out)
}

fn plain(payload: &[u8]) -> Result<Vec<u8>, String> {
    read(payload)
}

/// One member: the unpacked size follows it a second time.
fn gzip(payload: &[u8]) -> Result<Vec<u8>, String> {
    read(flate2::read::GzDecoder::new(payload))
}

fn zstd(payload: &[u8]) -> Result<Vec<u8>, String> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(|e| e.to_string())?;
    read(decoder)
}

/// With the filter for x86 branches, as the kernel's build has it.
fn xz(payload: &[u8]) -> Result<Vec<u8>, String> {
    stream(payload, Stream::new_stream_decoder(XZ_MEMORY, 0))
}

fn lzma(payload: &[u8]) -> Result<Vec<u8>, String> {
    stream(payload, Stream::new_lzma_decoder(XZ_MEMORY))
}

/// The unpacked size follows the stream.
fn stream(
    payload: &[u8],
    decoder: Result<Stream, liblzma::stream::Error>,
) -> Result<Vec<u8>, String> {
    let decoder = decoder.map_err(|e| e.to_string())?;
    read(XzDecoder::new_stream(Cursor::new(payload), decoder))
}

/// Blocks, each with its packed size in four bytes. The last four bytes of the payload are the
/// unpacked size: no block of that size can follow.
fn lz4(payload: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = &payload[4..];
    let mut block = vec![0; LZ4_BLOCK];
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        if after.is_empty() {
            break;
        }
        let size = u32::from_le_bytes(*size) as usize;
        let packed = after
            .get(..size)
            .ok_or_else(|| format!("a block of {size} bytes is cut short"))?;
        let n = lz4_flex::block::decompress_into(packed, &mut block).map_err(|e| e.to_string())?;
        out.extend_from_slice(&block[..n]);
        if out.len() as u64 > MAX {
            return Err(format!("it unpacks to more than {} MiB", MAX >> 20));
        }
        rest = &after[size..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_blocks_follow_each_other() {
        // Two blocks of literals only (lz4's block format: token, literals), and the size.
        let mut payload = b"\x02\x21\x4c\x18".to_vec();
        for text in [b"abc", b"def"] {
            payload.extend(4u32.to_le_bytes());
            payload.push(0x30);
            payload.extend(text);
        }
        payload.extend(6u32.to_le_bytes());
        assert_eq!(unpack(&payload).unwrap(), b"abcdef");
        let cut = &payload[..payload.len() - 6];
        assert!(matches!(unpack(cut), Err(LinuxFault::Unpack { .. })));
    }

    #[test]
    fn other_formats_are_named() {
        for (magic, name) in [(&b"BZh9"[..], "bzip2"), (b"what", "not known")] {
            let fault = unpack(magic).unwrap_err().to_string();
            assert!(fault.contains(name), "{fault}");
        }
    }

    /// Made by Python's gzip and lzma modules; the size follows, as the kernel's build appends it.
    #[test]
    fn the_formats_of_self_built_kernels_are_read() {
        const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\x4c\x4a\x4e\x49\x4d\x03\x00\xef\x39\x8e\x4b\x06\x00\x00\x00";
        const LZMA: &[u8] = b"\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x30\x98\x88\x98\x3e\xcb\xe7\x48\x62\xc0\xff\xfc\x21\x20\x00";
        for packed in [GZIP, LZMA] {
            let payload = [packed, &6u32.to_le_bytes()].concat();
            assert_eq!(unpack(&payload).unwrap(), b"abcdef");
            let cut = unpack(&packed[..packed.len() / 2]);
            assert!(matches!(cut, Err(LinuxFault::Unpack { .. })));
        }
    }

    #[test]
    fn damage_is_an_error() {
        let packed = FORMATS
            .iter()
            .filter(|f| f.2.is_some() && f.0 != b"\x7fELF");
        for (magic, ..) in packed {
            let mut payload = magic.to_vec();
            payload.extend([0x55; 64]);
            assert!(matches!(unpack(&payload), Err(LinuxFault::Unpack { .. })));
        }
    }
}
