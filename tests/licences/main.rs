//! The program is GPL-2.0-only, as Unicorn is: every crate that is linked into it must allow that.

mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The platform whose dependencies are judged: the one on which releases are built and tested.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// What the program is made of, from `cargo metadata`.
struct Crates {
    /// Name and licence by package identity.
    packages: BTreeMap<String, Package>,
    /// Packages that are needed at run time, by the package that needs them.
    normal: BTreeMap<String, Vec<String>>,
    root: String,
}

struct Package {
    name: String,
    licence: Option<String>,
    /// A compiler plug-in: it runs when the program is built, and is not part of it.
    is_macro: bool,
}

/// `cargo metadata` without the network if it can be had so, as it can after a build.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |how: &[&str]| {
        Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", PLATFORM])
            .args(how)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs")
    };
    let mut output = run(&["--offline"]);
    if !output.status.success() {
        output = run(&[]);
    }
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

impl Crates {
    fn new(metadata: &Value) -> Self {
        let packages = items(&metadata["packages"])
            .iter()
            .map(|p| {
                let is_macro = items(&p["targets"])
                    .iter()
                    .any(|t| items(&t["kind"]).iter().any(|k| k == "proc-macro"));
                let package = Package {
                    name: text(&p["name"]),
                    licence: p["license"].as_str().map(str::to_owned),
                    is_macro,
                };
                (text(&p["id"]), package)
            })
            .collect();
        let resolve = &metadata["resolve"];
        let normal = items(&resolve["nodes"])
            .iter()
            .map(|node| {
                // The kind of a normal dependency is null; the others are "dev" and "build".
                let needed = items(&node["deps"])
                    .iter()
                    .filter(|d| items(&d["dep_kinds"]).iter().any(|k| k["kind"].is_null()))
                    .map(|d| text(&d["pkg"]))
                    .collect();
                (text(&node["id"]), needed)
            })
            .collect();
        Self {
            packages,
            normal,
            root: text(&resolve["root"]),
        }
    }

    /// Identities of the packages that are linked into the program, and of the macros among what
    /// they name.
    fn linked(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let (mut linked, mut macros) = (BTreeSet::new(), BTreeSet::new());
        let mut todo = vec![self.root.as_str()];
        while let Some(id) = todo.pop() {
            if self.packages[id].is_macro {
                macros.insert(id);
            } else if linked.insert(id) {
                todo.extend(self.normal[id].iter().map(String::as_str));
            }
        }
        (linked, macros)
    }

    /// A complaint for each of the linked packages that may not be.
    fn refused(&self, linked: &BTreeSet<&str>) -> Vec<String> {
        let complaint = |id: &&str| {
            let Package { name, licence, .. } = &self.packages[*id];
            let Some(licence) = licence else {
                return Some(format!("{name}: names no licence"));
            };
            match spdx::is_compatible(licence) {
                Ok(true) => None,
                Ok(false) => Some(format!("{name}: {licence} does not fit into GPL-2.0-only")),
                Err(e) => Some(format!("{name}: {licence:?} is no SPDX expression: {e:?}")),
            }
        };
        linked.iter().filter_map(complaint).collect()
    }
}

#[test]
fn every_linked_crate_allows_gpl_2() {
    let crates = Crates::new(&metadata());
    let (linked, macros) = crates.linked();
    let names = |ids: &BTreeSet<&str>| -> BTreeSet<String> {
        ids.iter()
            .map(|id| crates.packages[*id].name.clone())
            .collect()
    };
    let (linked_names, macro_names) = (names(&linked), names(&macros));
    println!("linked: {linked_names:?}");
    println!("macros, at build time only: {macro_names:?}");

    // The walk went where it should, and nowhere else.
    for inside in [
        "iretrace",
        "unicorn-engine",
        "unicorn-engine-sys",
        "iced-x86",
    ] {
        assert!(linked_names.contains(inside), "{inside} is linked");
    }
    for outside in ["bindgen", "boon", "proptest"] {
        assert!(!linked_names.contains(outside), "{outside} is not linked");
    }
    assert!(macro_names.contains("serde_derive"));

    assert_eq!(crates.refused(&linked), [""; 0]);
}

#[test]
fn the_package_says_gpl_2_only() {
    let crates = Crates::new(&metadata());
    let licence = crates.packages[&crates.root].licence.as_deref();
    assert_eq!(licence, Some("GPL-2.0-only"));
    let text = include_str!("../../LICENSE");
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    assert_eq!(lines.next(), Some("GNU GENERAL PUBLIC LICENSE"));
    assert_eq!(lines.next(), Some("Version 2, June 1991"));
}

/// A program of these crates; a dependency is `needer needed kind`.
fn made_up(packages: &[(&str, Option<&str>, &str)], deps: &[(&str, &str, Option<&str>)]) -> Crates {
    let described: Vec<_> = packages
        .iter()
        .map(|(name, licence, kind)| {
            serde_json::json!({
                "id": name, "name": name, "license": licence, "targets": [{ "kind": [kind] }]
            })
        })
        .collect();
    let nodes: Vec<_> = packages
        .iter()
        .map(|(name, ..)| {
            let deps: Vec<_> = deps
                .iter()
                .filter(|(needer, ..)| needer == name)
                .map(|(_, pkg, kind)| {
                    serde_json::json!({ "pkg": pkg, "dep_kinds": [{ "kind": kind }] })
                })
                .collect();
            serde_json::json!({ "id": name, "deps": deps })
        })
        .collect();
    Crates::new(&serde_json::json!({
        "packages": described, "resolve": { "root": packages[0].0, "nodes": nodes }
    }))
}

#[test]
fn what_is_linked_through_others_is_judged_and_what_only_builds_is_not() {
    let crates = made_up(
        &[
            ("root", Some("GPL-2.0-only"), "lib"),
            ("direct", Some("MIT"), "lib"),
            ("deep", Some("Apache-2.0"), "lib"),
            ("nameless", None, "lib"),
            ("macros", Some("Apache-2.0"), "proc-macro"),
            ("of-macros", Some("Apache-2.0"), "lib"),
            ("builder", Some("Apache-2.0"), "lib"),
            ("tester", Some("GPL-3.0-only"), "lib"),
        ],
        &[
            ("root", "direct", None),
            ("root", "macros", None),
            ("root", "tester", Some("dev")),
            ("direct", "builder", Some("build")),
            ("direct", "deep", None),
            ("direct", "nameless", None),
            ("macros", "of-macros", None),
        ],
    );
    let (linked, macros) = crates.linked();
    assert_eq!(
        linked,
        BTreeSet::from(["root", "direct", "deep", "nameless"])
    );
    assert_eq!(macros, BTreeSet::from(["macros"]));
    assert_eq!(
        crates.refused(&linked),
        [
            "deep: Apache-2.0 does not fit into GPL-2.0-only",
            "nameless: names no licence",
        ]
    );
}
