//! The report's files: whole, or not there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use iretrace::load::error::printable;
use tempfile::NamedTempFile;

use super::super::failure::Failure;

/// A file that will be written. What it held stays until all of the new is there.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    /// Written beside it, and then put in its place.
    Whole(Box<NamedTempFile>),
    /// A pipe or a device, which nothing can be put in the place of.
    Stream(File),
}

impl Output {
    /// That it cannot be written is said before the work is done.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let opened = || -> io::Result<To> {
            // What a link points to is written, not the link.
            let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            match std::fs::metadata(&real) {
                Ok(m) if m.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(m) if !m.is_file() => {
                    return OpenOptions::new().write(true).open(&real).map(To::Stream);
                }
                // One that may not be written is not replaced either.
                Ok(_) => drop(OpenOptions::new().write(true).open(&real)?),
                Err(_) => {}
            }
            let folder = real.parent().filter(|p| !p.as_os_str().is_empty());
            let file = builder().tempfile_in(folder.unwrap_or(Path::new(".")))?;
            Ok(To::Whole(Box::new(file)))
        };
        match opened() {
            Ok(to) => Ok(Self {
                path: path.to_owned(),
                to,
            }),
            Err(e) => Err(Failure::output_file(path, &e)),
        }
    }

    /// Writes it.
    pub fn write(self, text: &str) -> Result<(), Failure> {
        let Self { path, to } = self;
        let written = match to {
            To::Stream(mut file) => file.write_all(text.as_bytes()),
            To::Whole(mut file) => file.write_all(text.as_bytes()).and_then(|()| {
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                file.persist(real).map(drop).map_err(|e| e.error)
            }),
        };
        written.map_err(|e| Failure::output_file(&path, &e))
    }
}

/// Files with the rights that any new file has.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".iretrace-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Refuses two outputs that are one file, and one that is the program.
pub fn distinct(outputs: &[&Path], program: &Path) -> Result<(), Failure> {
    let same = |a: &Path, b: &Path| {
        a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
    };
    for (n, path) in outputs.iter().enumerate() {
        let shown = printable(&path.to_string_lossy());
        if same(path, program) {
            return Err(Failure::usage(format!(
                "{shown}: that is the program, which would be overwritten; give another file"
            )));
        }
        if outputs[..n].iter().any(|other| same(path, other)) {
            return Err(Failure::usage(format!(
                "{shown}: two reports would go to this file; give two"
            )));
        }
    }
    Ok(())
}
