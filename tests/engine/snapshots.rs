//! What goes back: FPU and SSE registers, the count, and exactly the pages that changed.

use crate::support::{Bench, CODE, PAGE};

/// movups xmm3, [0x8000]; fld qword [0x8010]; hlt
const LOAD: [u8; 16] = [
    0x0f, 0x10, 0x1c, 0x25, 0, 0x80, 0, 0, 0xdd, 0x04, 0x25, 0x10, 0x80, 0, 0, 0xf4,
];
/// movups [0xa000], xmm3; fst qword [0xa010]; hlt
const STORE: [u8; 16] = [
    0x0f, 0x11, 0x1c, 0x25, 0, 0xa0, 0, 0, 0xdd, 0x14, 0x25, 0x10, 0xa0, 0, 0, 0xf4,
];
const STORING: u64 = CODE + 0x100;
/// fninit; pxor xmm3, xmm3; hlt
const CLEAR: [u8; 7] = [0xdb, 0xe3, 0x66, 0x0f, 0xef, 0xdb, 0xf4];
const CLEARING: u64 = CODE + 0x200;

fn bench() -> Bench {
    let mut bench = Bench::new(&LOAD);
    bench.write(STORING, &STORE);
    bench.write(CLEARING, &CLEAR);
    bench
}

fn values(seed: u8) -> [u8; 24] {
    let mut bytes = std::array::from_fn(|n| n as u8 ^ seed);
    bytes[16..].copy_from_slice(&f64::from(seed).to_le_bytes());
    bytes
}

#[test]
fn a_snapshot_keeps_xmm_and_x87_registers_and_the_count() {
    let mut bench = bench();
    bench.write(0x8000, &values(3));
    bench.call(CODE);
    let snapshot = bench.engine.snapshot();
    assert_eq!(bench.engine.icount(), 2);
    bench.call(CLEARING);
    bench.write(0x8000, &values(200));
    bench.call(CODE);
    bench.call(STORING);
    assert_eq!(bench.bytes(0xa000, 24), values(200));
    for _ in 0..2 {
        bench.engine.restore(&snapshot);
        assert_eq!(bench.engine.icount(), 2);
        bench.call(STORING);
        assert_eq!(bench.bytes(0xa000, 24), values(3));
        assert_eq!(bench.engine.icount(), 4);
        bench.call(CLEARING);
    }
}

#[test]
fn a_snapshot_fits_another_engine() {
    let mut first = bench();
    first.write(0x8000, &values(77));
    first.call(CODE);
    let snapshot = first.engine.snapshot();
    let mut second = bench();
    second.call(CLEARING);
    second.engine.restore(&snapshot);
    drop(first);
    second.call(STORING);
    assert_eq!(second.bytes(0xa000, 24), values(77));
    assert_eq!(second.engine.icount(), 4);
}

#[test]
fn a_fresh_engine_has_nothing_of_its_own_warm_up() {
    let bench = Bench::new(&[]);
    assert_eq!(bench.engine.icount(), 0);
    let ram = bench.bytes(0, bench.engine.ram().len() as usize);
    assert!(ram.iter().all(|&b| b == 0));
}

fn changed(bench: &Bench) -> Vec<u64> {
    let newest = bench.engine.moments().saturating_sub(1);
    let pages = bench.engine.changed_since(newest).into_iter();
    let mut pages: Vec<u64> = pages.map(|p| p.0).collect();
    pages.sort_unstable();
    pages
}

/// mov [0xa000], eax; mov ecx, [0xb000]; push rax; hlt
const WRITER: [u8; 16] = [
    0x89, 0x04, 0x25, 0, 0xa0, 0, 0, 0x8b, 0x0c, 0x25, 0, 0xb0, 0, 0, 0x50, 0xf4,
];

#[test]
fn undo_keeps_exactly_the_pages_that_change() {
    let mut bench = Bench::new(&WRITER);
    // Unicorn may write to these pages unasked before the keeping begins.
    bench.regs.gpr[0] = 1;
    bench.call(CODE);
    bench.regs.gpr[4] = 0x9000;
    let before = bench.bytes(0, 0x10_0000);
    bench.engine.begin_undo();
    assert!(changed(&bench).is_empty());
    for n in 2..5 {
        bench.regs.gpr[0] = n;
        bench.regs.gpr[4] = 0x9000;
        bench.call(CODE);
        bench.write(0xd123, &[n as u8]);
        bench.write(0xe000 + PAGE - 1, &[n as u8, n as u8]);
        assert_eq!(changed(&bench), [0x8000, 0xa000, 0xd000, 0xe000, 0xf000]);
        for (at, old) in bench.engine.changed_since(0) {
            assert!(before[at as usize..][..PAGE as usize] == old[..]);
        }
        bench.engine.rewind_ram();
        assert!(changed(&bench).is_empty());
        assert!(bench.bytes(0, 0x10_0000) == before);
    }
    bench.engine.end_undo();
    bench.regs.gpr[4] = 0x9000;
    bench.call(CODE);
    assert!(changed(&bench).is_empty());
    bench.engine.rewind_ram();
    assert_eq!(
        bench.bytes(0xa000, 1),
        [4],
        "nothing is kept, nothing goes back"
    );
}

#[test]
fn undo_sees_writes_through_another_address_and_over_code() {
    // mov byte [0x200000 + CODE's hlt], 0x90 through an alias of the code's page; hlt
    let mut bench = Bench::new(&[0xc6, 0x04, 0x25, 0x08, 0, 0x20, 0, 0x90, 0xf4, 0xf4]);
    bench.pages.moved.insert(0x20_0000, CODE);
    bench.engine.begin_undo();
    bench.regs.rip = CODE;
    bench.run(1);
    assert_eq!(changed(&bench), [CODE]);
    assert_eq!(bench.bytes(CODE + 8, 1), [0x90]);
    bench.call(CODE + 8);
    assert_eq!(bench.regs.rip, CODE + 9);
    bench.engine.rewind_ram();
    bench.call(CODE + 8);
    assert_eq!(bench.regs.rip, CODE + 8, "the HLT is there again");
}

#[test]
fn undo_sees_a_store_over_a_page_end_and_a_read_modify_write() {
    // mov [0xbffc], rax; lock inc qword [0xd000]; rep stosb; hlt
    let mut bench = Bench::new(&[
        0x48, 0x89, 0x04, 0x25, 0xfc, 0xbf, 0, 0, 0xf0, 0x48, 0xff, 0x04, 0x25, 0, 0xd0, 0, 0,
        0xf3, 0xaa, 0xf4,
    ]);
    bench.regs.gpr[0] = 0x0102_0304_0506_0708;
    bench.regs.gpr[1] = 0x2000;
    bench.regs.gpr[7] = 0x1_0800;
    let before = bench.bytes(0, 0x10_0000);
    bench.engine.begin_undo();
    bench.call(CODE);
    assert_eq!(
        changed(&bench),
        [0xb000, 0xc000, 0xd000, 0x1_0000, 0x1_1000, 0x1_2000]
    );
    bench.engine.rewind_ram();
    assert!(bench.bytes(0, 0x10_0000) == before);
}

#[test]
fn what_is_no_ram_is_not_written() {
    let mut bench = Bench::new(&[]);
    let end = bench.engine.ram().len();
    for (at, len) in [(end, 1), (end - 1, 2), (u64::MAX, 1), (u64::MAX - 3, 8)] {
        assert!(!bench.engine.write_ram(at, &vec![1; len]));
    }
    assert_eq!(bench.bytes(end - 1, 1), [0]);
    assert!(bench.engine.write_ram(end, &[]));
}
