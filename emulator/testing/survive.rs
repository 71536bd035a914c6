//! The same event at every boundary of a handler: each time everything must hold.

use super::case::Case;
use super::error::TestError;
use super::expect::Expectation;
use super::failure::Problem;
use super::raise::Raise;
use super::run::Run;
use super::session::{End, Session};
use crate::arch::Vector;
use crate::machine::StopReason;
use crate::schedule::Stimulus;
use crate::sweep::Shot;
use crate::trace::Source;

/// Boundaries at which it is tried.
const MOST: u64 = 20_000;

/// Boundaries that all tries together may pass: some seconds.
const WORK: u64 = 1_000_000;

/// What is expected of each fork: [`Expectation::Sound`], and all that the case says but for sweeps
/// and for what an event changes by itself (how many instructions and calls there are, how deep the
/// stack is, whether NMIs are blocked, the trace).
fn kept(case: &Case) -> Vec<Expectation> {
    let kept = |e: &&Expectation| {
        !matches!(
            e,
            Expectation::Survives(_)
                | Expectation::Golden(_)
                | Expectation::Instructions(_)
                | Expectation::StackDepth(_)
                | Expectation::Calls { .. }
                | Expectation::Nmi { .. }
        )
    };
    let mut list: Vec<_> = case.expected.iter().filter(kept).cloned().collect();
    if !list.contains(&Expectation::Sound) {
        list.insert(0, Expectation::Sound);
    }
    list
}

pub(super) fn check(run: &Run, shot: &Shot) -> Result<Vec<Problem>, TestError> {
    let raise = Raise::from(shot);
    let mut case = run.session.case.clone();
    for vector in raise.vectors() {
        if !case.gates.iter().any(|g| g.vector == vector) {
            case = case.quiet(vector);
        }
    }
    let expected = kept(&case);
    let what = format!("survives {shot}");
    let raised = raise.resolve(&what, &case.program)?;
    let mut session = case.start()?;
    for &event in &session.raised {
        session.machine.raise(event, Source::Schedule);
    }
    let kind = shot.kind();
    let mut failures: Vec<(u64, Problem)> = Vec::new();
    let (mut tried, mut work) = (0, 0u64);
    let mut given_up = None;
    while session.step().is_none() {
        let rip = session.machine.cpu().regs.rip;
        if session.seen.root.is_none()
            || session.seen.resumed.is_some()
            || !session.machine.would_take(kind) && !may_wait(&raise)
        {
            continue;
        }
        if tried == MOST || work > WORK {
            let text = format!(
                "the handler is too long to try {shot} at every boundary: given up after {tried}, at {}",
                case.program.name_of(rip)
            );
            given_up = Some(Problem::new(&what, text).at(rip));
            break;
        }
        tried += 1;
        let (fork, passed, problems) = fork(session, &raised, &expected)?;
        session = fork;
        work = work.saturating_add(passed);
        if let Some(problem) = problems.into_iter().next() {
            failures.push((rip, problem));
        }
    }
    if tried == 0 {
        let text = format!(
            "{shot} is never tried: nothing was delivered, or it cannot arrive in the handler"
        );
        given_up = Some(Problem::new(&what, text));
    }
    let broken = broken(&case, &what, &failures, tried);
    Ok(broken.into_iter().chain(given_up).collect())
}

/// What is said of the boundaries, of `tried` ones, at which something does not hold.
fn broken(case: &Case, what: &str, failures: &[(u64, Problem)], tried: u64) -> Option<Problem> {
    let (rip, first) = failures.first().cloned()?;
    let name = |at| case.program.name_of(at);
    let mut places: Vec<String> = failures.iter().map(|f| name(f.0)).collect();
    places.dedup();
    let more = places.len().saturating_sub(6);
    places.truncate(6);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let shot = what.strip_prefix("survives ").unwrap_or(what);
    Some(Problem {
        expected: what.to_owned(),
        text: format!(
            "{shot} at {} of {tried} boundaries breaks it ({}{more}); at {}: {}",
            failures.len(),
            places.join(", "),
            name(rip),
            first.text
        ),
        rip: Some(rip),
        diff: first.diff,
    })
}

/// Whether what arrives is held until it can be taken: all but exceptions.
fn may_wait(raise: &Raise) -> bool {
    raise
        .vectors()
        .next()
        .is_some_and(|v| v == Vector::NMI || v == Vector::MC || v.0 >= 32)
}

/// Raises it here, follows the run to its end, and comes back: the session, the boundaries that the
/// run had, and what does not hold.
fn fork(
    mut session: Session,
    raised: &[Stimulus],
    expected: &[Expectation],
) -> Result<(Session, u64, Vec<Problem>), TestError> {
    let seen = session.seen.clone();
    let (events, left) = (session.tape.position(), session.left);
    let mapper = session.mapper.clone();
    let mark = session.machine.mark();
    for &event in raised {
        session.machine.raise(event, Source::Schedule);
    }
    let end = session.go_on();
    let mut run = Run::new(session, end);
    run.trouble()?;
    let mut problems = Vec::new();
    if let End::Stopped(StopReason::NotModelled { .. }) = run.end {
        problems.push(Problem::new("modelled", run.end.describe()));
    }
    for e in expected {
        problems.extend(run.check(e)?);
    }
    if !expected.iter().any(Expectation::is_about_the_end) {
        let default = Expectation::default_end(&run.session.case);
        problems.extend(run.check(&default)?);
    }
    let mut session = run.session;
    let passed = session.seen.boundaries.saturating_sub(seen.boundaries);
    session.machine.rewind(&mark);
    session.machine.unmark();
    session.tape.go_back(events);
    // RAM is as before the fork, and so are the frames that nobody has.
    session.mapper = mapper;
    (session.seen, session.left) = (seen, left);
    Ok((session, passed, problems))
}
