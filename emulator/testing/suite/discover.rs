//! Finds files of tests.

use std::path::{Path, PathBuf};

use crate::testing::directive::is_test_file;
use crate::testing::error::TestError;

/// Folders in folders that are entered.
const DEPTH: usize = 32;

/// The files of tests that `paths` mean, in their order: a file is one whatever its name, a folder
/// stands for all in it and below, by name. Names that begin with a dot, and `target`, are left out.
///
/// # Errors
/// A path that is not there, or a folder that cannot be read or lies too deep.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<PathBuf>, TestError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            folder(path, 0, &mut files)?;
        } else if path.exists() {
            files.push(path.clone());
        } else {
            let file = crate::load::error::printable(&path.to_string_lossy());
            return Err(crate::load::LoadError::NotFound { file }.into());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|f| seen.insert(f.clone()));
    Ok(files)
}

fn folder(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), TestError> {
    let unreadable = |e: std::io::Error| {
        TestError::from(crate::load::LoadError::Unreadable {
            file: crate::load::error::printable(&path.to_string_lossy()),
            cause: e.to_string(),
        })
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?);
    }
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        // Links to folders are not followed: they may lead round.
        if kind.is_dir() {
            if name == "target" {
                continue;
            }
            if depth == DEPTH {
                let deep = format!("it has folders in more than {DEPTH} others: name them");
                return Err(unreadable(std::io::Error::other(deep)));
            }
            folder(&entry.path(), depth + 1, files)?;
        } else if entry.path().is_file() && is_test_file(&entry.path()) {
            files.push(entry.path());
        }
    }
    Ok(())
}
