//! Delivery followed by IRET restores the interrupted state.

use iretrace::arch::state::gpr;
use iretrace::arch::{CpuState, Segment};
use iretrace::system::{DeliveryOutcome, deliver, iret};

use super::coverage::Coverage;
use super::generate;
use super::properties::{config, run};
use super::stimulus::Stimulus;
use super::world::World;

const IF: u64 = 1 << 9;
const RF: u64 = 1 << 16;

/// What comes back: `before`, but for what the manuals say that a delivery and an IRETQ do not
/// restore; `handler` is the state at the handler's entry.
fn restored(before: &CpuState, handler: &CpuState, rip: u64, rf: u64) -> CpuState {
    let mut want = before.clone();
    want.rip = rip;
    want.rflags = want.rflags & !RF | rf;
    // SDM vol. 2, IRET: IF is loaded only if CPL <= IOPL; the gate may have cleared it.
    if u64::from(handler.cpl) > handler.rflags >> 12 & 3 {
        want.rflags = want.rflags & !IF | handler.rflags & IF;
    }
    // SDM vol. 3, 6.15, and 17.2: what the events themselves leave.
    want.cr2 = handler.cr2;
    want.dr6 = handler.dr6;
    want.dr7 = handler.dr7;
    // A return to a 16-bit stack in compatibility mode loads SP alone.
    if before.seg[1].attr & Segment::L == 0 && before.seg[2].attr & Segment::DB == 0 {
        want.gpr[gpr::RSP] = handler.gpr[gpr::RSP] & !0xffff | before.gpr[gpr::RSP] & 0xffff;
    }
    // A null selector in a data segment register loses its RPL on the way out.
    if handler.cpl < before.cpl {
        for i in [0, 3, 4, 5] {
            if want.seg[i].selector < 4 {
                want.seg[i].selector = 0;
            }
        }
    }
    want
}

fn check(world: &World, stimulus: Stimulus, seen: &Coverage) -> Result<(), String> {
    let mut both = world.build();
    let (cpu, bus) = (&mut both.cpu, &mut both.bus);
    let Some(event) = stimulus.event(cpu, world.modes.amd) else {
        return Ok(());
    };
    let before = cpu.regs.clone();
    let delivery = match deliver(cpu, bus, event) {
        DeliveryOutcome::Delivered(d) => d,
        DeliveryOutcome::Shutdown => {
            seen.count("shutdown");
            return Ok(());
        }
    };
    if delivery.error_code.is_some() {
        cpu.regs.gpr[gpr::RSP] += 8;
    }
    let handler = cpu.regs.clone();
    let rip = if delivery.id.vector == event.vector && delivery.kind == event.kind {
        event.saved_rip.0
    } else {
        before.rip
    };
    let want = restored(&before, &handler, rip, delivery.pushed.rflags.0 & RF);
    if world.modes.frames.implicit && handler.cpl == 3 {
        // Pushed with rights that the handler's pops do not have.
        seen.count("implicit pushes for CPL 3");
        return Ok(());
    }
    iret(cpu, bus, 8).map_err(|e| format!("{e:#x?} after {delivery:#x?}"))?;
    if cpu.nmi.blocked {
        return Err("NMIs are still blocked".into());
    }
    if cpu.regs != want {
        return Err(format!("{:x?}\nnot\n{want:x?}", cpu.regs));
    }
    seen.count(format!(
        "level {} to {}, back",
        before.cpl, delivery.new_cpl
    ));
    seen.count_if(
        before.seg[1].attr & Segment::L == 0,
        "from compatibility mode",
    );
    seen.count_if(before.seg[2].selector < 4, "with a null SS");
    seen.count_if(delivery.error_code.is_some(), "with an error code");
    Ok(())
}

#[test]
fn round_trips() {
    let seen = Coverage::default();
    let config = config(1500);
    let cases = config.cases;
    run(config, &generate::delivery(true), |(world, stimulus)| {
        check(&world, stimulus, &seen)
    });
    let wanted = [
        "level 0 to 0, back",
        "level 3 to 0, back",
        "level 3 to 3, back",
        "from compatibility mode",
        "with a null SS",
        "with an error code",
    ];
    seen.check(cases, &wanted);
}
