//! Where Unicorn 2.1.5 keeps the CPU state that its register API cannot reach.
//!
//! `uc_context_save` copies QEMU's whole `CPUX86State` (up to `end_reset_fields`) behind a small
//! header. The offsets below are those of the x86-64 build; [`verify`] proves each of them with
//! sentinel values through the public API, and the program refuses to run where one fails.

use unicorn_engine_sys::{
    RegisterX86, uc_context, uc_context_alloc, uc_context_restore, uc_context_save,
    uc_context_size, uc_engine, uc_reg_read, uc_reg_write,
};

use super::error::{EngineError, check};

/// Bytes of `struct uc_context` before its data; the first eight hold the data's size.
pub(super) const HEADER: usize = 40;
/// Bytes of data.
pub(super) const DATA: usize = 5568;
/// Bytes of data up to the end of EFER: everything that [`super::cpu_image`] writes before native code
/// runs, and reads after it.
pub(super) const FRONT: usize = EFER + 8;

pub(super) const REGS: usize = 0;
pub(super) const EIP: usize = 128;
pub(super) const EFLAGS: usize = 136;
pub(super) const CC_DST: usize = 144;
pub(super) const CC_SRC: usize = 152;
pub(super) const CC_OP: usize = 168;
pub(super) const DF: usize = 172;
pub(super) const HFLAGS: usize = 176;
pub(super) const SEGS: usize = 184;
pub(super) const SEG_SIZE: usize = 24;
pub(super) const SEG_BASE: usize = 8;
pub(super) const SEG_LIMIT: usize = 16;
pub(super) const SEG_FLAGS: usize = 20;
pub(super) const GDT: usize = 376;
pub(super) const CR: usize = 424;
pub(super) const EFER: usize = 592;
pub(super) const ERROR_CODE: usize = 5384;
pub(super) const OLD_EXCEPTION: usize = 5496;

/// QEMU's `CC_OP_EFLAGS`: the flags are those in `cc_src`.
pub(super) const CC_OP_EFLAGS: u32 = 1;

/// A context of Unicorn's, with typed access to its data.
#[derive(Debug)]
pub(super) struct Blob {
    context: *mut uc_context,
}

impl Blob {
    pub(super) fn new(uc: *mut uc_engine) -> Result<Self, EngineError> {
        // SAFETY: `uc` is an open engine.
        let size = unsafe { uc_context_size(uc) };
        if size != HEADER + DATA {
            return Err(EngineError::Layout {
                what: format!("a context has {size} bytes, not {}", HEADER + DATA),
            });
        }
        let mut context = std::ptr::null_mut();
        check(
            // SAFETY: `uc` is an open engine, `context` a place for the pointer.
            unsafe { uc_context_alloc(uc, &raw mut context) },
            "allocate a context",
        )?;
        let blob = Self { context };
        // SAFETY: the header starts with `size_t context_size`, set by the allocation.
        let data = unsafe { context.cast::<usize>().read() };
        if data != DATA {
            return Err(EngineError::Layout {
                what: format!("a context's data has {data} bytes, not {DATA}"),
            });
        }
        Ok(blob)
    }

    /// Copies the live CPU state into the blob.
    pub(super) fn save(&mut self, uc: *mut uc_engine) {
        // SAFETY: both pointers are live; the sizes agree (checked in `new`). Cannot fail for a
        // context without memory.
        unsafe { uc_context_save(uc, self.context) };
    }

    /// Makes the blob the live CPU state.
    pub(super) fn restore(&self, uc: *mut uc_engine) {
        // SAFETY: as in `save`.
        unsafe { uc_context_restore(uc, self.context) };
    }

    /// Copies the first [`FRONT`] bytes of the live CPU state into the blob.
    ///
    /// What lies behind (FPU and SSE registers, MSRs of no use here) is a tenfold of that, and copying it at
    /// every stop costs as much as all the rest of one.
    pub(super) fn save_front(&mut self, uc: *mut uc_engine) {
        self.with_size(FRONT, |b| b.save(uc));
    }

    /// Makes the first [`FRONT`] bytes of the blob those of the live CPU state.
    pub(super) fn restore_front(&mut self, uc: *mut uc_engine) {
        self.with_size(FRONT, |b| b.restore(uc));
    }

    /// Does something with a context that says it has `size` bytes of data.
    fn with_size(&mut self, size: usize, f: impl FnOnce(&mut Self)) {
        debug_assert!(size <= DATA);
        let header = self.context.cast::<usize>();
        // SAFETY: the header starts with `size_t context_size` (checked in `new`), how many bytes Unicorn
        // copies; fewer than there are stay inside both.
        unsafe { header.write(size) };
        f(self);
        // SAFETY: as above.
        unsafe { header.write(DATA) };
    }

    fn at(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(
            offset + size <= DATA,
            "an offset of this module lies inside the blob"
        );
        // SAFETY: inside the allocation of HEADER + DATA bytes, as just checked.
        unsafe { self.context.cast::<u8>().add(HEADER + offset) }
    }

    pub(super) fn u64(&self, offset: usize) -> u64 {
        // SAFETY: `at` checked the bounds; unaligned reads of integers are valid.
        unsafe { self.at(offset, 8).cast::<u64>().read_unaligned() }
    }

    pub(super) fn u32(&self, offset: usize) -> u32 {
        // SAFETY: as in `u64`.
        unsafe { self.at(offset, 4).cast::<u32>().read_unaligned() }
    }

    pub(super) fn set_u64(&mut self, offset: usize, value: u64) {
        // SAFETY: as in `u64`; every bit pattern of these fields is a valid integer for QEMU.
        unsafe { self.at(offset, 8).cast::<u64>().write_unaligned(value) }
    }

    pub(super) fn set_u32(&mut self, offset: usize, value: u32) {
        // SAFETY: as in `set_u64`.
        unsafe { self.at(offset, 4).cast::<u32>().write_unaligned(value) }
    }

    /// A copy of the data, for a snapshot.
    pub(super) fn to_bytes(&self) -> Box<[u8]> {
        let mut copy = vec![0; DATA].into_boxed_slice();
        // SAFETY: DATA bytes lie behind the header.
        unsafe { std::ptr::copy_nonoverlapping(self.at(0, DATA), copy.as_mut_ptr(), DATA) };
        copy
    }

    /// Puts a copy back; `bytes` came from [`to_bytes`](Self::to_bytes).
    pub(super) fn set_bytes(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), DATA, "a snapshot of the same Unicorn version");
        // SAFETY: sizes agree; no field holds a pointer (native breakpoints are never armed).
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(0, DATA), DATA) };
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        // SAFETY: allocated by `uc_context_alloc`, freed once. `uc_context_free` reads only the
        // context itself, so the engine may be closed already.
        unsafe { unicorn_engine_sys::uc_context_free(self.context) };
    }
}

fn set(uc: *mut uc_engine, reg: RegisterX86, value: u64) -> Result<(), EngineError> {
    check(
        // SAFETY: 64-bit registers read eight bytes from the pointer, smaller ones fewer.
        unsafe { uc_reg_write(uc, reg as i32, (&raw const value).cast()) },
        "write a register",
    )
}

fn get(uc: *mut uc_engine, reg: RegisterX86) -> Result<u64, EngineError> {
    let mut value = 0u64;
    check(
        // SAFETY: no register asked for here is wider than eight bytes.
        unsafe { uc_reg_read(uc, reg as i32, (&raw mut value).cast()) },
        "read a register",
    )?;
    Ok(value)
}

/// Proves the offsets on a fresh engine in 64-bit mode, and leaves it as it was.
pub(super) fn verify(uc: *mut uc_engine) -> Result<(), EngineError> {
    let mut blob = Blob::new(uc)?;
    blob.save(uc);
    let before = blob.to_bytes();
    let result = probe(uc, &mut blob).and_then(|()| {
        blob.set_bytes(&before);
        probe_exceptions(uc, &mut blob)
    });
    blob.set_bytes(&before);
    blob.restore(uc);
    result
}

#[rustfmt::skip]
pub(super) const GENERAL: [RegisterX86; 16] = [
    RegisterX86::RAX, RegisterX86::RCX, RegisterX86::RDX, RegisterX86::RBX,
    RegisterX86::RSP, RegisterX86::RBP, RegisterX86::RSI, RegisterX86::RDI,
    RegisterX86::R8, RegisterX86::R9, RegisterX86::R10, RegisterX86::R11,
    RegisterX86::R12, RegisterX86::R13, RegisterX86::R14, RegisterX86::R15,
];

fn expect(what: &str, seen: u64, wanted: u64) -> Result<(), EngineError> {
    if seen == wanted {
        return Ok(());
    }
    Err(EngineError::Layout {
        what: format!("{what}: {seen:#x} where {wanted:#x} was written"),
    })
}

fn probe(uc: *mut uc_engine, blob: &mut Blob) -> Result<(), EngineError> {
    let sentinel = |n: u64| 0x5151_0000_a0a0_0000 ^ (n.wrapping_mul(0x0101_0301_0107_0103));
    // From the API into the blob.
    for (n, reg) in GENERAL.into_iter().enumerate() {
        set(uc, reg, sentinel(n as u64))?;
    }
    set(uc, RegisterX86::FS_BASE, sentinel(20))?;
    set(uc, RegisterX86::GS_BASE, sentinel(21))?;
    set(uc, RegisterX86::CR2, sentinel(22))?;
    // CF, AF, SF, DF, IF, ID.
    let flags = 0x0020_0693;
    set(uc, RegisterX86::RFLAGS, flags)?;
    blob.save(uc);
    for n in 0..16 {
        expect(
            "general registers",
            blob.u64(REGS + 8 * n),
            sentinel(n as u64),
        )?;
    }
    expect(
        "FS.base",
        blob.u64(SEGS + 4 * SEG_SIZE + SEG_BASE),
        sentinel(20),
    )?;
    expect(
        "GS.base",
        blob.u64(SEGS + 5 * SEG_SIZE + SEG_BASE),
        sentinel(21),
    )?;
    expect("CR2", blob.u64(CR + 16), sentinel(22))?;
    expect("cc_op", u64::from(blob.u32(CC_OP)), u64::from(CC_OP_EFLAGS))?;
    expect("cc_src", blob.u64(CC_SRC), flags & 0x8d5)?;
    expect("DF", u64::from(blob.u32(DF)), u64::from(u32::MAX))?;
    // From the blob to the API.
    blob.set_u64(EIP, sentinel(30));
    blob.set_u64(EFLAGS, 0x0004_0002);
    blob.set_u64(CC_SRC, 0x40);
    blob.set_u64(CC_DST, 0);
    blob.set_u32(DF, 1);
    blob.set_u32(SEGS + SEG_SIZE, 0x1234);
    blob.set_u32(SEGS + 2 * SEG_SIZE, 0x5678);
    blob.set_u64(CR, 0x8001_0033);
    blob.set_u64(CR + 32, 0x0006_20b0);
    // By the front alone: what lies behind it is not touched.
    set(uc, RegisterX86::MXCSR, 0x1f81)?;
    blob.restore_front(uc);
    expect("MXCSR", get(uc, RegisterX86::MXCSR)?, 0x1f81)?;
    expect("RIP", get(uc, RegisterX86::RIP)?, sentinel(30))?;
    expect("RFLAGS", get(uc, RegisterX86::RFLAGS)?, 0x0004_0042)?;
    expect("CS", get(uc, RegisterX86::CS)?, 0x1234)?;
    expect("SS", get(uc, RegisterX86::SS)?, 0x5678)?;
    expect("CR0", get(uc, RegisterX86::CR0)?, 0x8001_0033)?;
    expect("CR4", get(uc, RegisterX86::CR4)?, 0x0006_20b0)?;
    set(uc, RegisterX86::RDX, sentinel(31))?;
    blob.save_front(uc);
    expect("RDX", blob.u64(REGS + 8 * 2), sentinel(31))
}

/// The fields that only a native exception shows: a bad selector into DS with a GDT of one entry,
/// then CLI at CPL 3.
fn probe_exceptions(uc: *mut uc_engine, blob: &mut Blob) -> Result<(), EngineError> {
    const CODE: u64 = 0x1000;
    // mov ds, eax; cli
    let code = [0x8eu8, 0xd8, 0xfa, 0x90];
    check(
        // SAFETY: a fresh engine in which nothing is mapped; the buffer outlives the call.
        unsafe { unicorn_engine_sys::uc_mem_map(uc, CODE, 4096, 7) },
        "map a scratch page",
    )?;
    check(
        // SAFETY: the page was just mapped.
        unsafe { unicorn_engine_sys::uc_mem_write(uc, CODE, code.as_ptr().cast(), 4) },
        "write a scratch page",
    )?;
    blob.set_u64(GDT + SEG_BASE, CODE);
    blob.set_u32(GDT + SEG_LIMIT, 7);
    blob.set_u64(REGS, 0x5679);
    blob.set_u32(OLD_EXCEPTION, u32::MAX);
    blob.restore(uc);
    let run = |at: u64| {
        // SAFETY: no hook is installed; the engine stops by itself at the exception, or at
        // `until`.
        unsafe { unicorn_engine_sys::uc_emu_start(uc, at, CODE + 3, 0, 0) }
    };
    run(CODE);
    blob.save(uc);
    expect(
        "exception number after a bad selector",
        u64::from(blob.u32(OLD_EXCEPTION)),
        13,
    )?;
    expect("its error code", u64::from(blob.u32(ERROR_CODE)), 0x5678)?;
    for (cpl, wanted) in [(0, u32::MAX), (3, 13)] {
        blob.set_u32(HFLAGS, (blob.u32(HFLAGS) & !3) | cpl);
        blob.set_u32(OLD_EXCEPTION, u32::MAX);
        blob.restore(uc);
        run(CODE + 2);
        blob.save(uc);
        expect(
            "exception number after CLI",
            u64::from(blob.u32(OLD_EXCEPTION)),
            u64::from(wanted),
        )?;
    }
    Ok(())
}
