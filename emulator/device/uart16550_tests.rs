//! Expectations from the PC16550D datasheet: tables 1 to 4, sections 8.1 to 8.8.

use super::*;

struct Line {
    uart: Uart16550,
    signals: Vec<Signal>,
}

impl Line {
    fn new() -> Self {
        Self {
            uart: Uart16550::com1(),
            signals: Vec::new(),
        }
    }

    fn read(&mut self, register: u16) -> u8 {
        self.read_wide(register, 1) as u8
    }

    fn read_wide(&mut self, register: u16, size: u8) -> u32 {
        let mut ctx = DeviceContext::new(0, &mut self.signals);
        self.uart.port_read(0x3f8 + register, size, &mut ctx)
    }

    fn write(&mut self, register: u16, value: u8) {
        self.write_wide(register, 1, value.into());
    }

    fn write_wide(&mut self, register: u16, size: u8, value: u32) {
        let mut ctx = DeviceContext::new(0, &mut self.signals);
        self.uart
            .port_write(0x3f8 + register, size, value, &mut ctx);
    }

    fn printed(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        for signal in self.signals.drain(..) {
            match signal {
                Signal::Console { device, bytes } => {
                    assert_eq!(device, "serial");
                    all.extend(bytes);
                }
                other => panic!("{other:?}"),
            }
        }
        all
    }
}

#[test]
fn master_reset() {
    // Table 1: IER 0, IIR 1, LCR 0, MCR 0, LSR 0x60; MSR's low half 0, its upper half the inputs.
    let mut line = Line::new();
    let registers: Vec<u8> = (1..7).map(|register| line.read(register)).collect();
    assert_eq!(registers, [0, 0x01, 0, 0, 0x60, 0xb0]);
}

#[test]
fn dlab_selects_the_divisor_latch() {
    let mut line = Line::new();
    line.write(3, 0x83);
    line.write(0, 0x01);
    line.write(1, 0x02);
    assert_eq!((line.read(0), line.read(1)), (0x01, 0x02));
    assert!(line.printed().is_empty(), "DLL is not THR");
    line.write(3, 0x03);
    assert_eq!((line.read(0), line.read(1)), (0x00, 0x00), "RBR and IER");
    line.write(0, b'x');
    assert_eq!(line.printed(), b"x");
}

#[test]
fn unused_bits_of_ier_and_mcr_are_zero_and_scratch_holds() {
    let mut line = Line::new();
    for register in [1, 4, 7] {
        line.write(register, 0xff);
    }
    assert_eq!(line.read(1), 0x0f);
    assert_eq!(line.read(4), 0x1f);
    assert_eq!(line.read(7), 0xff);
}

#[test]
fn thre_interrupt_ends_with_the_read_of_iir_that_names_it() {
    let mut line = Line::new();
    line.write(1, 0x02);
    assert_eq!(line.read(2), 0x02, "THR is empty as it is enabled");
    assert_eq!(line.read(2), 0x01);
    line.write(0, b'a');
    assert_eq!(line.read(2), 0x02);
    assert_eq!(line.read(2), 0x01);
}

#[test]
fn interrupt_priorities() {
    // Table 4: line status, received data, THRE, modem status.
    let mut line = Line::new();
    line.write(4, 0x10); // loop: CTS, DSR and DCD fall: delta bits
    line.write(1, 0x0f);
    line.write(0, 1);
    line.write(0, 2); // overrun
    assert_eq!(line.read(2), 0x06);
    line.read(5);
    assert_eq!(line.read(2), 0x04);
    line.read(0);
    assert_eq!(line.read(2), 0x02);
    assert_eq!(line.read(2), 0x00);
    line.read(6);
    assert_eq!(line.read(2), 0x01);
}

#[test]
fn loopback_wires_outputs_to_inputs() {
    // 8.6: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD.
    let mut line = Line::new();
    for (output, input) in [(0x01, 0x20), (0x02, 0x10), (0x04, 0x40), (0x08, 0x80)] {
        line.write(4, 0x10 | output);
        assert_eq!(line.read(6) & 0xf0, input, "MCR {output:#x}");
    }
    // 8.7: TERI is set when RI ends, not when it begins.
    line.write(4, 0x10);
    line.read(6);
    line.write(4, 0x14);
    assert_eq!(line.read(6), 0x40);
    line.write(4, 0x10);
    assert_eq!(line.read(6), 0x04);
    assert_eq!(line.read(6), 0x00, "reading clears the delta bits");
}

#[test]
fn loopback_data_comes_back_in_the_word_length() {
    let mut line = Line::new();
    line.write(4, 0x10);
    line.write(3, 0x03);
    line.write(0, 0xff);
    assert_eq!(line.read(5), 0x61);
    assert_eq!(line.read(0), 0xff);
    assert_eq!(line.read(5), 0x60);
    line.write(3, 0x00);
    line.write(0, 0xff);
    assert_eq!(line.read(0), 0x1f);
    assert!(line.printed().is_empty());
}

#[test]
fn overrun_replaces_rbr_but_not_the_fifo() {
    let mut line = Line::new();
    line.write(4, 0x10);
    line.write(3, 0x03);
    line.write(0, 1);
    line.write(0, 2);
    assert_eq!(line.read(5), 0x63);
    assert_eq!(line.read(5), 0x61, "reading clears OE");
    assert_eq!(line.read(0), 2);

    line.write(2, 0x01);
    for byte in 0..17 {
        line.write(0, byte);
    }
    assert_eq!(line.read(5), 0x63);
    let bytes: Vec<u8> = (0..16).map(|_| line.read(0)).collect();
    assert_eq!(bytes, (0..16).collect::<Vec<u8>>());
    assert_eq!(line.read(5), 0x60);
}

#[test]
fn break_in_loopback_is_one_zero_with_its_error_at_its_turn() {
    let mut line = Line::new();
    line.write(4, 0x10);
    line.write(3, 0x03);
    line.write(2, 0x01);
    line.write(0, b'a');
    line.write(3, 0x43);
    assert_eq!(line.read(5), 0xe1, "in the FIFO, not at its top");
    assert_eq!(line.read(0), b'a');
    assert_eq!(line.read(5), 0xf1);
    assert_eq!(line.read(5), 0x61);
    assert_eq!(line.read(0), 0);
}

#[test]
fn fifo_trigger_levels_and_timeout() {
    // FCR bits 7:6: 1, 4, 8, 14 bytes; below them the timeout says that something is there.
    for (bits, level) in [(0x00, 1), (0x40, 4), (0x80, 8), (0xc0, 14)] {
        let mut line = Line::new();
        line.write(2, 0x01 | bits);
        line.write(1, 0x01);
        assert_eq!(line.read(2), 0xc1);
        line.uart.type_in(&vec![0; level - 1]);
        assert_eq!(line.read(2), if level > 1 { 0xcc } else { 0xc1 });
        line.uart.type_in(b"!");
        assert_eq!(line.read(2), 0xc4);
    }
}

#[test]
fn typed_bytes_wait_until_there_is_room() {
    let mut line = Line::new();
    line.uart.type_in(b"hello");
    let mut heard = Vec::new();
    while line.read(5) & 0x01 != 0 {
        heard.push(line.read(0));
    }
    assert_eq!(heard, b"hello");
    assert_eq!(line.read(5), 0x60, "no overrun");
}

#[test]
fn fcr_needs_its_enable_bit_and_a_change_of_mode_empties() {
    let mut line = Line::new();
    line.write(2, 0xc0);
    assert_eq!(line.read(2), 0x01, "not enabled");
    line.uart.type_in(b"a");
    line.write(2, 0x01);
    assert_eq!(line.read(5), 0x60);
    line.uart.type_in(b"bc");
    line.write(2, 0x03);
    assert_eq!(line.read(5), 0x60, "receiver reset");
    assert_eq!(line.read(2), 0xc1);
}

#[test]
fn out2_gates_the_interrupt_line() {
    let mut line = Line::new();
    line.write(1, 0x02);
    assert!(!line.uart.interrupt_line());
    line.write(4, 0x08);
    assert!(line.uart.interrupt_line());
    line.write(4, 0x18);
    assert!(!line.uart.interrupt_line(), "loopback");
    line.write(4, 0x08);
    line.write(1, 0x00);
    assert!(!line.uart.interrupt_line());
}

#[test]
fn wide_accesses_are_byte_cycles() {
    let mut line = Line::new();
    line.write_wide(0, 2, 0x0f41);
    assert_eq!(line.printed(), b"A");
    assert_eq!(line.read(1), 0x0f);
    assert_eq!(line.read_wide(4, 4), 0x00b0_6000);
    // Beyond what the bus lets through: still no panic.
    line.write_wide(7, 255, u32::MAX);
    line.read_wide(7, 255);
}
