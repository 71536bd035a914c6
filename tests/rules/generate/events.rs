//! Worlds, and events to deliver in them.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::pages::region;
use super::super::stimulus::Stimulus;
use super::super::tables::MENU;
use super::super::world::{Context, World};
use super::contexts::{context, modes};
use super::places::unless;
use super::tables::{RAISED, gate, idt_base, idt_limit, noise, pages, table, tss};

/// A world around `context`, with gates for `first` and for all that can be raised.
pub fn world(context: Context, first: u8, sound: bool) -> impl Strategy<Value = World> {
    let gates =
        (prop::collection::vec(gate(), RAISED.len()), gate()).prop_map(move |(raised, gate)| {
            let mut gates: Vec<_> = RAISED.into_iter().zip(raised).collect();
            gates.retain(|g| g.0 != first);
            gates.push((first, gate));
            gates
        });
    let full = 8 * MENU.len() as u32 - 1;
    let defects = u32::from(!sound);
    let tables = (
        table(region::GDT, full, defects),
        table(region::LDT, full - 8, defects),
        unless(5 * defects),
        tss(defects),
    );
    (
        modes(),
        noise(defects),
        tables,
        (idt_base(defects), idt_limit(first)),
        gates,
        pages(sound),
    )
        .prop_map(
            move |(modes, noise, (gdt, ldt, ldt_usable, tss), idt, gates, pages)| World {
                modes,
                context,
                gdt,
                ldt,
                ldt_usable,
                idt_base: idt.0,
                idt_limit: idt.1,
                gates,
                tss,
                pages,
                noise,
                frame: None,
            },
        )
}

/// A world and an event to deliver in it; `sound`: the tables have no defects but in gates.
pub fn delivery(sound: bool) -> impl Strategy<Value = (World, Stimulus)> {
    (context(20), Stimulus::any()).prop_flat_map(move |(mut context, stimulus)| {
        if stimulus.is_instruction_breakpoint() {
            // RF would have held it.
            context.rflags &= !(1 << 16);
        }
        let (intel, amd) = (stimulus.vector(false), stimulus.vector(true));
        let world = world(context, intel, sound).prop_map(move |mut world| {
            // The gate of the event is the last.
            if let Some(&(_, gate)) = world.gates.last()
                && amd != intel
            {
                world.gates.push((amd, gate));
            }
            world
        });
        (world, Just(stimulus))
    })
}

/// A step of a sequence.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Deliver(Stimulus),
    /// With operands of this size, after an error code that the last delivery pushed.
    Iret(u8),
}

/// A world with sound tables and what happens in it.
pub fn sequence() -> impl Strategy<Value = (World, Vec<Op>)> {
    let op = prop_oneof![
        3 => Stimulus::any().prop_map(Op::Deliver),
        1 => Just(Op::Deliver(Stimulus::Nmi(false))),
        4 => select(vec![8u8, 8, 8, 8, 8, 4, 2]).prop_map(Op::Iret),
    ];
    (delivery(true), prop::collection::vec(op, 1..8)).prop_map(|((mut world, first), mut ops)| {
        // Gates for what the operations ask for: those that there are, in turn.
        let gates: Vec<_> = world.gates.iter().map(|g| g.1).collect();
        for (i, op) in ops.iter().enumerate() {
            if let Op::Deliver(s) = op {
                let vector = s.vector(world.modes.amd);
                if world.gates.iter().all(|g| g.0 != vector) {
                    world.gates.push((vector, gates[i % gates.len()]));
                }
            }
        }
        ops.insert(0, Op::Deliver(first));
        (world, ops)
    })
}
