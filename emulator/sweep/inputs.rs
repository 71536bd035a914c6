//! Everything that the result of a part depends on, as it is written down and compared.

use serde_json::{Map, Value, json};

use super::driver::PART;
use super::plan::{Bound, Plan, Shot};
use super::report::Report;
use crate::check::{Level, RuleId};
use crate::machine::MachineConfig;
use crate::schedule::Injection;
use crate::trace::{ImageInfo, image_hash};

fn bound(bound: Option<Bound>) -> Value {
    match bound {
        None => Value::Null,
        Some(Bound::Address(at)) => json!(at),
        Some(Bound::Icount(n)) => json!(format!("icount={n}")),
    }
}

/// The inputs of a sweep, by name. Two sweeps with the same inputs have the same parts, and each of
/// these the same result; threads, limits and shards are no input. `outline` is that of its report:
/// the names in the window count too, the image's own name does not.
#[must_use]
pub fn inputs(
    image: &ImageInfo,
    config: &MachineConfig,
    schedule: &[Injection],
    plan: &Plan,
    outline: &Report,
) -> Map<String, Value> {
    let names = |shots: &Vec<Shot>| shots.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rules: Map<String, Value> = RuleId::all()
        .filter_map(|rule| {
            let level = match plan.policy.level(rule)? {
                Level::Allow => "allow",
                Level::Warn => "warn",
                Level::Deny => "deny",
            };
            Some((rule.name().to_owned(), json!(level)))
        })
        .collect();
    let listing = serde_json::to_string(&(&outline.listing, &outline.window, &outline.undisturbed));
    let ignore = plan.ignore.iter();
    let vectors = plan.checks.transparent.iter();
    let pairs = [
        (
            "program",
            json!(concat!("iretrace ", env!("CARGO_PKG_VERSION"))),
        ),
        ("image", json!(image.hash)),
        ("image-size", json!(image.size)),
        ("cpu", json!(config.cpu)),
        ("ram", json!(config.ram_size)),
        ("max-insns", json!(config.max_insns)),
        ("success-value", json!(config.success_value)),
        ("tlb", json!(config.tlb.name())),
        ("time", json!(config.time.name())),
        (
            "schedule",
            json!(schedule.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ),
        (
            "levels",
            json!(plan.levels.iter().map(names).collect::<Vec<_>>()),
        ),
        ("from", bound(plan.from)),
        ("to", bound(plan.to)),
        ("horizon", json!(plan.horizon)),
        ("patience", json!(plan.patience)),
        ("reduce", json!(plan.reduce)),
        (
            "ignore",
            json!(ignore.map(|r| [r.start, r.end]).collect::<Vec<_>>()),
        ),
        ("nmi-body", json!(plan.checks.nmi_body)),
        (
            "transparent",
            json!(vectors.map(|v| v.0).collect::<Vec<_>>()),
        ),
        ("rules", Value::Object(rules)),
        (
            "denied-from",
            json!(plan.policy.denied_from().map(crate::check::Severity::name)),
        ),
        ("boundaries", json!(outline.boundaries)),
        ("part-size", json!(PART)),
        (
            "window",
            json!(image_hash(listing.unwrap_or_default().as_bytes())),
        ),
    ];
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// How `found` differs from `wanted`: the names, with both values.
pub(super) fn difference(
    found: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Option<String> {
    let absent = Value::Null;
    let mut names: Vec<&String> = wanted.keys().collect();
    names.extend(found.keys().filter(|k| !wanted.contains_key(*k)));
    let list: Vec<String> = names
        .into_iter()
        .filter_map(|name| {
            let there = found.get(name).unwrap_or(&absent);
            let here = wanted.get(name).unwrap_or(&absent);
            let shown = |v: &Value| crate::printable::printable(&v.to_string(), 60);
            (there != here)
                .then(|| format!("{name} is {} there, {} here", shown(there), shown(here)))
        })
        .collect();
    (!list.is_empty()).then(|| list.join("; "))
}
