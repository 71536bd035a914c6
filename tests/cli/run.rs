//! `iretrace run` over the built-in programs.

use std::path::Path;

use iretrace::load::{Image, LoadOptions};

use crate::support::{file, folder, iretrace, word};

#[test]
fn nested_nmi_shows_the_bug() {
    let o = iretrace(["run", "@nested-nmi"]);
    o.ends_with(0);
    // SDM vol. 3, 6.7.1: any IRET unblocks; 6.14.5: an IST stack is used from its top each time.
    o.shows(&[
        "again: iretrace run @nested-nmi\n",
        "NMI#1 delivered to nmi_entry on IST1",
        "NMI latched: NMIs are blocked",
        "walk: write 0xffffc90000000000: #PF, not present",
        "#PF#1 (fault) delivered to page_fault_entry",
        "cr2 0xffffc90000000000  ec 0x2 ",
        "UNBLOCKED EARLY by the IRET of the #PF#1 handler, inside NMI#1",
        "NMI#2 delivered to nmi_entry on IST1",
        "returns to touch",
        "wrote over NMI#1's return frame",
        "STOP guest-success",
    ]);
    assert!(!o.stdout.contains('\u{1b}'), "colours in a pipe: {o:#?}");
    let said: Vec<&str> = o.stderr.lines().collect();
    assert!(
        said[0].contains("the guest reported success (0x10"),
        "{o:#?}"
    );
    assert!(said[1].starts_with("error[frame-lost]: NMI#1 "), "{o:#?}");
}

#[test]
fn the_end_of_the_run_decides_the_exit_code() {
    for (words, code) in [
        (vec!["@nested-nmi"], 0),
        (vec!["@triple-fault"], 102),
        (vec!["@nested-nmi", "--success-value", "0x11"], 98),
        (vec!["@nested-nmi", "--max-insns", "1_00"], 103),
        (vec!["@nested-nmi", "--until", "nmi_entry"], 0),
        (vec!["@nested-nmi", "--until", "icount=1k"], 0),
    ] {
        let o = iretrace(["run", "-q"].iter().chain(&words));
        o.ends_with(code);
        assert_eq!(o.stdout, "", "{words:?}");
    }
    let folder = folder();
    let halt = file(&folder, "halt.S", ".globl _start\n_start: cli\n hlt\n");
    iretrace(["run", word(&halt)]).ends_with(104);
}

#[test]
fn the_order_of_the_options_is_the_order_of_the_schedule() {
    let words = |a: &'static str, b: &'static str| {
        let mut words = vec![
            "run",
            "@nested-nmi",
            "--format",
            "jsonl",
            "--until",
            "icount=10",
        ];
        for option in [a, b, a] {
            words.extend(option.split(' '));
        }
        words
    };
    let (nmi, irq) = ("--nmi icount=500", "--irq 0x30@icount=600");
    for (a, b) in [(nmi, irq), (irq, nmi)] {
        let o = iretrace(words(a, b));
        let header: serde_json::Value =
            serde_json::from_str(o.stdout.lines().next().expect("a header")).expect("JSON");
        assert_eq!(header["schedule"], serde_json::json!([a, b, a]));
    }
}

#[test]
fn an_injected_nmi_lands_at_its_instruction() {
    // alu-loop takes no NMI of its own; its IDT sends one to `unexpected`.
    let o = iretrace(["run", "@alu-loop", "--nmi", "icount=900", "--events", "nmi"]);
    o.shows(&[
        "\n      900 ",
        "NMI raised by the schedule",
        "NMI#1 delivered to",
    ]);
}

#[test]
fn vendors_differ_on_a_faulting_iret() {
    // SDM vol. 3, 6.7.1: an IRET that faults has unblocked; APM vol. 2, 8.2.3: only one that
    // completes does.
    let unblocked = "\"by\":\"faulting-iret\"";
    let words = ["run", "@iret-faults", "--format", "jsonl", "--cpu"];
    let intel = iretrace(words.iter().chain(&["intel"]));
    let amd = iretrace(words.iter().chain(&["amd"]));
    assert!(intel.stdout.contains(unblocked), "{}", intel.stdout);
    assert!(!amd.stdout.contains(unblocked), "{}", amd.stdout);
    let knob = ["amd", "--knob", "iret-fault-unblocks-nmi=true"];
    let mixed = iretrace(words.iter().chain(&knob));
    assert!(mixed.stdout.contains(unblocked), "{}", mixed.stdout);
}

#[test]
fn events_choose_what_is_traced() {
    let rows = |words: &[&str]| -> Vec<String> {
        let o = iretrace(
            ["run", "@nested-nmi", "--format", "jsonl"]
                .iter()
                .chain(words),
        );
        o.ends_with(0);
        let kinds = o.stdout.lines().skip(1).map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            event["event"].as_str().expect("a name").to_owned()
        });
        kinds.collect()
    };
    let irets = rows(&["--events", "iret"]);
    assert!(
        irets.iter().all(|k| k == "iret" || k == "stop"),
        "{irets:?}"
    );
    assert_eq!(irets.iter().filter(|k| *k == "iret").count(), 3);
    assert!(!rows(&["--events", "-walk"]).contains(&"walk".to_owned()));
    let verbose = rows(&["-v"]);
    let last = verbose.last().expect("a stop");
    assert_eq!(last, "stop");
    assert!(verbose.iter().filter(|k| *k == "insn").count() > 1000);
    assert!(verbose.contains(&"mem".to_owned()));
}

#[test]
fn console_turns_the_output_round() {
    let o = iretrace(["run", "@nested-nmi", "--console"]);
    o.ends_with(0);
    assert_eq!(
        o.stdout,
        "nested-nmi: NMI #1's return frame was lost, as predicted\n"
    );
    let folder = folder();
    let trace = folder.path().join("t.txt");
    let o = iretrace(["run", "@nested-nmi", "--console", "-o", word(&trace)]);
    assert!(o.stdout.starts_with("nested-nmi: "), "{o:#?}");
    let text = std::fs::read_to_string(trace).expect("a trace");
    assert!(text.contains("NMI#1 delivered"), "{text}");
}

#[test]
fn flat_binaries_run_where_they_are_told() {
    let folder = folder();
    // mov al, 0x10; out 0xf4, al
    let bin = file(&folder, "boot.bin", b"\xb0\x10\xe6\xf4\xf4");
    let o = iretrace(["run", word(&bin), "--base", "0x8000", "--events", "io"]);
    o.ends_with(0).shows(&["0x8002"]);
    let other = file(&folder, "boot.img", b"\xb0\x10\xe6\xf4\xf4");
    iretrace(["run", word(&other), "--flat"]).ends_with(0);
    iretrace(["run", word(&other)]).is_error(96, &["boot.img", "flat"]);
}

#[test]
fn colours_are_as_asked() {
    let o = iretrace(["run", "@nested-nmi", "--color", "always"]);
    assert!(o.stdout.contains("\u{1b}["), "{o:#?}");
    let o = iretrace(["run", "@nested-nmi", "--color", "never"]);
    assert!(!o.stdout.contains('\u{1b}'), "{o:#?}");
}

#[test]
fn the_address_of_a_page_fault_may_be_a_symbol() {
    let image = Image::open(Path::new("@nested-nmi"), &LoadOptions::default()).expect("built in");
    let passes = image.resolve("passes").expect("a symbol of its data").0;
    let fault = |addr: &str| format!("page-fault@at=touch,ec=0x3,addr={addr}");
    for (addr, at) in [("passes", passes), ("passes+4", passes + 4)] {
        let o = iretrace(["run", "@nested-nmi", "--exception", &fault(addr)]);
        // SDM vol. 3, 4.7: the error code; 6.15, interrupt 14: CR2 has the linear address.
        o.shows(&[
            &format!("cr2 {at:#x}  ec 0x3 "),
            &format!("page_fault_entry+0x2 cr2 read: {at:#x}\n"),
        ]);
        let number = iretrace([
            "run",
            "@nested-nmi",
            "--exception",
            &fault(&format!("{at:#x}")),
        ]);
        let behind_the_header = |text: &str| {
            let lines = text.lines().filter(|l| !l.contains("page-fault@"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            behind_the_header(&o.stdout),
            behind_the_header(&number.stdout)
        );
        assert_eq!(o.code, number.code);
    }
    // What is shown for it reads back to the same.
    let words = ["run", "@nested-nmi", "--format", "jsonl", "--exception"];
    let first = iretrace(words.iter().copied().chain([&*fault("passes+4")]));
    let header: serde_json::Value =
        serde_json::from_str(first.stdout.lines().next().expect("a header")).expect("JSON");
    let canonical = fault("passes+0x4");
    assert_eq!(
        header["schedule"],
        serde_json::json!([format!("--exception {canonical}")])
    );
    let again = iretrace(words.iter().copied().chain([&*canonical]));
    assert_eq!(again.stdout, first.stdout);

    iretrace(["run", "@nested-nmi", "--exception", &fault("pases+4")]).is_error(
        2,
        &["addr=pases+0x4: the image has no symbol \"pases\"; did you mean passes?"],
    );
    iretrace(["run", "@nested-nmi", "--exception", &fault("passes+")])
        .is_error(2, &["expected an offset after '+'"]);
}
