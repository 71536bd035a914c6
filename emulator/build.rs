//! Embeds the programs of each group's folder, and `programs/include/*`: a new program needs no Rust.
//! A program that looks at `MENDED` has a twin, `NAME.ok`, in which it is defined.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The groups of programs, and the folder of each below `programs`.
const GROUPS: [(&str, &str); 5] = [
    ("Thread", "."),
    ("Basics", "basics"),
    ("Checks", "checks"),
    ("Bugs", "bugs"),
    ("Benchmarks", "benchmarks"),
];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let programs = root.join("programs");
    println!("cargo::rerun-if-changed=emulator/build.rs");
    println!("cargo::rerun-if-changed=programs");

    let mut text =
        String::from("/// The embedded programs, by name.\npub const BUILTIN: &[Builtin] = &[\n");
    let mut rows: Vec<(String, String)> = Vec::new();
    for (group, folder) in GROUPS {
        let folder = programs.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        for (name, path) in files(&folder, ".S") {
            let source = read(&path);
            let has_twin = source
                .lines()
                .any(|l| l.trim().starts_with(".if") && l.ends_with(" MENDED"));
            let row = |name: &str, twin: Option<String>, summary: &str, source: String| {
                format!(
                    "name: {name:?}, group: Group::{group}, twin: {twin:?}, summary: {summary:?}, source: {source}"
                )
            };
            let included = format!("include_str!({path:?})");
            let (twin, of_twin, head) = twin(&name);
            let mended = format!("concat!({head:?}, {included})");
            let own = has_twin.then(|| twin.clone());
            rows.push((
                name.clone(),
                row(&name, own, &summary(&source, &name), included),
            ));
            if has_twin {
                rows.push((twin.clone(), row(&twin, None, &of_twin, mended)));
            }
        }
    }
    rows.sort();
    for (_, row) in rows {
        writeln!(text, "    Builtin {{ {row} }},").expect("to a string");
    }
    text.push_str(
        "];\n\n/// The embedded include files, by name.\npub const INCLUDES: &[Include] = &[\n",
    );
    for (name, path) in files(&programs.join("include"), "") {
        read(&path);
        writeln!(
            text,
            "    Include {{ name: {name:?}, source: include_str!({path:?}) }},"
        )
        .expect("to a string");
    }
    text.push_str("];\n");
    fs::write(out.join("programs.rs"), text).expect("OUT_DIR is writable");
}

/// The twin of the program `name`: its name, its summary, and what goes before the source to make it.
fn twin(name: &str) -> (String, String, String) {
    let twin = format!("{name}.ok");
    let summary = format!("the twin of {name}, without its mistake");
    let head = format!("# {twin}: {summary}\nMENDED = 1\n\n");
    (twin, summary, head)
}

/// Regular files in `folder` whose plain name ends in `extension`, by the name before it;
/// hidden files and editors' back-ups are left out.
fn files(folder: &Path, extension: &str) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<(String, PathBuf)> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.is_file())
        .filter_map(|p| Some((stem(&p, extension)?, p)))
        .collect();
    files.sort();
    files
}

/// The file's name without `extension`, if it has it and is a plain name.
fn stem(path: &Path, extension: &str) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.starts_with('.') && name.chars().all(plain))
        .then(|| name.strip_suffix(extension).map(str::to_owned))?
}

fn read(path: &Path) -> String {
    println!("cargo::rerun-if-changed={}", path.display());
    match fs::read_to_string(path) {
        Ok(s) => s,
        Err(e) => panic!("{}: {e}", path.display()),
    }
}

/// The first line of the header comment that says something, without comment marks and `name`.
fn summary(source: &str, name: &str) -> String {
    for line in source.lines() {
        let line = line.trim();
        let Some(comment) = ["/*", "//", "#", ";", "*"]
            .iter()
            .find_map(|m| line.strip_prefix(m))
        else {
            if line.is_empty() {
                continue;
            }
            break;
        };
        let marks = |c: char| c.is_whitespace() || matches!(c, '*' | '/' | '#' | ';' | '=' | '-');
        let said = comment
            .trim_start_matches(marks)
            .trim_end_matches(|c: char| marks(c) && c != '-');
        let said = match said.strip_prefix('@').unwrap_or(said).strip_prefix(name) {
            Some(rest) if rest.starts_with([':', ' ', '.']) => rest
                .trim_start_matches(['.', 'S', 's'])
                .trim_start_matches([':', ' ', '-', '–', '—']),
            _ => said,
        };
        if !said.is_empty() && !said.starts_with("SPDX-") {
            return said.to_owned();
        }
    }
    String::new()
}
