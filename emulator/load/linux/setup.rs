//! The setup header of a bzImage (Documentation/arch/x86/boot, "The Real-Mode Kernel Header").

use super::fault::LinuxFault;

/// Where the header begins in the file, and where it stays in the zero page.
pub(super) const HEADER: usize = 0x1f1;
/// Sectors of the setup code where the field says 0.
const DEFAULT_SECTS: usize = 4;
const SECTOR: usize = 512;
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
/// The version from which on `payload_offset`, `xloadflags` and `init_size` exist.
const VERSION: u16 = 0x020c;

/// Offsets in the file.
mod at {
    pub(super) const SETUP_SECTS: usize = 0x1f1;
    pub(super) const JUMP: usize = 0x201;
    pub(super) const VERSION: usize = 0x206;
    pub(super) const LOADFLAGS: usize = 0x211;
    pub(super) const INITRD_ADDR_MAX: usize = 0x22c;
    pub(super) const XLOADFLAGS: usize = 0x236;
    pub(super) const CMDLINE_SIZE: usize = 0x238;
    pub(super) const PAYLOAD_OFFSET: usize = 0x248;
    pub(super) const PAYLOAD_LENGTH: usize = 0x24c;
}

/// LOADED_HIGH, in `loadflags`: it is a bzImage.
const LOADED_HIGH: u8 = 1;
/// XLF_KERNEL_64, in `xloadflags`: it has the 64-bit entry point.
const KERNEL_64: u16 = 1;

/// What the header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Setup {
    /// The header's bytes, from [`HEADER`] to its end.
    pub(super) bytes: Vec<u8>,
    /// The longest command line that the kernel takes, without its NUL; any number.
    pub(super) command_line: usize,
    /// The highest address at which an initrd may end.
    pub(super) initrd_max: u64,
    /// Where the payload lies in the file.
    pub(super) payload: std::ops::Range<usize>,
}

/// Whether a file claims to have such a header.
pub fn is_bzimage(bytes: &[u8]) -> bool {
    bytes.get(MAGIC.0..MAGIC.0 + 4) == Some(MAGIC.1)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], LinuxFault> {
    bytes
        .get(at..at + N)
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| LinuxFault::Header {
            problem: format!("the file ends before byte {:#x}", at + N),
        })
}

fn long(bytes: &[u8], at: usize) -> Result<u32, LinuxFault> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

impl Setup {
    /// Reads the header of a file that [claims](is_bzimage) to have one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LinuxFault> {
        let version = u16::from_le_bytes(field(bytes, at::VERSION)?);
        let [loadflags] = field(bytes, at::LOADFLAGS)?;
        if version < VERSION || loadflags & LOADED_HIGH == 0 {
            return Err(LinuxFault::Unsupported {
                place: "setup header",
                problem: format!(
                    "boot protocol {}.{:02}, and 2.12 is the oldest that is read",
                    version >> 8,
                    version & 0xff
                ),
                mend: "give a bzImage of Linux 3.8 or later",
            });
        }
        if u16::from_le_bytes(field(bytes, at::XLOADFLAGS)?) & KERNEL_64 == 0 {
            return Err(LinuxFault::not_64_bit(
                "setup header",
                "a 32-bit kernel, without the 64-bit entry point".to_owned(),
            ));
        }
        // The jump over the header tells how long it is.
        let [jump] = field(bytes, at::JUMP)?;
        let end = at::JUMP + 1 + usize::from(jump);
        let header = bytes.get(HEADER..end).ok_or_else(|| LinuxFault::Header {
            problem: format!("the file ends before byte {end:#x}"),
        })?;
        let [sects] = field(bytes, at::SETUP_SECTS)?;
        let sects = match usize::from(sects) {
            0 => DEFAULT_SECTS,
            n => n,
        };
        let from = (sects + 1) * SECTOR + long(bytes, at::PAYLOAD_OFFSET)? as usize;
        let len = long(bytes, at::PAYLOAD_LENGTH)? as usize;
        let payload = from..from.saturating_add(len);
        if len == 0 || payload.end > bytes.len() {
            return Err(LinuxFault::Header {
                problem: format!(
                    "the payload, bytes {:#x} to {:#x}, is not in the file of {:#x} bytes",
                    payload.start,
                    payload.end,
                    bytes.len()
                ),
            });
        }
        Ok(Self {
            bytes: header.to_vec(),
            command_line: long(bytes, at::CMDLINE_SIZE)? as usize,
            initrd_max: long(bytes, at::INITRD_ADDR_MAX)?.into(),
            payload,
        })
    }
}
