//! A stack that cannot be filled in, and a large page that was unmapped in one table only.

use iretrace::arch::{PhysAddr, Vector, VirtAddr};
use iretrace::trace::EventKind;

use crate::guest::{Tables, load, run, usual};
use crate::machine::PF;

/// SDM vol. 3, 6.15, interrupt 8: a page fault while a page fault is delivered is a double fault.
#[test]
fn a_stack_in_memory_that_the_table_lacks_is_a_double_fault() {
    let ran = run(&["PAGES=stack"], &[]);
    let stack = ran.bench.at("switch_stack");
    let fault = ran.of(8);
    assert_eq!(
        (fault.len(), fault[0].pushed.rip.0, fault[0].ist),
        (1, stack, 2)
    );
    let rsp = fault[0].pushed.rsp.0;
    assert!(rsp >= 0xffff_c900_0000_0000, "{rsp:#x}");
    assert_eq!(ran.of(PF), []);
    let failed = |k: &EventKind| match k {
        EventKind::DeliveryFailed {
            vector,
            raised,
            then,
            address,
            ..
        } => {
            (*vector, *raised, *then) == (Vector::PF, Vector::PF, Some(Vector(8)))
                // The frame would lie right below RSP.
                && address.is_some_and(|a| rsp.wrapping_sub(a.0) <= 64)
        }
        _ => false,
    };
    assert_eq!(ran.bench.count(failed), 1);
    // The reference table has it.
    let tables = Tables::of(&ran.bench, false);
    assert_eq!(tables.private(tables.reference())[63] & 1, 1);
    assert_eq!(tables.private(tables.task("task_a"))[63], 0);
}

#[test]
fn a_stale_large_page_is_wrong_without_a_fault() {
    let mut bench = load(&["PAGES=huge-stale"], usual());
    bench.run_to("window");
    let buffer = VirtAddr(bench.quad("sample_buffer"));
    // Seen by init, which runs on the reference table, and by A.
    let right = bench.machine.translate_plain(buffer).expect("mapped").0;
    bench.run_to("work");
    let wrong = bench.machine.translate_plain(buffer).expect("mapped").0;
    let device = bench.at("device_memory");
    assert!((device..device + (2 << 20)).contains(&wrong), "{wrong:#x}");
    assert_eq!(wrong, device + buffer.0 % (2 << 20));
    bench.run_to("phase_end");
    let quad = |at: u64| {
        let mut bytes = [0; 8];
        assert!(bench.machine.read_physical(PhysAddr(at), &mut bytes));
        u64::from_le_bytes(bytes)
    };
    // The word that counts samples: three in memory that has been given back, none where the profiler reads.
    assert_eq!((quad(wrong), quad(right)), (3, 0));
    assert_eq!(bench.count(|k| matches!(k, EventKind::Exception { .. })), 0);
    // A task that is forked afterwards is right.
    let tables = Tables::of(&bench, true);
    let tasks = tables.tasks();
    let large = |top: &u64| tables.private(*top)[63] & 0x80 != 0;
    let stale: Vec<bool> = tasks.iter().map(large).collect();
    assert_eq!(stale, [true, true, true, true, true, false]);
}
