//! `iretrace walk`.

use crate::support::iretrace;

#[test]
fn a_walk_shows_every_level() {
    let o = iretrace(["walk", "@nested-nmi", "_start"]);
    o.ends_with(0);
    o.shows(&["walk: read ", " -> ", "PML4E", "PDPTE", "PDE"]);
    assert_eq!(o.stderr, "");
}

#[test]
fn the_moment_and_the_access_matter() {
    // The reference table has VMALLOC's entry, the task's table lacks it until the #PF handler
    // has copied it.
    let at = "0xffffc90000000000";
    let words = ["walk", "@nested-nmi", at, "--access", "write", "--until"];
    let o = iretrace(words.iter().chain(&["touch"]));
    o.ends_with(0)
        .shows(&["walk: write", "#PF, not present", "PML4E", "not present"]);
    let o = iretrace(words.iter().chain(&["page_fault_return"]));
    o.ends_with(0).shows(&["walk: write", " -> ", "PTE"]);
    // A supervisor page: SDM vol. 3, 4.6.1.
    let o = iretrace(["walk", "@nested-nmi", "nmi_entry", "--user"]);
    o.ends_with(0).shows(&["user read", "#PF"]);
}

#[test]
fn a_walk_changes_nothing() {
    let walk = |words: &[&str]| iretrace(["walk", "@user-mode", "_start"].iter().chain(words));
    // A is not set by the walk itself: what it says is what the access would set.
    walk(&[]).ends_with(0).shows(&["(A set)"]);
    walk(&["--access", "write"])
        .ends_with(0)
        .shows(&["(A and D set)"]);
}

#[test]
fn a_run_that_ends_before_the_moment_says_so() {
    let o = iretrace([
        "walk",
        "@triple-fault",
        "_start",
        "--until",
        "icount=999999",
    ]);
    o.ends_with(102).shows(&["walk: read"]);
    assert!(o.stderr.contains("triple fault"), "{o:#?}");
}
