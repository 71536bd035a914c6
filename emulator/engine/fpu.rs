//! x87 and SSE registers, as programs see them.

use serde::{Deserialize, Serialize};
use unicorn_engine_sys::{RegisterX86, uc_reg_read, uc_reg_write};

use super::{Engine, EngineSnapshot, layout};

/// The registers that FXSAVE stores, without the addresses of the last x87 instruction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FpuState {
    /// ST0 to ST7: 80 bits each.
    pub st: [[u8; 10]; 8],
    /// FCW, FSW, FTW.
    pub control: [u16; 3],
    /// MXCSR.
    pub mxcsr: u32,
    /// XMM0 to XMM15.
    pub xmm: [[u8; 16]; 16],
}

impl EngineSnapshot {
    /// Whether the FPU and SSE registers are surely those of `other`. (Their surroundings hold
    /// scratch values of Unicorn's too: `false` means nothing.)
    pub(super) fn same_fpu_image(&self, other: &Self) -> bool {
        let part = layout::EFER + 8..layout::ERROR_CODE;
        self.blob[part.clone()] == other.blob[part]
    }
}

impl Engine {
    /// The FPU and SSE registers now.
    #[expect(unsafe_code, reason = "reads registers")]
    pub(crate) fn fpu(&self) -> FpuState {
        let mut state = FpuState {
            st: [[0; 10]; 8],
            control: [0; 3],
            mxcsr: 0,
            xmm: [[0; 16]; 16],
        };
        let read = |register: RegisterX86, n: usize, to: *mut u8| {
            // SAFETY: `to` has room for the register: 10 bytes for ST, 16 for XMM, and as many as
            // the others are wide.
            unsafe { uc_reg_read(self.uc, register as i32 + n as i32, to.cast()) };
        };
        for (n, st) in state.st.iter_mut().enumerate() {
            read(RegisterX86::ST0, n, st.as_mut_ptr());
        }
        for (n, xmm) in state.xmm.iter_mut().enumerate() {
            read(RegisterX86::XMM0, n, xmm.as_mut_ptr());
        }
        let control = [RegisterX86::FPCW, RegisterX86::FPSW, RegisterX86::FPTAG];
        for (register, to) in control.into_iter().zip(&mut state.control) {
            read(register, 0, std::ptr::from_mut(to).cast());
        }
        read(
            RegisterX86::MXCSR,
            0,
            std::ptr::from_mut(&mut state.mxcsr).cast(),
        );
        state
    }

    /// Writes the FPU and SSE registers. `false`: they do not take these values.
    #[expect(unsafe_code, reason = "writes registers")]
    pub(crate) fn set_fpu(&mut self, state: &FpuState) -> bool {
        let write = |register: RegisterX86, n: usize, from: *const u8| {
            // SAFETY: `from` has as many bytes as the register, as in `fpu`.
            unsafe { uc_reg_write(self.uc, register as i32 + n as i32, from.cast()) };
        };
        // FSW says which register ST0 is, and a write to it makes it valid.
        let [control, status, tag] = [0, 1, 2].map(|n| std::ptr::from_ref(&state.control[n]));
        write(RegisterX86::FPCW, 0, control.cast());
        write(RegisterX86::FPSW, 0, status.cast());
        for (n, st) in state.st.iter().enumerate() {
            write(RegisterX86::ST0, n, st.as_ptr());
        }
        write(RegisterX86::FPTAG, 0, tag.cast());
        for (n, xmm) in state.xmm.iter().enumerate() {
            write(RegisterX86::XMM0, n, xmm.as_ptr());
        }
        let mxcsr = std::ptr::from_ref(&state.mxcsr);
        write(RegisterX86::MXCSR, 0, mxcsr.cast());
        self.blob.save(self.uc);
        self.fpu() == *state
    }

    /// Whether the FPU and SSE registers of two snapshots are the same for a program. The engine's
    /// own are `now`'s afterwards.
    pub fn same_fpu(&mut self, then: &EngineSnapshot, now: &EngineSnapshot) -> bool {
        if then.same_fpu_image(now) {
            return true;
        }
        self.blob.set_bytes(&then.blob);
        self.blob.restore(self.uc);
        let before = self.fpu();
        self.blob.set_bytes(&now.blob);
        self.blob.restore(self.uc);
        before == self.fpu()
    }
}
