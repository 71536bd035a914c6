//! The machine's state at the end.

use super::events_left_out;
use crate::testing::error::TestError;
use crate::testing::failure::Problem;
use crate::testing::place::Place;
use crate::testing::register::Register;
use crate::testing::run::Run;
use crate::trace::EventKind;

const fn word(blocked: bool) -> &'static str {
    if blocked { "blocked" } else { "not blocked" }
}

pub(super) fn nmi(run: &Run, before: Option<bool>, after: Option<bool>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut row = |when: &str, wanted: Option<bool>, got: bool| {
        if let Some(wanted) = wanted
            && wanted != got
        {
            let text = format!("NMIs are {} {when}, and not {}", word(got), word(wanted));
            problems.push(Problem::new(format!("nmi {when} {}", word(wanted)), text));
        }
    };
    match run.root() {
        Some(root) => row("before", before, root.nmi_blocked),
        None if before.is_some() => {
            problems.push(Problem::new("nmi before", "nothing was delivered"));
            return problems;
        }
        None => {}
    }
    let now = if run.seen().resumed.is_some() {
        run.seen().resumed_blocked
    } else {
        run.session.machine.cpu().nmi.blocked
    };
    row("after", after, now);
    problems
}

pub(super) fn register(run: &Run, register: Register, value: u64) -> Vec<Problem> {
    // After a return it is the interrupted code's.
    let got = match &run.seen().resumed {
        Some(regs) => register.get(regs),
        None => run.register(register),
    };
    if got == value {
        return Vec::new();
    }
    vec![Problem {
        expected: format!("register {register}={value:#x}"),
        text: format!("{register} is another (expected -> seen)"),
        rip: None,
        diff: vec![(
            register.name().to_owned(),
            format!("{value:#x}"),
            format!("{got:#x}"),
        )],
    }]
}

pub(super) fn memory(run: &Run, place: &Place, bytes: &[u8]) -> Result<Vec<Problem>, TestError> {
    let at = run.session.case.program.resolve("memory", place)?;
    let expected = format!("memory {place}");
    let mut got = vec![0; bytes.len()];
    if !run.session.read(at.0, &mut got) {
        let text = format!("{place} is not mapped at the end");
        return Ok(vec![Problem::new(expected, text)]);
    }
    if got == bytes {
        return Ok(Vec::new());
    }
    let hex = |b: &[u8]| {
        let shown: Vec<String> = b.iter().take(32).map(|b| format!("{b:02x}")).collect();
        shown.join(" ")
    };
    let by = run
        .seen()
        .writer_of(at.0)
        .map(|w| {
            format!(
                "; last stored to by {}",
                run.session.case.program.name_of(w.rip)
            )
        })
        .unwrap_or_default();
    Ok(vec![Problem {
        expected,
        text: format!("memory at {place} is another (expected -> seen){by}"),
        rip: None,
        diff: vec![(place.to_string(), hex(bytes), hex(&got))],
    }])
}

pub(super) fn console(run: &Run, line: &str) -> Vec<Problem> {
    let events = run.events();
    let mut said = events.iter().filter_map(|e| match &e.kind {
        EventKind::Console { text, .. } => Some(text.as_str()),
        _ => None,
    });
    if said.any(|text| text == line) {
        return Vec::new();
    }
    let expected = format!("console {line}");
    let mut problems = events_left_out(&expected, run);
    let text = format!("the console never says {line:?}");
    problems.push(Problem::new(expected, text));
    problems
}
