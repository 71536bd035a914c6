//! The instruction at RIP: fetched by the rules, or peeked at.

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic};

use super::Machine;
use super::stop::StopReason;
use crate::arch::bits::efer;
use crate::arch::{Access, AccessKind, Exception, PAGE_SIZE, Segment, VirtAddr};

/// The longest instruction (SDM vol. 2, 2.3.11).
const MAX_INSN: usize = 15;

impl Machine {
    /// CS.base, where it counts.
    pub(super) fn code_base(&self) -> u64 {
        if self.cpu.regs.is_64bit() {
            0
        } else {
            self.cpu.regs.cs().base
        }
    }

    pub(super) fn bitness(&self) -> u32 {
        let cs = self.cpu.regs.cs();
        if self.cpu.regs.msr.efer & efer::LMA != 0 && cs.attr & Segment::L != 0 {
            64
        } else if cs.attr & Segment::DB != 0 {
            32
        } else {
            16
        }
    }

    /// Fetches and decodes the instruction at RIP, byte after byte as far as it reaches: what it
    /// touches is walked. A length above 15 gives #GP(0).
    pub(super) fn fetch_instruction(&mut self) -> Result<Instruction, Exception> {
        let at = self.code_base().wrapping_add(self.cpu.regs.rip);
        let access = Access::explicit(AccessKind::Fetch, self.cpu.regs.cpl);
        let mut bytes = [0; MAX_INSN];
        let first = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(MAX_INSN);
        self.cpu.read(
            &mut self.world,
            VirtAddr(at),
            &mut bytes[..first],
            access,
            false,
        )?;
        let mut len = first;
        loop {
            let mut decoder = Decoder::with_ip(
                self.bitness(),
                &bytes[..len],
                self.cpu.regs.rip,
                DecoderOptions::NONE,
            );
            let insn = decoder.decode();
            // The decoder gives up at 15 bytes, whatever follows.
            if insn.code() == Code::INVALID && insn.len() >= MAX_INSN {
                return Err(Exception::gp(0));
            }
            if insn.code() != Code::INVALID || decoder.last_error() != DecoderError::NoMoreBytes {
                return Ok(insn);
            }
            if len == MAX_INSN {
                return Err(Exception::gp(0));
            }
            // The rest lies on the next page.
            let next = VirtAddr(at.wrapping_add(len as u64));
            self.cpu
                .read(&mut self.world, next, &mut bytes[len..], access, false)?;
            len = MAX_INSN;
        }
    }

    /// The instruction at RIP, without side effects; `None` where it cannot be read.
    pub(super) fn peek_instruction(&self) -> Option<Instruction> {
        let bytes = self.peek_bytes();
        let insn = Decoder::with_ip(
            self.bitness(),
            &bytes,
            self.cpu.regs.rip,
            DecoderOptions::NONE,
        )
        .decode();
        (insn.code() != Code::INVALID).then_some(insn)
    }

    /// Up to 15 bytes at RIP.
    pub(super) fn peek_bytes(&self) -> Vec<u8> {
        let at = self.code_base().wrapping_add(self.cpu.regs.rip);
        let mut bytes = vec![0; MAX_INSN];
        let first = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(MAX_INSN);
        if self.peek_linear(VirtAddr(at), &mut bytes) {
            return bytes;
        }
        bytes.truncate(first);
        if self.peek_linear(VirtAddr(at), &mut bytes) {
            return bytes;
        }
        Vec::new()
    }

    /// The end of a run at something that is not modelled.
    pub(super) fn not_modelled(&self, what: String) -> StopReason {
        let mut bytes = self.peek_bytes();
        if let Some(insn) = self.peek_instruction() {
            bytes.truncate(insn.len());
        }
        StopReason::NotModelled {
            what,
            rip: VirtAddr(self.cpu.regs.rip),
            bytes,
        }
    }

    /// Unicorn cannot execute the instruction at RIP: #UD, or ours to refuse.
    pub(super) fn invalid(&mut self) -> Option<StopReason> {
        self.note_place();
        let insn = match self.fetch_instruction() {
            Ok(insn) => insn,
            Err(exception) => return self.fault(exception),
        };
        if crate::system::insn::is_intercepted(&insn, self.cpu.regs.cpl) {
            // Unicorn has not read all of it.
            return self.execute(&insn);
        }
        let undefined = insn.code() == Code::INVALID
            || matches!(insn.mnemonic(), Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2)
            // 64-bit mode has no such instruction, or a prefix does not go with it.
            || self.is_disabled(&insn);
        if undefined {
            return self.fault(Exception::ud());
        }
        let text = format!("the instruction `{insn}`");
        Some(self.not_modelled(text))
    }

    /// Whether control registers make `insn` undefined: SSE without CR4.OSFXSR or with CR0.EM.
    pub(super) fn is_disabled(&self, insn: &Instruction) -> bool {
        use crate::arch::bits::{cr0, cr4};
        let sse = insn
            .cpuid_features()
            .iter()
            .any(|f| format!("{f:?}").starts_with("SSE"));
        sse && (self.cpu.regs.cr4 & cr4::OSFXSR == 0 || self.cpu.regs.cr0 & cr0::EM != 0)
    }
}
