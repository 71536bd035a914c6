//! What a stop of Unicorn means: the state put right, and the cause.

use iced_x86::{FlowControl, Instruction};

use super::hooks::{At, Halt, NONE};
use super::run::Cause;
use super::{Engine, cpu_image};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{AccessKind, CpuState, VirtAddr};

impl Engine {
    /// The cause, if it is one for a stop of the engine's, and the iterations made by the REP
    /// instruction at RIP if it has not retired.
    pub(super) fn finish(
        &mut self,
        regs: &mut CpuState,
        halt: Halt,
        count: u64,
    ) -> (Option<Cause>, u64) {
        let rip = regs.rip;
        let last = self.last_instruction();
        let s = self.state_mut();
        match &halt {
            // Control had reached the end of its block.
            Halt::Rep
            | Halt::Watched
            | Halt::Refused {
                kind: AccessKind::Fetch,
                ..
            }
            | Halt::Disagree { .. }
            | Halt::Undefined { .. }
            | Halt::Unsafe
            | Halt::Altered { .. }
            | Halt::BeforeBlock
            | Halt::Retranslate { .. }
            | Halt::Exception { vector: 1 } => {}
            Halt::At { .. }
            | Halt::Limit
            | Halt::Exception { .. }
            | Halt::Invalid
            | Halt::Refused { .. }
            | Halt::CodeWrite
            | Halt::RepSlice => s.leave_block_at(rip),
        }
        // A fault of an instruction that a hook had let run on, or a store of its into code.
        if let Some((at, flags)) = s.flags_seen
            && at == rip
            && !matches!(halt, Halt::Exception { vector: 1 })
            && matches!(
                halt,
                Halt::Refused { .. } | Halt::CodeWrite | Halt::Exception { .. } | Halt::Invalid
            )
        {
            regs.rflags = flags & cpu_image::FLAGS | rflags::FIXED;
        }
        // A near branch to where no code can be faults itself.
        let strayed = matches!(
            halt,
            Halt::Refused {
                kind: AccessKind::Fetch,
                ..
            } | Halt::Exception { vector: 1 }
        ) && !VirtAddr(rip).is_canonical(regs.la57());
        if strayed
            && let Some(insn) = last.filter(|i| i.next_ip() != rip)
            && is_undone(&insn)
        {
            s.trace_block(Some(insn.ip()));
            self.undo_branch(regs, &insn);
            return (Some(Cause::NonCanonicalTarget(insn)), 0);
        }
        // A REP instruction that is still at it has not retired.
        let mut rep_iterations = 0;
        if s.rep.active && s.rep.rip == rip {
            if s.current != NONE {
                s.icount -= 1;
                s.current = NONE;
            }
            // One run makes fewer than 2^32 iterations, and ECX may be what counts.
            rep_iterations = count.wrapping_sub(regs.gpr[gpr::RCX]) & 0xffff_ffff;
        } else {
            s.trace_block(None);
        }
        if s.stepping
            && s.icount >= s.limit
            && matches!(
                halt,
                Halt::Undefined { .. }
                    | Halt::Disagree { .. }
                    | Halt::Unsafe
                    | Halt::Altered { .. }
                    | Halt::Refused {
                        kind: AccessKind::Fetch,
                        ..
                    }
            )
            && VirtAddr(rip).is_canonical(regs.la57())
        {
            // That is about the next instruction.
            return (None, rep_iterations);
        }
        let cause = match halt {
            Halt::BeforeBlock => return (None, rep_iterations),
            Halt::Rep | Halt::At { why: At::Rep, .. } => Cause::BeginRep,
            Halt::At { why: At::Alone, .. } => Cause::StepAlone,
            Halt::At {
                why: At::PushFlags, ..
            } => Cause::BeginBlock,
            Halt::At {
                why: At::Undefined, ..
            }
            | Halt::Undefined { .. } => Cause::Invalid,
            Halt::Watched => Cause::Watched,
            Halt::Limit => Cause::Limit,
            Halt::RepSlice => Cause::RepSlice,
            Halt::CodeWrite => Cause::CodeWrite,
            Halt::Unsafe | Halt::Altered { .. } => Cause::Unsafe,
            Halt::At {
                insn,
                why: At::Intercept,
            } => Cause::Intercept(insn),
            Halt::At {
                insn,
                why: At::Guard(guard),
            } => Cause::Guard(insn, guard),
            Halt::At {
                why: At::Breakpoint,
                ..
            } => Cause::Breakpoint,
            Halt::Exception { vector: 1 } => Cause::Stepped,
            Halt::Exception { vector } => Cause::Exception {
                vector: vector as u8,
                error_code: self.error_code,
            },
            Halt::Invalid => Cause::Invalid,
            Halt::Refused {
                page,
                kind: AccessKind::Fetch,
            } => Cause::Fetch {
                page: VirtAddr(page),
            },
            Halt::Refused { page, kind } => Cause::Data {
                page: VirtAddr(page),
                kind,
            },
            Halt::Disagree { start, .. } | Halt::Retranslate { start, .. } => Cause::Disagreement {
                start: VirtAddr(start),
            },
        };
        (Some(cause), rep_iterations)
    }

    fn last_instruction(&self) -> Option<Instruction> {
        let s = self.state();
        s.blocks.get(s.current).map(|b| b.last)
    }

    /// Takes back a near jump or return that has retired: RIP, RSP and the count.
    fn undo_branch(&mut self, regs: &mut CpuState, insn: &Instruction) {
        if insn.flow_control() == FlowControl::Return {
            let popped = 8 + if insn.op_count() == 1 {
                u64::from(insn.immediate16())
            } else {
                0
            };
            regs.gpr[gpr::RSP] = regs.gpr[gpr::RSP].wrapping_sub(popped);
        }
        regs.rip = insn.ip();
        self.state_mut().icount -= 1;
    }
}

/// Whether [`Engine::undo_branch`] can take `insn` back. A call is not among them: its guard stopped
/// before it could push.
fn is_undone(insn: &Instruction) -> bool {
    matches!(
        insn.flow_control(),
        FlowControl::Return
            | FlowControl::IndirectBranch
            | FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
    )
}
