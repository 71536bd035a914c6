//! The code hook whose window moves.

use std::ffi::c_void;

use super::PROBE_BASE;

/// `struct hook` of Unicorn 2.1.5, as far as it is used.
#[repr(C)]
pub(super) struct RawHook {
    pub(super) words: [i32; 5],
    pub(super) to_delete: bool,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) callback: *mut c_void,
    pub(super) user_data: *mut c_void,
}

/// The one code hook, whose window is moved to where blocks are about to be translated. A call
/// that was compiled in stays when the window moves on, and is made without looking at it, as
/// long as this is the only code hook.
#[derive(Debug)]
pub(in super::super) struct Window {
    hook: *mut RawHook,
    begin: u64,
    end: u64,
    everything: bool,
}

impl Window {
    pub(super) const NOWHERE: (u64, u64) = (PROBE_BASE - 2, PROBE_BASE - 1);

    /// Before there is a hook.
    pub(super) const fn none() -> Self {
        Self::of(std::ptr::null_mut())
    }

    /// The window of `hook`, which lies nowhere.
    pub(super) const fn of(hook: *mut RawHook) -> Self {
        Self {
            hook,
            begin: Self::NOWHERE.0,
            end: Self::NOWHERE.1,
            everything: false,
        }
    }

    pub(super) fn covers(&self, begin: u64, end: u64) -> bool {
        self.begin > self.end || (self.begin <= begin && end <= self.end)
    }

    pub(super) fn set(&mut self, begin: u64, end: u64) {
        (self.begin, self.end) = (begin, end);
        // SAFETY: `hook` is the live hook of the engine that owns this window; its layout was
        // proved when it was added.
        unsafe {
            (*self.hook).begin = begin;
            (*self.hook).end = end;
        }
    }

    /// Hooks nothing that is translated from now on.
    pub(super) fn set_nowhere(&mut self) {
        self.set(Self::NOWHERE.0, Self::NOWHERE.1);
    }

    /// Whether every instruction is hooked.
    pub(super) const fn is_everywhere(&self) -> bool {
        self.everything
    }

    /// Hooks every instruction from now on.
    pub(in super::super) fn set_everything(&mut self) {
        self.everything = true;
        self.set(1, 0);
    }
}
