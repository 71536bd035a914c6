//! Case files: cases with a few header lines each.

use std::path::Path;

use iretrace::arch::{CpuModel, Vendor};
use serde_json::{Map, Value};

/// One case with one setting of the CPU.
#[derive(Clone, Debug)]
pub struct Case {
    /// The number of the scenario, or the name of a case of its own: `8`, `34b`, `IRET-4c`.
    pub id: String,
    /// What happens, in words.
    pub title: String,
    /// The section of the manual.
    pub source: String,
    /// The words of `#: cpu`; empty for the default.
    pub setting: String,
    pub cpu: CpuModel,
    /// Injections, as options of the command line; `{here}` stands for the icount there.
    pub schedule: Vec<String>,
    /// NMI bits at `here`.
    pub blocked: bool,
    pub pending: bool,
    pub body: String,
    /// Where it is written, for messages.
    pub place: String,
}

impl Case {
    /// Its name in the list of tests.
    pub fn name(&self) -> String {
        let words: Vec<&str> = self.title.split_whitespace().collect();
        let setting = match self.setting.as_str() {
            "" => String::new(),
            s => format!("[{}]", s.replace(' ', ",")),
        };
        format!("{}:{}{setting}", self.id, words.join("_"))
    }

    /// Its source for the assembler.
    pub fn assembly(&self) -> String {
        let amd = u8::from(self.cpu.vendor == Vendor::Amd);
        let mut equates = format!("AMD = {amd}\n");
        for (name, on) in switches(&self.cpu, "knobs") {
            let on = u8::from(on == Value::Bool(true));
            equates.push_str(&format!("{name} = {on}\n"));
        }
        let prelude = include_str!("../machine/prelude.inc");
        let expect = include_str!("expect.inc");
        let trailer = include_str!("trailer.inc");
        let body = &self.body;
        // The prelude ends in the middle of the start-up code, which the case goes on.
        format!("{equates}{expect}{prelude}{body}{trailer}")
    }
}

/// The switches of one part of a model, by the names of its fields.
fn switches(cpu: &CpuModel, part: &str) -> Map<String, Value> {
    match serde_json::to_value(cpu) {
        Ok(Value::Object(mut m)) => match m.remove(part) {
            Some(Value::Object(switches)) => switches,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

/// Reads all cases below `folder`, in the order of file names and lines.
pub fn read_all(folder: &Path) -> Result<Vec<Case>, String> {
    let list = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(list)? {
        let path = entry.map_err(list)?.path();
        if path.extension().is_some_and(|e| e == "s") {
            files.push(path);
        }
    }
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        read_file(&name, &text, &mut cases)?;
    }
    let mut names: Vec<_> = cases.iter().map(Case::name).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
        return Err(format!("{}: two cases have this name", twice[0]));
    }
    Ok(cases)
}

/// A case before its settings are told apart.
struct Draft {
    case: Case,
    settings: Vec<String>,
}

fn read_file(file: &str, text: &str, cases: &mut Vec<Case>) -> Result<(), String> {
    let mut draft: Option<Draft> = None;
    for (n, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", n + 1);
        if let Some(title) = line.strip_prefix("#= ") {
            finish(draft.take(), cases)?;
            draft = Some(begin(title, place)?);
            continue;
        }
        let Some(draft) = &mut draft else {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            return Err(format!("{place}: expected #= ID TITLE before {line:?}"));
        };
        match line.strip_prefix("#: ") {
            Some(header) => {
                draft.header(header).map_err(|e| format!("{place}: {e}"))?;
            }
            None => {
                draft.case.body.push_str(line);
                draft.case.body.push('\n');
            }
        }
    }
    finish(draft, cases)
}

fn begin(title: &str, place: String) -> Result<Draft, String> {
    let (id, title) = title
        .split_once(' ')
        .ok_or_else(|| format!("{place}: expected #= ID TITLE"))?;
    let case = Case {
        id: id.to_owned(),
        title: title.trim().to_owned(),
        source: String::new(),
        setting: String::new(),
        cpu: CpuModel::of(Vendor::Intel),
        schedule: Vec::new(),
        blocked: false,
        pending: false,
        body: String::new(),
        place,
    };
    Ok(Draft {
        case,
        settings: Vec::new(),
    })
}

impl Draft {
    fn header(&mut self, header: &str) -> Result<(), String> {
        let header = header.trim();
        if header.starts_with("--") {
            self.case.schedule.push(header.to_owned());
            return Ok(());
        }
        match header.split_once(' ') {
            Some(("source", text)) => self.case.source = text.trim().to_owned(),
            Some(("cpu", text)) => self.settings.push(text.trim().to_owned()),
            Some(("nmi", text)) => {
                for word in text.split_whitespace() {
                    match word {
                        "blocked" => self.case.blocked = true,
                        "pending" => self.case.pending = true,
                        _ => return Err(format!("{word:?}: write blocked or pending")),
                    }
                }
            }
            _ => {
                return Err(format!(
                    "{header:?}: write source, cpu, nmi, or an injection such as --nmi at=here"
                ));
            }
        }
        Ok(())
    }
}

/// One case for each setting.
fn finish(draft: Option<Draft>, cases: &mut Vec<Case>) -> Result<(), String> {
    let Some(Draft { case, settings }) = draft else {
        return Ok(());
    };
    if case.source.is_empty() {
        return Err(format!("{}: #: source is missing", case.place));
    }
    if settings.is_empty() {
        cases.push(case);
        return Ok(());
    }
    for setting in settings {
        let cpu = model(&setting).map_err(|e| format!("{}: {e}", case.place))?;
        cases.push(Case {
            cpu,
            setting,
            ..case.clone()
        });
    }
    Ok(())
}

/// The model that `intel KNOB=true +FEATURE -FEATURE` means.
fn model(setting: &str) -> Result<CpuModel, String> {
    let mut words = setting.split_whitespace();
    let mut cpu = CpuModel::of(match words.next() {
        Some("intel") => Vendor::Intel,
        Some("amd") => Vendor::Amd,
        other => return Err(format!("{other:?}: write intel or amd")),
    });
    for word in words {
        let (part, name, on) = match (word.split_once('='), word.split_at_checked(1)) {
            (Some((name, on)), _) => ("knobs", name, on == "true"),
            (None, Some((sign @ ("+" | "-"), name))) => ("features", name, sign == "+"),
            _ => return Err(format!("{word:?}: write KNOB=true, +FEATURE or -FEATURE")),
        };
        let mut all = switches(&cpu, part);
        let Some(switch) = all.get_mut(&name.replace('-', "_")) else {
            return Err(format!("{name:?}: there is no such switch in {part}"));
        };
        *switch = Value::Bool(on);
        let all = Value::Object(all);
        let wrong = |e: serde_json::Error| e.to_string();
        match part {
            "knobs" => cpu.knobs = serde_json::from_value(all).map_err(wrong)?,
            _ => cpu.features = serde_json::from_value(all).map_err(wrong)?,
        }
    }
    Ok(cpu)
}
