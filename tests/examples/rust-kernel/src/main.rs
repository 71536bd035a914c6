//! A kernel that tests itself: it prints KTAP on its serial port, and ends by the debug-exit port.

#![no_std]
#![no_main]

use core::arch::asm;
use core::fmt::{self, Write};

struct Serial;

fn out8(port: u16, value: u8) {
    // SAFETY: the ports of the UART and of debug-exit have no effect on memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) }
}

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|b| out8(0x3f8, b));
        Ok(())
    }
}

fn exit(success: bool) -> ! {
    out8(0xf4, if success { 0x10 } else { 0x11 });
    loop {
        // SAFETY: waiting has no effect on memory.
        unsafe { asm!("cli; hlt", options(nomem, nostack)) }
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial, "{info}");
    exit(false)
}

fn cr3() -> u64 {
    let value: u64;
    // SAFETY: reading CR3 changes nothing.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack)) }
    value
}

fn paging_is_on() -> bool {
    cr3() != 0
}

fn arithmetic() -> bool {
    let n = core::hint::black_box(6u64);
    n * 7 == 42
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let tests: [(&str, fn() -> bool); 2] =
        [("paging is on", paging_is_on), ("arithmetic", arithmetic)];
    let _ = writeln!(Serial, "KTAP version 1\n1..{}", tests.len());
    for (n, (name, test)) in tests.iter().enumerate() {
        let ok = if test() { "ok" } else { "not ok" };
        let _ = writeln!(Serial, "{ok} {} {name}", n + 1);
    }
    exit(true)
}
