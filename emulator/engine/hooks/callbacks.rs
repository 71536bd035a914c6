//! The functions that Unicorn calls, and how they are made known to it.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use unicorn_engine_sys::{
    HookType, MemType, TlbEntry, TranslationBlock, uc_emu_stop, uc_engine, uc_hook, uc_hook_add,
};

use super::super::error::{EngineError, check};
use super::window::{RawHook, Window};
use super::{Halt, HookState};
use crate::arch::AccessKind;

/// Runs a callback; a panic must not cross Unicorn's frames: it is kept and raised again later.
fn guarded<R>(
    uc: *mut uc_engine,
    data: *mut c_void,
    other: R,
    f: impl FnOnce(&mut HookState) -> R,
) -> R {
    // SAFETY: `data` is the `HookState` given to `uc_hook_add`, alive as long as the engine;
    // callbacks never overlap, and the engine's owner does not touch it while Unicorn runs.
    let state = unsafe { &mut *data.cast::<HookState>() };
    match catch_unwind(AssertUnwindSafe(|| f(state))) {
        Ok(r) => r,
        Err(payload) => {
            state.panic = Some(payload);
            // SAFETY: as in `HookState::stop`.
            unsafe { uc_emu_stop(uc) };
            other
        }
    }
}

extern "C" fn block_hook(uc: *mut uc_engine, start: u64, size: u32, data: *mut c_void) {
    // SAFETY: as in `guarded`.
    if unsafe { &mut *data.cast::<HookState>() }.on_quick_block(start, size) {
        return;
    }
    guarded(uc, data, (), |s| s.on_block(uc, start, size));
}

extern "C" fn code_hook(uc: *mut uc_engine, rip: u64, _size: u32, data: *mut c_void) {
    // SAFETY: as in `guarded`.
    if !unsafe { &*data.cast::<HookState>() }.is_attended(rip) {
        return;
    }
    guarded(uc, data, (), |s| {
        // What begins with a step has been asked about then, whether or not calls are compiled in.
        if !s.asked {
            s.on_code(uc, rip);
        }
    });
}

extern "C" fn edge_hook(
    uc: *mut uc_engine,
    current: *mut TranslationBlock,
    _previous: *mut TranslationBlock,
    data: *mut c_void,
) {
    // SAFETY: Unicorn passes a pointer to a block description on its own stack.
    let tb = unsafe { *current };
    guarded(uc, data, (), |s| s.on_edge(uc, &tb));
}

extern "C" fn intr_hook(uc: *mut uc_engine, vector: u32, data: *mut c_void) {
    guarded(uc, data, (), |s| s.on_exception(uc, vector));
}

extern "C" fn invalid_hook(uc: *mut uc_engine, data: *mut c_void) -> bool {
    guarded(uc, data, (), |s| s.halt = Some(Halt::Invalid));
    false
}

extern "C" fn fill_hook(
    uc: *mut uc_engine,
    page: u64,
    kind: MemType,
    entry: *mut TlbEntry,
    data: *mut c_void,
) -> bool {
    let kind = match kind {
        MemType::WRITE => AccessKind::Write,
        MemType::FETCH => AccessKind::Fetch,
        _ => AccessKind::Read,
    };
    match guarded(uc, data, None, |s| s.on_fill(uc, page, kind)) {
        Some((paddr, perms)) => {
            // SAFETY: Unicorn passes a pointer to an entry on its own stack, to be filled in.
            unsafe { entry.write(TlbEntry { paddr, perms }) };
            true
        }
        None => false,
    }
}

/// Adds all hooks, and proves the layout of the code hook.
pub(in super::super) fn install(
    uc: *mut uc_engine,
    state: *mut HookState,
) -> Result<(), EngineError> {
    let add = |kind: HookType, callback: *mut c_void, (begin, end): (u64, u64)| {
        let mut id: uc_hook = 0;
        // SAFETY: each callback has the signature that Unicorn documents for its kind, and
        // `state` lives until after `uc_close`.
        let error = unsafe {
            uc_hook_add(
                uc,
                &raw mut id,
                kind.0 as i32,
                callback,
                state.cast(),
                begin,
                end,
            )
        };
        check(error, "add a hook").map(|()| id)
    };
    let everywhere = (1, 0);
    add(HookType::BLOCK, block_hook as *mut c_void, everywhere)?;
    add(
        HookType::EDGE_GENERATED,
        edge_hook as *mut c_void,
        everywhere,
    )?;
    add(HookType::INTR, intr_hook as *mut c_void, everywhere)?;
    add(
        HookType::INSN_INVALID,
        invalid_hook as *mut c_void,
        everywhere,
    )?;
    add(HookType::TLB_FILL, fill_hook as *mut c_void, everywhere)?;
    let id = add(HookType::CODE, code_hook as *mut c_void, Window::NOWHERE)?;
    let hook = id as *mut RawHook;
    // SAFETY: a hook's handle is the address of its `struct hook`, which is larger than
    // `RawHook`; the values read are compared before anything is written.
    let seen = unsafe {
        (
            (*hook).begin,
            (*hook).end,
            (*hook).callback,
            (*hook).user_data,
        )
    };
    if seen
        != (
            Window::NOWHERE.0,
            Window::NOWHERE.1,
            code_hook as *mut c_void,
            state.cast(),
        )
    {
        return Err(EngineError::Layout {
            what: "struct hook".into(),
        });
    }
    // SAFETY: `state` is valid and not in use: nothing runs yet.
    unsafe { (*state).window = Window::of(hook) };
    Ok(())
}
