//! Files that are written at the end: whole, or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use iretrace::load::error::printable;
use tempfile::NamedTempFile;

use super::failure::Failure;

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
                // /dev/stdout, a file to which a shell has sent it: others write there too.
                Ok(_) if path.starts_with("/dev") || path.starts_with("/proc") => {
                    return OpenOptions::new().append(true).open(&real).map(To::Stream);
                }
                // One that may not be written is not replaced either.
                Ok(_) => drop(OpenOptions::new().write(true).open(&real)?),
                Err(_) => {}
            }
            let file = builder().tempfile_in(folder(&real))?;
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

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As messages name it.
    pub fn shown(&self) -> String {
        printable(&self.path.to_string_lossy())
    }

    /// Writes it.
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let Self { path, to } = self;
        let written = match to {
            To::Stream(mut file) => file.write_all(bytes),
            To::Whole(mut file) => file.write_all(bytes).and_then(|()| {
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                file.persist(real).map(drop).map_err(|e| e.error)
            }),
        };
        written.map_err(|e| Failure::output_file(&path, &e))
    }
}

/// Opens the file of an option, if it is given.
pub fn open(path: Option<&Path>) -> Result<Option<Output>, Failure> {
    path.map(Output::open).transpose()
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
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

/// Whether two paths are one file, which need not be there yet. A device can be two outputs.
fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| -> Option<PathBuf> {
        if let Ok(real) = path.canonicalize() {
            let is_file = std::fs::metadata(&real).is_ok_and(|m| m.is_file());
            return is_file.then_some(real);
        }
        Some(folder(path).canonicalize().ok()?.join(path.file_name()?))
    };
    matches!((real(a), real(b)), (Some(a), Some(b)) if a == b)
}

/// Refuses two outputs that are one file, and one that is an input.
pub fn distinct(outputs: &[&Path], inputs: &[&Path]) -> Result<(), Failure> {
    for (n, path) in outputs.iter().enumerate() {
        let shown = printable(&path.to_string_lossy());
        if inputs.iter().any(|input| same(path, input)) {
            return Err(Failure::usage(format!(
                "{shown}: that is an input, which would be overwritten; give another file"
            )));
        }
        if outputs[..n].iter().any(|other| same(path, other)) {
            return Err(Failure::usage(format!(
                "{shown}: two outputs would go to this file; give two"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_yet_has_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("there"), "old").unwrap();
        let two = |a: &str, b: &str| distinct(&[&path(a), &path(b)], &[&path("./there")]);
        assert!(two("a", "b").is_ok());
        assert!(two("a", "./a").is_err());
        assert!(two("a", "there").is_err());
        assert!(distinct(&[Path::new("/dev/null"); 2], &[]).is_ok());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        std::fs::write(&path, "old").unwrap();
        let output = Output::open(&path).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.write(b"new").unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        drop(Output::open(&path));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
