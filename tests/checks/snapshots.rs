//! What the checks know goes back with the machine.

use iretrace::check::{CheckConfig, RuleId};
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, Until};

fn machine(name: &str) -> (Machine, Image) {
    let image = Image::open(name, &LoadOptions::default()).expect("a program");
    let mut machine = Machine::new(MachineConfig::default()).expect("a machine");
    machine.load(&image).expect("it fits");
    machine.enable_checks(CheckConfig::default());
    (machine, image)
}

fn rules(machine: &Machine) -> Vec<RuleId> {
    let findings = machine.findings().expect("checks");
    findings.iter().map(|f| f.rule).collect()
}

#[test]
fn a_run_from_any_moment_finds_the_same() {
    for name in [
        "@nested-nmi",
        "@cr2-clobbered",
        "@wrong-gs",
        "@red-zone-clobbered",
        "@frame-returned-twice",
    ] {
        let (mut whole, _) = machine(name);
        let stop = whole.run(Until::Never);
        whole.end_checks(&stop);
        let end = whole.boundary().icount;
        let (mut forked, _) = machine(name);
        for icount in (800..end).step_by(7) {
            forked.run(Until::Icount(icount));
            let mark = forked.mark();
            let before = forked.checks().expect("checks").clone();
            for _ in 0..2 {
                let stop = forked.run(Until::Never);
                forked.end_checks(&stop);
                assert_eq!(forked.checks(), whole.checks(), "{name} from {icount}");
                forked.rewind(&mark);
                assert_eq!(forked.checks(), Some(&before), "{name} at {icount}");
            }
        }
        assert!(!rules(&whole).is_empty(), "{name}");
    }
}

#[test]
fn checks_can_be_taken_away() {
    let (mut m, image) = machine("@nested-nmi");
    let touch = image.resolve("page_fault_return").expect("there");
    m.run(Until::Address(touch));
    let checks = m.disable_checks().expect("checks");
    assert!(checks.findings().is_empty());
    assert!(m.findings().is_none());
    m.run(Until::Never);
    assert!(m.findings().is_none());
}

#[test]
fn the_same_future_is_the_same_state() {
    let (mut a, image) = machine("@nested-nmi");
    let (mut b, _) = machine("@nested-nmi");
    let touch = image.resolve("touch").expect("there");
    a.run(Until::Address(touch));
    assert!(
        !a.checks()
            .expect("checks")
            .same_state(b.checks().expect("checks"))
    );
    b.run(Until::Address(touch));
    assert!(
        a.checks()
            .expect("checks")
            .same_state(b.checks().expect("checks"))
    );
}

/// An NMI that is taken and resumed leaves nothing behind that the rules would judge by.
#[test]
fn what_is_over_makes_no_difference() {
    for (name, place) in [
        ("@wrong-gs.ok", "user_start"),
        ("@user-stack-in-kernel.ok", "user_start"),
        ("@nmi-stuck.ok", "quiet"),
    ] {
        let (mut m, image) = machine(name);
        let at = image.resolve(place).expect("there");
        m.run(Until::Address(at));
        let before = m.checks().expect("checks").clone();
        let deliveries = m.cpu().activations.last_serial();
        let depth = m.cpu().activations.depth();
        m.raise_nmi(iretrace::trace::Source::Host);
        let mut back = false;
        for _ in 0..200 {
            m.run(Until::Icount(m.boundary().icount + 1));
            let cpu = m.cpu();
            let (taken, here) = (
                cpu.activations.last_serial() > deliveries,
                cpu.regs.rip == at.0,
            );
            back = taken && here && cpu.activations.depth() == depth;
            if back {
                break;
            }
        }
        assert!(back, "{name} {place}");
        let now = m.checks().expect("checks");
        assert!(
            now.same_state(&before),
            "{name} {place}:\n{now:#?}\n{before:#?}"
        );
    }
}
