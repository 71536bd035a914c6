//! SDM vol. 2, ADD, SUB, OR, XOR, AND: with which immediate each leaves its operand as it is; vol. 3, 9.2.5:
//! locked instructions order memory.

use super::super::is_barrier;
use super::decode;

#[track_caller]
fn expect(barrier: bool, forms: &[(&str, &[u8])]) {
    for (text, bytes) in forms {
        let insn = decode(64, 0, bytes);
        assert_eq!(insn.len(), bytes.len(), "{text}: is `{insn}`");
        assert_eq!(is_barrier(&insn), barrier, "{text}");
    }
}

#[test]
fn locked_instructions_that_change_nothing() {
    expect(
        true,
        &[
            // What Linux's smp_mb() is.
            ("lock addl $0, -4(%rsp)", b"\xf0\x83\x44\x24\xfc\x00"),
            ("lock addb $0, (%rsp)", b"\xf0\x80\x04\x24\x00"),
            ("lock addw $0, (%rsp)", b"\xf0\x66\x83\x04\x24\x00"),
            ("lock addw $0x0000, (%rsp)", b"\xf0\x66\x81\x04\x24\x00\x00"),
            (
                "lock addl $0x00000000, (%rsp)",
                b"\xf0\x81\x04\x24\x00\x00\x00\x00",
            ),
            ("lock orq $0, (%rsp)", b"\xf0\x48\x83\x0c\x24\x00"),
            ("lock subq $0, (%rsp)", b"\xf0\x48\x83\x2c\x24\x00"),
            ("lock xorl $0, (%rsp)", b"\xf0\x83\x34\x24\x00"),
            // All ones of the operand's size, sign-extended or not.
            ("lock andb $0xff, (%rsp)", b"\xf0\x80\x24\x24\xff"),
            ("lock andw $-1, (%rsp)", b"\xf0\x66\x83\x24\x24\xff"),
            ("lock andl $-1, (%rsp)", b"\xf0\x83\x24\x24\xff"),
            (
                "lock andl $0xffffffff, (%rsp)",
                b"\xf0\x81\x24\x24\xff\xff\xff\xff",
            ),
            (
                "lock andq $-1, (%rsp)",
                b"\xf0\x48\x81\x24\x24\xff\xff\xff\xff",
            ),
        ],
    );
}

#[test]
fn instructions_that_change_or_order_nothing_alone() {
    expect(
        false,
        &[
            ("not locked", b"\x83\x44\x24\xfc\x00"),
            ("lock addl $1", b"\xf0\x83\x04\x24\x01"),
            ("lock addl $-1", b"\xf0\x83\x04\x24\xff"),
            ("lock addl $0x100", b"\xf0\x81\x04\x24\x00\x01\x00\x00"),
            ("lock orq $-1", b"\xf0\x48\x83\x0c\x24\xff"),
            ("lock andl $0", b"\xf0\x83\x24\x24\x00"),
            ("lock andl $0xff", b"\xf0\x81\x24\x24\xff\x00\x00\x00"),
            (
                "lock andq $0x7fffffff",
                b"\xf0\x48\x81\x24\x24\xff\xff\xff\x7f",
            ),
            // With carry: adds CF, subtracts CF.
            ("lock adcl $0", b"\xf0\x83\x14\x24\x00"),
            ("lock sbbl $0", b"\xf0\x83\x1c\x24\x00"),
            ("lock addl %eax", b"\xf0\x01\x04\x24"),
            ("lock xaddl %eax", b"\xf0\x0f\xc1\x04\x24"),
            ("lock btsl $0", b"\xf0\x0f\xba\x2c\x24\x00"),
            ("lock incl", b"\xf0\xff\x04\x24"),
            ("xchgl %eax", b"\x87\x04\x24"),
            ("addl $0, %esp", b"\x83\xc4\x00"),
            ("mfence", b"\x0f\xae\xf0"),
            ("nop", b"\x90"),
        ],
    );
}
