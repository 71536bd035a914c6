//! A sweep that is divided gives the report of the undivided one.

use std::fs;
use std::path::PathBuf;

use crate::programs::{CLEAN, NO_IDT, forms, run_long, source, undivided, window};
use crate::support::{folder, iretrace, word};

/// The files of all `n` shards.
fn shards(folder: &tempfile::TempDir, n: usize) -> Vec<PathBuf> {
    let one = |k: usize| {
        let path = folder.path().join(format!("part{k}.jsonl"));
        let shard = format!("{k}/{n}");
        let o = run_long(&["-j1", "--shard", &shard, "--checkpoint", word(&path)]);
        o.ends_with(0);
        assert_eq!(o.stdout, "");
        path
    };
    (1..=n).map(one).collect()
}

#[test]
fn four_shards_merged_are_the_undivided_sweep() {
    let folder = folder();
    let files = shards(&folder, 4);
    let words = |order: &[usize]| {
        let mut words = vec!["merge"];
        words.extend(order.iter().map(|&n| word(&files[n])));
        words
    };
    forms(&words(&[0, 1, 2, 3])).are(undivided());
    forms(&words(&[3, 1, 0, 2])).are(undivided());
    // The same file twice has nothing new.
    forms(&words(&[3, 1, 0, 2, 1])).are(undivided());

    let o = iretrace(words(&[0, 1, 3]));
    o.is_error(96, &["not the whole sweep", "shard 3/4 is missing"]);
    let whole = fs::read_to_string(&files[1]).expect("there");
    let lines: Vec<&str> = whole.lines().collect();
    let gone = lines[..lines.len() - 1].join("\n") + "\n";
    fs::write(&files[1], &gone).expect("written");
    let o = iretrace(words(&[0, 1, 2, 3]));
    o.is_error(96, &["shard 2/4 lacks parts 13;"]);
    // A torn last line counts for nothing.
    fs::write(&files[1], &whole[..whole.len() - 1]).expect("written");
    let o = iretrace(words(&[0, 1, 2, 3]));
    o.is_error(96, &["shard 2/4 lacks parts 13;"]);
    // A part with two results is somebody's mistake.
    let other = folder.path().join("other.jsonl");
    let changed = whole.replacen("\"tally\":{\"cases\":", "\"tally\":{\"cases\":1", 1);
    assert_ne!(changed, whole);
    fs::write(&other, changed).expect("written");
    let mut both = words(&[0, 1, 2, 3]);
    both.push(word(&other));
    let o = iretrace(both);
    o.is_error(
        96,
        &["other.jsonl:2", "is in", "part2.jsonl too, and differs"],
    );
    // The parts are not overwritten.
    let o = iretrace(["merge", word(&files[0]), "--json", word(&files[0])]);
    o.is_error(2, &["that is an input"]);
    assert!(
        fs::read_to_string(&files[0])
            .expect("there")
            .starts_with("{\"iretrace\":\"sweep\"")
    );
}

#[test]
fn merge_has_the_exit_code_of_the_sweep_and_takes_one_sweep_only() {
    let folder = folder();
    let (clean, bad) = (
        folder.path().join("clean.jsonl"),
        folder.path().join("bad.jsonl"),
    );
    let image = source(&folder, CLEAN);
    let words = window(&image);
    iretrace(words.iter().chain(&["--checkpoint", word(&clean)])).ends_with(0);
    let image = source(&folder, NO_IDT);
    let o = iretrace(["sweep", word(&image), "--checkpoint", word(&bad)]);
    o.ends_with(100);
    // A shard says nothing of what it found.
    let shard = folder.path().join("shard.jsonl");
    let words = [
        "sweep",
        word(&image),
        "--shard",
        "1/1",
        "--checkpoint",
        word(&shard),
    ];
    iretrace(words).ends_with(0);
    // The image is not needed.
    fs::remove_file(&image).expect("there");
    assert_eq!(
        iretrace(["merge", word(&bad)]).ends_with(100).stdout,
        o.stdout
    );
    iretrace(["merge", word(&shard)]).ends_with(100);
    iretrace(["merge", word(&clean)]).ends_with(0);
    let o = iretrace(["merge", word(&clean), word(&bad)]);
    o.is_error(
        96,
        &["bad.jsonl:1", "another sweep than that of", "image is"],
    );
}

#[test]
fn what_is_no_shard_is_refused() {
    let folder = folder();
    let path = folder.path().join("part.jsonl");
    for bad in ["0/4", "5/4", "1", "1/0", "x/y"] {
        let o = run_long(&["--shard", bad, "--checkpoint", word(&path)]);
        o.is_error(2, &["--shard", "write K/N"]);
    }
    run_long(&["--shard", "1/4"]).is_error(2, &["--checkpoint"]);
    run_long(&["--shard", "1/4", "--checkpoint", word(&path), "--json", "x"])
        .is_error(2, &["cannot be used with"]);
    assert!(!path.exists());
    iretrace(["merge"]).is_error(2, &["<FILE>"]);
    iretrace(["merge", word(&path)]).is_error(96, &["part.jsonl: cannot be read"]);
    iretrace(["merge", word(folder.path())]).is_error(96, &["no regular file"]);
    fs::write(&path, "").expect("written");
    iretrace(["merge", word(&path)]).is_error(96, &["no checkpoint of a sweep"]);
    fs::write(&path, "{\"iretrace\":\"sweep\"").expect("written");
    iretrace(["merge", word(&path)]).is_error(96, &["no checkpoint of a sweep"]);
}

#[test]
fn a_hostile_header_is_refused() {
    let folder = folder();
    let path = folder.path().join("part.jsonl");
    let image = source(&folder, NO_IDT);
    iretrace(["sweep", word(&image), "--checkpoint", word(&path)]).ends_with(100);
    let whole = fs::read_to_string(&path).expect("there");
    for (from, to) in [
        ("\"parts\":1", "\"parts\":18446744073709551615"),
        (
            "\"boundaries\":4,\"window\"",
            "\"boundaries\":18446744073709551615,\"window\"",
        ),
        ("\"shard\":[1,1]", "\"shard\":[1,0]"),
        ("\"shard\":[1,1]", "\"shard\":[0,1]"),
    ] {
        assert!(whole.contains(from), "{from} in {whole}");
        fs::write(&path, whole.replacen(from, to, 1)).expect("written");
        iretrace(["merge", word(&path)]).is_error(96, &["contradicts itself"]);
    }
    let counts = whole.replace("\"cases\":4", "\"cases\":18446744073709551615");
    fs::write(&path, counts).expect("written");
    let o = iretrace(["merge", word(&path)]);
    assert_eq!(o.code, Some(100), "{o:#?}");
}
