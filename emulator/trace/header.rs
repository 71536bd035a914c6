//! A trace's first line: what ran, and how to run it again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::arch::CpuModel;

/// The version of the JSON Lines format that this program writes and reads.
pub const TRACE_VERSION: u32 = 1;

/// What marks a file as one of ours: the value of the key `iretrace`.
pub const TRACE_MARK: &str = "trace";

/// The image that ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Its path or name as given on the command line.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// [`image_hash`] of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<String>,
}

impl ImageInfo {
    /// Describes the image `name` with the bytes `data`.
    #[must_use]
    pub fn of(name: impl Into<String>, data: &[u8]) -> Self {
        Self {
            name: name.into(),
            size: data.len() as u64,
            hash: Some(image_hash(data)),
        }
    }
}

/// Everything that a run is a function of, and the command that repeats it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`TRACE_MARK`].
    pub iretrace: String,
    /// [`TRACE_VERSION`].
    pub version: u32,
    /// The program that wrote it: `iretrace 0.1.0`.
    pub program: String,
    /// What ran.
    pub image: ImageInfo,
    /// The CPU model as it serialises; see [`Header::cpu_model`].
    pub cpu: Value,
    /// The machine's other settings.
    pub config: Map<String, Value>,
    /// The injections, each as its option and canonical text: `--nmi at=main+0x1a`.
    pub schedule: Vec<String>,
    /// The command that makes this trace again.
    pub argv: Vec<String>,
}

impl Header {
    /// A header of the current version, without settings, schedule and command.
    #[must_use]
    pub fn new(image: ImageInfo, cpu: &CpuModel) -> Self {
        Self {
            iretrace: TRACE_MARK.to_owned(),
            version: TRACE_VERSION,
            program: concat!("iretrace ", env!("CARGO_PKG_VERSION")).to_owned(),
            image,
            cpu: serde_json::to_value(cpu).unwrap_or_default(),
            config: Map::new(),
            schedule: Vec::new(),
            argv: Vec::new(),
        }
    }

    /// The CPU model; `None` when a program with other models wrote it.
    #[must_use]
    pub fn cpu_model(&self) -> Option<CpuModel> {
        CpuModel::deserialize(&self.cpu).ok()
    }
}

/// Names the contents of an image: `fnv1a-64:` and 16 hex digits. It tells a changed image from
/// the one that ran; it does not protect against somebody who wants two images to agree.
#[must_use]
pub fn image_hash(data: &[u8]) -> String {
    format!("fnv1a-64:{:016x}", fnv1a(data))
}

/// The 64-bit FNV-1a hash of `data`.
#[must_use]
pub fn fnv1a(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |h, &byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Vendor;

    #[test]
    fn hash_agrees_with_published_vectors() {
        // The FNV reference's test vectors for the 64-bit FNV-1a.
        assert_eq!(image_hash(b""), "fnv1a-64:cbf29ce484222325");
        assert_eq!(image_hash(b"a"), "fnv1a-64:af63dc4c8601ec8c");
        assert_eq!(image_hash(b"foobar"), "fnv1a-64:85944171f73967e8");
    }

    #[test]
    fn cpu_model_comes_back() {
        let cpu = CpuModel::of(Vendor::Amd);
        let mut header = Header::new(ImageInfo::of("a.elf", b"x"), &cpu);
        assert_eq!(header.cpu_model(), Some(cpu));
        header.cpu = Value::Null;
        assert_eq!(header.cpu_model(), None);
    }
}
