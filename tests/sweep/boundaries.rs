//! Which boundaries there are, and what time does at them.

use std::path::Path;

use iretrace::load::{Image, LoadOptions};
use serde_json::{Value, json};

use crate::programs::{CLEAN, forms, source, window};
use crate::support::{Outcome, folder, iretrace};

/// Sweeps a program from `ready` to `last`.
fn sweep(text: &str, options: &[&str]) -> Outcome {
    let folder = folder();
    let image = source(&folder, text);
    iretrace(window(&image).iter().chain(options))
}

/// STI holds interrupts over the next instruction, and perhaps NMIs (SDM vol. 2, STI); it does not hold
/// the next instruction's own faults.
#[test]
fn a_shadow_has_the_boundaries_at_which_something_can_be_taken() {
    let handler = "\ngate_pf: add rsp, 8\n    iretq\n";
    let text = CLEAN.replacen("    nop\n", "    sti\n", 1) + handler;
    let text = text.replace("ready:", "    gate PF, gate_pf\nready:");
    for (options, boundaries) in [
        (&[][..], "2 boundaries"),
        (&["--knob", "sti-shadow-blocks-nmi=false"], "3 boundaries"),
        (&["--inject", "PF,ec=0,addr=0x2000"], "3 boundaries"),
    ] {
        let o = sweep(&text, options);
        o.ends_with(0).shows(&[boundaries]);
    }
}

/// Time that goes on in the handler is a difference for code that reads it later, and for no other.
#[test]
fn running_time_matters_to_who_looks_at_it() {
    let running = ["--time", "running"];
    sweep(CLEAN, &running)
        .ends_with(0)
        .shows(&["3 same-except"]);
    let reads = |then: &str| CLEAN.replace("last:", &format!("last:\n    rdtsc\n    {then}\n"));
    let tells = reads("out 0xe9, al");
    sweep(&tells, &[]).ends_with(0).shows(&["3 same-except"]);
    sweep(&tells, &running)
        .ends_with(100)
        .shows(&["3 differs", "virtual time, to the end: console output"]);
    sweep(&reads("xor eax, eax"), &running)
        .ends_with(0)
        .shows(&["3 same-except", "used without effect: virtual time"]);
}

/// A handler that maps with another PCID leaves translations of it (SDM vol. 3, 4.10.2.2 and 4.10.4.1: bit 63
/// of the operand keeps those of the PCID). Who comes to load that PCID may use them; at the end nobody does.
#[test]
fn translations_of_another_pcid_do_not_count_at_the_end() {
    let text = CLEAN
        .replace(
            "ready:",
            "    mov rax, cr4\n    bts rax, 17\n    mov cr4, rax\nready:",
        )
        .replace(
            "nmi_entry:",
            "nmi_entry:
    push rax
    push rbx
    mov rax, cr3
    bts rax, 63
    lea rbx, [rax + 1]
    mov cr3, rbx
    mov cr3, rax
    pop rbx
    pop rax",
        );
    sweep(&text, &[]).ends_with(0).shows(&[
        "3 same-except",
        "used without effect: cached translation of",
    ]);
    // Without that switch, nothing is used.
    let o = sweep(&text.replace("    mov cr3, rbx\n", ""), &[]);
    o.ends_with(0).shows(&["3 same-except"]);
    assert!(!o.stdout.contains("used without effect"), "{o:#?}");
}

/// What a handler prints is its own business; what the interrupted code prints afterwards is not.
#[test]
fn output_is_part_of_a_run() {
    let with = |handler: &str| {
        CLEAN
            .replace("nmi_entry:", &format!("nmi_entry:\n    {handler}"))
            .replace("last:", "last:\n    mov al, [text]\n    out 0xe9, al\n")
            + "\n.section .data\ntext: .ascii \"a\"\n"
    };
    sweep(
        &with("push rax\n mov al, 'x'\n out 0xe9, al\n pop rax"),
        &[],
    )
    .ends_with(0)
    .shows(&["3 same-except"]);
    sweep(&with("mov byte ptr [text], 'b'"), &[])
        .ends_with(100)
        .shows(&["3 differs", "to the end: console output"]);
}

/// A kernel that patches its own code is shown as it runs.
#[test]
fn the_listing_is_of_the_code_that_runs() {
    let patches = CLEAN
        .replace("ready:", "    mov byte ptr [patched], 0xf8\nready:")
        .replacen("    nop\n", "patched:\n    nop\n", 1);
    let folder = folder();
    let image = source(&folder, &patches);
    let report: Value = serde_json::from_str(&forms(&window(&image)).json).expect("JSON");
    let listing = report["listing"].as_array().expect("a list").iter();
    let texts: Vec<&str> = listing.filter_map(|l| l["text"].as_str()).collect();
    assert_eq!(texts, ["clc", "nop", "nop"]);
}

#[test]
fn the_address_of_a_page_fault_may_be_a_symbol() {
    let image = Image::open(Path::new("@nested-nmi"), &LoadOptions::default()).expect("built in");
    let at = image.resolve("passes").expect("a symbol of its data").0 + 4;
    fn words(then: &str) -> [&str; 8] {
        [
            "sweep",
            "@nested-nmi",
            "--from",
            "icount=840",
            "--to",
            "nmi_entry",
            "--then",
            then,
        ]
    }
    let named = forms(&words("PF,ec=0x3,addr=passes+4+nmi"));
    let report: Value = serde_json::from_str(&named.json).expect("JSON");
    let chain = json!(["nmi", "PF,ec=0x3,addr=passes+4+nmi"]);
    let mut classes = report["classes"].as_array().expect("classes").iter();
    let class = classes.find(|c| c["shots"] == chain && c["verdict"] == "finding");
    let class = class.expect("both levels");
    let schedule = class["schedule"].as_array().expect("a schedule");
    let fault = schedule[1].as_str().expect("an option");
    assert!(fault.ends_with(",ec=0x3,addr=passes+0x4"), "{fault}");

    // The command that the report gives is one, and the fault has that address.
    let list = |v: &Value| -> Vec<String> { serde_json::from_value(v.clone()).expect("words") };
    let mut again = list(&report["command"]);
    for option in list(&class["schedule"]) {
        again.extend(option.split(' ').map(str::to_owned));
    }
    iretrace(&again[1..]).shows(&[&format!("cr2 {at:#x}  ec 0x3 ")]);

    // And what is found is what is found with the number.
    let hex = format!("addr={at:#x}");
    let number = forms(&words(&format!("PF,ec=0x3,{hex}+nmi")));
    let as_number = |text: &str| {
        let text = text.replace("addr=passes+4", &hex);
        text.replace("addr=passes+0x4", &hex)
    };
    assert_eq!(as_number(&named.text), number.text);
    assert_eq!(as_number(&named.json), number.json);

    iretrace(words("nmi;PF,addr=pases+4+nmi")).is_error(
        2,
        &["@nested-nmi: PF,addr=pases+4+nmi: the image has no symbol \"pases\"; did you mean passes?"],
    );
}
