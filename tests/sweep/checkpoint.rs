//! A sweep that is killed goes on where it was.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::programs::{CLEAN, INCLUDE, forms, linked_loop, long, run_long, source, window};
use crate::support::{folder, iretrace, outcome, program, word};

/// The parts that the file has, in its order, and that each line is whole.
fn parts(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).expect("UTF-8");
    assert!(text.ends_with('\n'), "a torn line is left");
    let lines = text.lines().skip(1);
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a whole line");
            line["part"].as_u64().expect("a part")
        })
        .collect()
}

/// Whole lines of a file that may not be there yet.
fn whole_lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |b| b.iter().filter(|&&b| b == b'\n').count())
}

/// Starts the sweep, and kills it when the file has `lines` whole lines. A sweep that has ended by
/// then leaves no less.
fn kill_at(path: &Path, lines: usize) {
    let mut child = program()
        .args(long(&["-j1", "--no-reduce", "--checkpoint", word(path)]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    while whole_lines(path) < lines {
        if let Some(status) = child.try_wait().expect("waits") {
            assert!(whole_lines(path) >= lines, "it ended by itself: {status:?}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("ends");
}

#[test]
fn two_kills_change_nothing() {
    let folder = folder();
    let path = folder.path().join("done.jsonl");
    let mut before = Vec::new();
    for lines in [3, 6] {
        kill_at(&path, lines);
        // A kill may also come in the middle of a line; here it always does.
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        let torn = fs::read_to_string(&path).expect("UTF-8");
        let last = torn.lines().last().expect("a line");
        file.write_all(&last.as_bytes()[..last.len() / 2])
            .expect("written");
        before.push(torn[..=torn.rfind('\n').expect("whole lines")].to_owned());
    }
    let words = ["--no-reduce", "--checkpoint", word(&path)];
    forms(&long(&words)).are(&forms(&long(&["--no-reduce"])));
    // Nothing was lost: what was there is there. Nothing was done twice: each part comes once.
    let after = fs::read_to_string(&path).expect("UTF-8");
    for before in before {
        assert!(after.starts_with(&before));
    }
    let all = parts(&path);
    let set: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(all.len(), set.len());
    assert_eq!(
        set.into_iter().collect::<Vec<_>>(),
        (0..all.len() as u64).collect::<Vec<_>>()
    );
    // And nothing is left to do.
    forms(&long(&words)).are(&forms(&long(&["--no-reduce"])));
    assert_eq!(fs::read_to_string(&path).expect("UTF-8"), after);
}

#[test]
fn deeper_sweeps_have_smaller_parts() {
    let folder = folder();
    let image = source(&folder, CLEAN);
    let words = ["sweep", word(&image), "-I", INCLUDE, "--from", "ready"];
    let sizes = [
        &[][..],
        &["--then", "nmi"],
        &["--then", "nmi", "--then", "BP"],
    ]
    .map(|more| {
        let mut words = words.to_vec();
        words.extend(more);
        let report: Value = serde_json::from_str(&forms(&words).json).expect("JSON");
        let number = |key: &str| report[key].as_u64().expect("a number");
        let (size, boundaries) = (number("part_size"), number("boundaries"));
        assert_eq!(number("parts"), boundaries.div_ceil(size));
        assert_eq!(number("explored_parts"), number("parts"));
        assert_eq!(report["explored"], serde_json::json!([[1, boundaries]]));
        size
    });
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
}

#[test]
fn a_torn_header_is_begun_again() {
    let folder = folder();
    let whole = folder.path().join("whole.jsonl");
    run_long(&["--limit", "1", "--checkpoint", word(&whole)]);
    let header = fs::read(&whole).expect("there");
    let end = header.iter().position(|&b| b == b'\n').expect("a line");
    let torn = folder.path().join("torn.jsonl");
    for len in [0, 1, end / 2, end] {
        fs::write(&torn, &header[..len]).expect("written");
        let o = run_long(&["--limit", "1", "--checkpoint", word(&torn)]);
        assert!(o.stderr.is_empty(), "{len}: {o:#?}");
        assert!(fs::read(&torn).expect("there").starts_with(&header[..=end]));
    }
}

#[test]
fn the_file_of_another_sweep_is_refused_and_left_alone() {
    let folder = folder();
    let image = source(&folder, CLEAN);
    let path = folder.path().join("done.jsonl");
    let base = [
        "sweep",
        word(&image),
        "-I",
        INCLUDE,
        "--checkpoint",
        word(&path),
    ];
    iretrace(base).ends_with(100);
    let before = fs::read(&path).expect("there");
    for (more, named) in [
        (&["--patience", "7"][..], "patience is 100000 there, 7 here"),
        (&["--from", "ready"], "from is null there"),
        (
            &["--inject", "irq=0x20"],
            "levels is [[\"nmi\"]] there, [[\"irq=0x20\"]] here",
        ),
        (&["--then", "nmi"], "levels is"),
        (&["--no-reduce"], "reduce is true there, false here"),
        (&["--cpu", "amd"], "cpu is"),
        (&["--ram", "32M"], "ram is"),
        (&["--allow", "frame-lost"], "rules is"),
        (
            &["--nmi", "icount=7"],
            "schedule is [] there, [\"--nmi icount=7\"] here",
        ),
        (&["--shard", "1/2"], "shard is 1/1 there, 1/2 here"),
    ] {
        let mut words = base.to_vec();
        words.extend(more);
        iretrace(words).is_error(
            96,
            &["done.jsonl:1", named, "another file, or remove this one"],
        );
        assert_eq!(fs::read(&path).expect("there"), before);
    }
    // Another program under the same name.
    fs::write(&image, CLEAN.replace("nop\n    nop", "nop\n    cld")).expect("written");
    iretrace(base).is_error(96, &["image is"]);
    // And names alone count too: they are in the report.
    fs::write(&image, CLEAN.replace("last:", "other:")).expect("written");
    iretrace(base).is_error(96, &["window is"]);
    assert_eq!(fs::read(&path).expect("there"), before);
}

#[test]
fn the_addresses_of_symbols_count() {
    let folder = folder();
    let data = |first: &str, second: &str| {
        format!("{CLEAN}\n.section .data\n{first}: .quad 0\n{second}: .quad 0\n")
    };
    let image = source(&folder, &data("here", "there"));
    let path = folder.path().join("done.jsonl");
    let mut words = window(&image).to_vec();
    words.extend(["--checkpoint", word(&path), "--inject"]);
    let with = |event| [&words[..], &[event]].concat();
    let fault = with("PF,addr=here+4+nmi");
    let first = iretrace(&fault);
    first.ends_with(100).shows(&["PF,addr=here+4+nmi"]);
    let before = fs::read(&path).expect("there");
    // It goes on, and there is nothing left to do.
    assert_eq!(iretrace(&fault).stdout, first.stdout);
    assert_eq!(fs::read(&path).expect("there"), before);
    // The same bytes, with the names the other way round.
    fs::write(&image, data("there", "here")).expect("written");
    iretrace(&fault).is_error(96, &["addresses is {\"here+0x4\":"]);
    assert_eq!(fs::read(&path).expect("there"), before);
    // Without a symbol there is nothing to name, and files made before that was possible are good.
    let number = folder.path().join("number.jsonl");
    let mut words = window(&image).to_vec();
    words.extend([
        "--checkpoint",
        word(&number),
        "--inject",
        "PF,addr=0x1000+nmi",
    ]);
    iretrace(words).ends_with(100);
    assert!(
        !fs::read_to_string(&number)
            .expect("UTF-8")
            .contains("addresses")
    );
}

#[test]
fn what_is_no_checkpoint_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("notes.txt");
    for text in [
        "my notes",
        "my notes\n",
        "{\"iretrace\":\"trace\",\"version\":1}\n",
        "\0\u{1}\n",
    ] {
        fs::write(&path, text).expect("written");
        run_long(&["--checkpoint", word(&path)]).is_error(
            96,
            &["notes.txt:1", "no checkpoint of a sweep", "another file"],
        );
        assert_eq!(fs::read_to_string(&path).expect("there"), text);
    }
    fs::write(&path, "{\"iretrace\":\"sweep\",\"version\":99}\n").expect("written");
    run_long(&["--checkpoint", word(&path)]).is_error(96, &["version 99", "reads version 1"]);
}

#[test]
fn two_sweeps_do_not_write_to_one_file() {
    let folder = folder();
    let path = folder.path().join("done.jsonl");
    let other = fs::File::create(&path).expect("created");
    other.lock().expect("free");
    let words = ["--limit", "1", "--checkpoint", word(&path)];
    run_long(&words).is_error(
        96,
        &["done.jsonl: another sweep writes to it", "another file"],
    );
    assert_eq!(fs::read(&path).expect("there"), b"");
    drop(other);
    run_long(&words);
    assert!(parts(&path).contains(&0));
}

#[test]
fn a_broken_line_is_named() {
    let folder = folder();
    let path = folder.path().join("done.jsonl");
    run_long(&["--limit", "100", "-j1", "--checkpoint", word(&path)]);
    let whole = fs::read_to_string(&path).expect("there");
    let lines: Vec<&str> = whole.lines().collect();
    let again = lines[1].replacen("\"cases\":", "\"cases\":1", 1);
    let beyond = lines[1].replacen("\"part\":0", "\"part\":4294967296", 1);
    for (line, named) in [
        ("{}", "no part of a sweep"),
        (&again, "part 0 is there twice, and differs"),
        (&beyond, "there is no part 4294967296"),
    ] {
        fs::write(&path, format!("{whole}{line}\n")).expect("written");
        let at = format!("done.jsonl:{}", lines.len() + 1);
        run_long(&["--checkpoint", word(&path)]).is_error(96, &[&at, named]);
    }
}

#[test]
fn a_full_disk_is_110_and_keeps_whole_lines() {
    let folder = folder();
    let elf = linked_loop(&folder, 2000);
    let whole = folder.path().join("whole.jsonl");
    let words = |path| ["sweep", word(&elf), "-j1", "--checkpoint", word(path)];
    iretrace(words(&whole)).ends_with(100);
    let size = fs::metadata(&whole).expect("there").len();
    let path = folder.path().join("done.jsonl");
    // RLIMIT_FSIZE, in KiB, with SIGXFSZ ignored: a write fails with EFBIG half-way.
    let script = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(script)
        .arg(assert_cmd::cargo::cargo_bin("iretrace"))
        .arg((size / 2 / 1024).to_string())
        .args(words(&path));
    outcome(&mut command).is_error(110, &["done.jsonl: cannot be written", "are kept"]);
    let kept = parts(&path).len();
    assert!(kept > 0 && kept < parts(&whole).len(), "{kept}");
    forms(&words(&path)).are(&forms(&["sweep", word(&elf)]));
    run_long(&["--checkpoint", "/dev/full"]).is_error(110, &["/dev/full: cannot be written"]);
}
