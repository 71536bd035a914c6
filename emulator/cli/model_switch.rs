//! Switches of the CPU model: its features and knobs, by name.

use iretrace::arch::CpuModel;
use serde_json::{Map, Value};

/// `iret_fault_unblocks_nmi` and `iret-fault-unblocks-nmi` are one name.
fn same(field: &str, name: &str) -> bool {
    field.replace('_', "-") == name.replace('_', "-").to_ascii_lowercase()
}

/// The switches of one part of the model; the names are the fields' own.
fn part(model: &CpuModel, part: &str) -> Map<String, Value> {
    match serde_json::to_value(model) {
        Ok(Value::Object(mut m)) => match m.remove(part) {
            Some(Value::Object(switches)) => switches,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

/// All names in one part, as they are written.
fn names(model: &CpuModel, which: &str) -> Vec<String> {
    let switches = part(model, which);
    switches.keys().map(|k| k.replace('_', "-")).collect()
}

fn set(model: &mut CpuModel, which: &str, name: &str, on: bool) -> Result<(), String> {
    let mut switches = part(model, which);
    let unknown = || {
        format!(
            "unknown name {name:?}; known are {}",
            names(model, which).join(", ")
        )
    };
    let field = switches.keys().find(|k| same(k, name)).cloned();
    let field = field.ok_or_else(unknown)?;
    switches.insert(field, Value::Bool(on));
    let value = Value::Object(switches);
    let failed = |e: serde_json::Error| e.to_string();
    match which {
        "features" => model.features = serde_json::from_value(value).map_err(failed)?,
        _ => model.knobs = serde_json::from_value(value).map_err(failed)?,
    }
    Ok(())
}

/// Sets features from `+smap` and `-smap`.
pub fn feature(model: &mut CpuModel, text: &str) -> Result<(), String> {
    let (on, name) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(name), _) => (true, name),
        (_, Some(name)) => (false, name),
        _ => return Err("write +NAME or -NAME".to_owned()),
    };
    set(model, "features", name, on)
}

/// Sets a knob from `name=true` or `name=false`.
pub fn knob(model: &mut CpuModel, text: &str) -> Result<(), String> {
    let (name, on) = match text.split_once('=') {
        Some((name, "true")) => (name, true),
        Some((name, "false")) => (name, false),
        _ => return Err("write NAME=true or NAME=false".to_owned()),
    };
    set(model, "knobs", name, on)
}

/// The arguments that make `base` into `model`, features and then knobs.
pub fn differences(base: &CpuModel, model: &CpuModel) -> (Vec<String>, Vec<String>) {
    let changed = |which: &str| {
        let base = part(base, which);
        part(model, which)
            .into_iter()
            .filter(move |(k, v)| base.get(k) != Some(v))
            .map(|(k, v)| (k.replace('_', "-"), v == Value::Bool(true)))
    };
    let features = changed("features")
        .map(|(k, on)| format!("{}{k}", if on { '+' } else { '-' }))
        .collect();
    let knobs = changed("knobs")
        .map(|(k, on)| format!("{k}={on}"))
        .collect();
    (features, knobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iretrace::arch::Vendor;

    #[test]
    fn switches_are_set_and_found_again() {
        let base = CpuModel::of(Vendor::Intel);
        let mut m = base;
        feature(&mut m, "-smap").unwrap();
        feature(&mut m, "-page_1gb").unwrap();
        knob(&mut m, "iret-fault-unblocks-nmi=false").unwrap();
        assert!(!m.features.smap && !m.features.page_1gb);
        assert!(!m.knobs.iret_fault_unblocks_nmi);
        let (features, knobs) = differences(&base, &m);
        assert_eq!(features, ["-page-1gb", "-smap"]);
        assert_eq!(knobs, ["iret-fault-unblocks-nmi=false"]);
        let mut again = base;
        features
            .iter()
            .for_each(|f| feature(&mut again, f).unwrap());
        knobs.iter().for_each(|k| knob(&mut again, k).unwrap());
        assert_eq!(again, m);
        feature(&mut m, "+smap").unwrap();
        assert!(m.features.smap);
    }

    #[test]
    fn unknown_names_list_the_known() {
        let mut m = CpuModel::of(Vendor::Amd);
        let e = feature(&mut m, "+smpa").unwrap_err();
        assert!(e.contains("smap") && e.contains("page-1gb"), "{e}");
        assert!(
            knob(&mut m, "x=true")
                .unwrap_err()
                .contains("sti-shadow-blocks-nmi")
        );
        assert!(knob(&mut m, "sti-shadow-blocks-nmi=1").is_err());
        assert!(feature(&mut m, "smap").is_err());
        assert_eq!(m, CpuModel::of(Vendor::Amd));
    }
}
