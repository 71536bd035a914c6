//! Assembles a case with `as` and `ld` alone: there are hundreds, and the limits under which
//! iretrace itself runs the tools cost more than the tools.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use iretrace::load::{Image, LoadOptions};

const PREFIX: &str = if cfg!(target_arch = "x86_64") {
    ""
} else {
    "x86_64-linux-gnu-"
};

/// The image of `source`.
pub fn assemble(source: &str) -> Result<Image, String> {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/include");
    let folder = tempfile::tempdir().map_err(|e| format!("temporary folder: {e}"))?;
    let (object, linked) = (folder.path().join("object"), folder.path().join("image"));
    let mut tool = Command::new(format!("{PREFIX}as"));
    tool.args(["--64", "-I"]).arg(&include);
    run(tool.arg("-o").arg(&object), source)?;
    let mut tool = Command::new(format!("{PREFIX}ld"));
    tool.args(["-nostdlib", "-static", "--build-id=none"])
        .args(["-z", "max-page-size=0x1000", "-T"])
        .arg(include.join("program.ld"));
    run(tool.arg("-o").arg(&linked).arg(&object), "")?;
    let bytes = std::fs::read(&linked).map_err(|e| format!("{}: {e}", linked.display()))?;
    Image::from_bytes("case", &bytes, &LoadOptions::default()).map_err(|e| e.to_string())
}

/// Runs a tool with `input`; its messages if it fails.
fn run(tool: &mut Command, input: &str) -> Result<(), String> {
    let name = tool.get_program().to_string_lossy().into_owned();
    let failed = |e: std::io::Error| format!("{name}: {e}");
    let mut child = tool
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that fails early does not read all; it says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
