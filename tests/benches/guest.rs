//! The guest code of the engine's rows, as bytes with what they say beside them.

pub const RAM: u64 = 1 << 20;
pub const CODE: u64 = 0x4000;
pub const DATA: u64 = 0x6000;
pub const STACK: u64 = 0x9000;

/// Code that is entered at [`CODE`] with RCX = `turns` and RBX = [`DATA`] and ends at a HLT.
pub struct Loop {
    pub bytes: &'static [u8],
    pub turns: u64,
    /// Instructions in one turn.
    pub length: u64,
    /// Offset of the HLT.
    pub hlt: u64,
}

impl Loop {
    pub const fn instructions(&self) -> u64 {
        self.turns * self.length
    }
}

/// Eight arithmetic instructions, and the turn.
pub const ALU_10: Loop = Loop {
    bytes: &[
        0x48, 0x01, 0xc8, //             again: add  rax, rcx
        0x48, 0x31, 0xc2, //                    xor  rdx, rax
        0x48, 0xc1, 0xca, 0x07, //              ror  rdx, 7
        0x48, 0x29, 0xd5, //                    sub  rbp, rdx
        0x48, 0x8d, 0x74, 0x6e, 0x03, //        lea  rsi, [rsi + rbp * 2 + 3]
        0x48, 0xf7, 0xd7, //                    not  rdi
        0x48, 0x11, 0xf7, //                    adc  rdi, rsi
        0x49, 0x31, 0xf8, //                    xor  r8, rdi
        0x48, 0xff, 0xc9, //                    dec  rcx
        0x75, 0xe0, //                          jnz  again
        0xf4, //                                hlt
    ],
    turns: 8_000_000,
    length: 10,
    hlt: 32,
};

/// The loop of `programs/benchmarks/alu-loop.S`.
pub const ALU_5: Loop = Loop {
    bytes: &[
        0x48, 0x01, 0xc8, //             again: add  rax, rcx
        0x48, 0x31, 0xc2, //                    xor  rdx, rax
        0x48, 0xc1, 0xca, 0x07, //              ror  rdx, 7
        0x48, 0xff, 0xc9, //                    dec  rcx
        0x75, 0xf1, //                          jnz  again
        0xf4, //                                hlt
    ],
    turns: 10_000_000,
    length: 5,
    hlt: 15,
};

/// Nothing but the turn.
pub const TIGHT: Loop = Loop {
    bytes: &[
        0x48, 0xff, 0xc9, //                     again: dec  rcx
        0x75, 0xfb, //                          jnz  again
        0xf4, //                                hlt
    ],
    turns: 20_000_000,
    length: 2,
    hlt: 5,
};

/// The loop of `programs/benchmarks/call-loop.S`, with another addressing mode.
pub const CALLS: Loop = Loop {
    bytes: &[
        0xe8, 0x06, 0x00, 0x00, 0x00, // again: call count
        0x48, 0xff, 0xc9, //                    dec  rcx
        0x75, 0xf6, //                          jnz  again
        0xf4, //                                hlt
        0x51, //                         count: push rcx
        0x48, 0x8b, 0x03, //                    mov  rax, [rbx]
        0x48, 0xff, 0xc0, //                    inc  rax
        0x48, 0x89, 0x03, //                    mov  [rbx], rax
        0x59, //                                pop  rcx
        0xc3, //                                ret
    ],
    turns: 1_500_000,
    length: 9,
    hlt: 10,
};

/// The loop of `programs/benchmarks/page-fault-loop.S`: RBX = [`PAGE`], RCX = faults, RDI = [`DATA`] in place
/// of the page's entry. Whoever runs it stops at INVLPG and IRETQ and does what they would
/// do.
pub const FAULTS: &[u8] = &[
    0x48, 0x89, 0x0b, //                            again: mov  [rbx], rcx
    0x48, 0xc7, 0x07, 0x00, 0x00, 0x00, 0x00, //           mov  qword ptr [rdi], 0
    0x0f, 0x01, 0x3b, //                                   invlpg [rbx]
    0x48, 0xff, 0xc9, //                                   dec  rcx
    0x75, 0xee, //                                         jnz  again
    0xf4, //                                               hlt
    0x48, 0xff, 0xc2, //                     entry: inc  rdx
    0x48, 0x89, 0x37, //                            mov  [rdi], rsi
    0x48, 0x83, 0xc4, 0x08, //                      add  rsp, 8
    0x48, 0xcf, //                                  iretq
];

pub const TOUCH: u64 = CODE;
pub const INVLPG: u64 = CODE + 10;
pub const AFTER_INVLPG: u64 = CODE + 13;
pub const ENTRY: u64 = CODE + 19;
pub const IRETQ: u64 = CODE + 29;

/// The page that faults.
pub const PAGE: u64 = 0xa000;

/// How often it is made to fault.
pub struct PageFaultLoop {
    pub faults: u64,
}
