//! Which instructions never run natively, and which microcode routine executes each.

use std::sync::LazyLock;

use iced_x86::{Code, CpuidFeature, Instruction, Mnemonic};

/// A microcode routine. Several instructions may share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named after the instructions")]
pub enum Routine {
    /// #UD on every CPU model: not an instruction, or of a feature that CPUID never reports.
    Undefined,
    /// The run stops and says so.
    NotModelled,
    /// JMP, CALL, RET near: native as long as the target is canonical.
    NearBranch,
    MovFromCr,
    MovToCr,
    Clts,
    Lmsw,
    Smsw,
    MovFromDr,
    MovToDr,
    Rdmsr,
    Wrmsr,
    Swapgs,
    FsGsBase,
    Rdtsc,
    Rdtscp,
    Rdpmc,
    Rdrand,
    Rdseed,
    Cpuid,
    Xgetbv,
    Xsetbv,
    Rdpkru,
    Wrpkru,
    MovSegment,
    PopSegment,
    LoadFarPointer,
    Lldt,
    Ltr,
    StoreSelector,
    StoreTable,
    LoadTable,
    Lar,
    Lsl,
    Verify,
    FarJump,
    FarCall,
    FarReturn,
    Sysenter,
    Sysexit,
    Sti,
    Cli,
    Popf,
    Pushf,
    Hlt,
    In,
    Out,
    Ins,
    Outs,
    Invlpg,
    Invpcid,
    CacheInvalidate,
    CacheLineFlush,
    AlignmentFlag,
    Iret,
    Syscall,
    Sysret,
    SoftwareInterrupt,
}

impl Routine {
    /// Whether the engine may run the instruction itself; the routine is then for callers that
    /// want its checks.
    #[must_use]
    pub const fn may_run_natively(self) -> bool {
        matches!(self, Self::NearBranch | Self::Cli | Self::Pushf)
    }
}

/// Instructions that are known by their mnemonic alone.
#[rustfmt::skip]
const BY_MNEMONIC: &[(Mnemonic, Routine)] = &[
    (Mnemonic::Clts, Routine::Clts),
    (Mnemonic::Lmsw, Routine::Lmsw),
    (Mnemonic::Smsw, Routine::Smsw),            // CR4.UMIP
    (Mnemonic::Rdmsr, Routine::Rdmsr),
    (Mnemonic::Wrmsr, Routine::Wrmsr),
    (Mnemonic::Swapgs, Routine::Swapgs),
    (Mnemonic::Rdfsbase, Routine::FsGsBase),
    (Mnemonic::Rdgsbase, Routine::FsGsBase),
    (Mnemonic::Wrfsbase, Routine::FsGsBase),
    (Mnemonic::Wrgsbase, Routine::FsGsBase),
    (Mnemonic::Rdtsc, Routine::Rdtsc),
    (Mnemonic::Rdtscp, Routine::Rdtscp),
    (Mnemonic::Rdpmc, Routine::Rdpmc),
    (Mnemonic::Rdrand, Routine::Rdrand),
    (Mnemonic::Rdseed, Routine::Rdseed),
    (Mnemonic::Cpuid, Routine::Cpuid),
    (Mnemonic::Xgetbv, Routine::Xgetbv),
    (Mnemonic::Xsetbv, Routine::Xsetbv),
    (Mnemonic::Rdpkru, Routine::Rdpkru),
    (Mnemonic::Wrpkru, Routine::Wrpkru),
    (Mnemonic::Les, Routine::LoadFarPointer),
    (Mnemonic::Lds, Routine::LoadFarPointer),
    (Mnemonic::Lss, Routine::LoadFarPointer),
    (Mnemonic::Lfs, Routine::LoadFarPointer),
    (Mnemonic::Lgs, Routine::LoadFarPointer),
    (Mnemonic::Lldt, Routine::Lldt),
    (Mnemonic::Ltr, Routine::Ltr),
    (Mnemonic::Sldt, Routine::StoreSelector),   // CR4.UMIP
    (Mnemonic::Str, Routine::StoreSelector),    // CR4.UMIP
    (Mnemonic::Sgdt, Routine::StoreTable),      // CR4.UMIP
    (Mnemonic::Sidt, Routine::StoreTable),      // CR4.UMIP
    (Mnemonic::Lgdt, Routine::LoadTable),
    (Mnemonic::Lidt, Routine::LoadTable),
    (Mnemonic::Lar, Routine::Lar),
    (Mnemonic::Lsl, Routine::Lsl),
    (Mnemonic::Verr, Routine::Verify),
    (Mnemonic::Verw, Routine::Verify),
    (Mnemonic::Retf, Routine::FarReturn),
    (Mnemonic::Sysenter, Routine::Sysenter),
    (Mnemonic::Sysexit, Routine::Sysexit),
    (Mnemonic::Sysexitq, Routine::Sysexit),
    (Mnemonic::Sti, Routine::Sti),              // shadow
    (Mnemonic::Cli, Routine::Cli),
    (Mnemonic::Popf, Routine::Popf),            // TF and IF matter at the next boundary
    (Mnemonic::Popfd, Routine::Popf),
    (Mnemonic::Popfq, Routine::Popf),
    (Mnemonic::Pushf, Routine::Pushf),
    (Mnemonic::Pushfd, Routine::Pushf),
    (Mnemonic::Pushfq, Routine::Pushf),
    (Mnemonic::Hlt, Routine::Hlt),
    (Mnemonic::In, Routine::In),
    (Mnemonic::Out, Routine::Out),
    (Mnemonic::Insb, Routine::Ins),
    (Mnemonic::Insw, Routine::Ins),
    (Mnemonic::Insd, Routine::Ins),
    (Mnemonic::Outsb, Routine::Outs),
    (Mnemonic::Outsw, Routine::Outs),
    (Mnemonic::Outsd, Routine::Outs),
    (Mnemonic::Invlpg, Routine::Invlpg),
    (Mnemonic::Invpcid, Routine::Invpcid),
    (Mnemonic::Invd, Routine::CacheInvalidate),
    (Mnemonic::Wbinvd, Routine::CacheInvalidate),
    (Mnemonic::Wbnoinvd, Routine::CacheInvalidate), // without the feature: WBINVD, F3 ignored
    (Mnemonic::Clflush, Routine::CacheLineFlush),
    (Mnemonic::Clflushopt, Routine::CacheLineFlush),
    (Mnemonic::Clwb, Routine::CacheLineFlush),
    (Mnemonic::Clac, Routine::AlignmentFlag),
    (Mnemonic::Stac, Routine::AlignmentFlag),
    (Mnemonic::Iret, Routine::Iret),
    (Mnemonic::Iretd, Routine::Iret),
    (Mnemonic::Iretq, Routine::Iret),
    (Mnemonic::Syscall, Routine::Syscall),
    (Mnemonic::Sysret, Routine::Sysret),
    (Mnemonic::Sysretq, Routine::Sysret),
    (Mnemonic::Int, Routine::SoftwareInterrupt),
    (Mnemonic::Int1, Routine::SoftwareInterrupt),
    (Mnemonic::Int3, Routine::SoftwareInterrupt),
    (Mnemonic::Into, Routine::SoftwareInterrupt),
    (Mnemonic::INVALID, Routine::Undefined),
    (Mnemonic::Ud0, Routine::Undefined),
    (Mnemonic::Ud1, Routine::Undefined),
    (Mnemonic::Ud2, Routine::Undefined),
    (Mnemonic::Rsm, Routine::Undefined),        // outside SMM (SDM vol. 2, RSM)
    (Mnemonic::Monitor, Routine::Undefined),    // CPUID.1:ECX.MONITOR = 0
    (Mnemonic::Mwait, Routine::Undefined),
    (Mnemonic::Monitorx, Routine::Undefined),   // CPUID.80000001h:ECX.MONITORX = 0
    (Mnemonic::Mwaitx, Routine::Undefined),
    (Mnemonic::Rdpid, Routine::Undefined),      // CPUID.7:ECX.RDPID = 0
    (Mnemonic::Xsave, Routine::Undefined),      // CR4.OSXSAVE cannot be set
    (Mnemonic::Xsave64, Routine::Undefined),
    (Mnemonic::Xsavec, Routine::Undefined),
    (Mnemonic::Xsavec64, Routine::Undefined),
    (Mnemonic::Xsaveopt, Routine::Undefined),
    (Mnemonic::Xsaveopt64, Routine::Undefined),
    (Mnemonic::Xsaves, Routine::Undefined),
    (Mnemonic::Xsaves64, Routine::Undefined),
    (Mnemonic::Xrstor, Routine::Undefined),
    (Mnemonic::Xrstor64, Routine::Undefined),
    (Mnemonic::Xrstors, Routine::Undefined),
    (Mnemonic::Xrstors64, Routine::Undefined),
];

/// Instructions that share a mnemonic with native ones.
#[rustfmt::skip]
const BY_CODE: &[(Code, Routine)] = &[
    (Code::Mov_r32_cr, Routine::MovFromCr),
    (Code::Mov_r64_cr, Routine::MovFromCr),
    (Code::Mov_cr_r32, Routine::MovToCr),
    (Code::Mov_cr_r64, Routine::MovToCr),
    (Code::Mov_r32_dr, Routine::MovFromDr),
    (Code::Mov_r64_dr, Routine::MovFromDr),
    (Code::Mov_dr_r32, Routine::MovToDr),
    (Code::Mov_dr_r64, Routine::MovToDr),
    (Code::Mov_Sreg_rm16, Routine::MovSegment),
    (Code::Mov_Sreg_r32m16, Routine::MovSegment),
    (Code::Mov_Sreg_r64m16, Routine::MovSegment),
    (Code::Popw_ES, Routine::PopSegment),
    (Code::Popd_ES, Routine::PopSegment),
    (Code::Popw_SS, Routine::PopSegment),
    (Code::Popd_SS, Routine::PopSegment),
    (Code::Popw_DS, Routine::PopSegment),
    (Code::Popd_DS, Routine::PopSegment),
    (Code::Popw_FS, Routine::PopSegment),
    (Code::Popd_FS, Routine::PopSegment),
    (Code::Popq_FS, Routine::PopSegment),
    (Code::Popw_GS, Routine::PopSegment),
    (Code::Popd_GS, Routine::PopSegment),
    (Code::Popq_GS, Routine::PopSegment),
    (Code::Jmp_ptr1616, Routine::FarJump),
    (Code::Jmp_ptr1632, Routine::FarJump),
    (Code::Jmp_m1616, Routine::FarJump),
    (Code::Jmp_m1632, Routine::FarJump),
    (Code::Jmp_m1664, Routine::FarJump),
    (Code::Call_ptr1616, Routine::FarCall),
    (Code::Call_ptr1632, Routine::FarCall),
    (Code::Call_m1616, Routine::FarCall),
    (Code::Call_m1632, Routine::FarCall),
    (Code::Call_m1664, Routine::FarCall),
    (Code::Jmp_rel8_16, Routine::NearBranch),
    (Code::Jmp_rel8_32, Routine::NearBranch),
    (Code::Jmp_rel8_64, Routine::NearBranch),
    (Code::Jmp_rel16, Routine::NearBranch),
    (Code::Jmp_rel32_32, Routine::NearBranch),
    (Code::Jmp_rel32_64, Routine::NearBranch),
    (Code::Jmp_rm16, Routine::NearBranch),
    (Code::Jmp_rm32, Routine::NearBranch),
    (Code::Jmp_rm64, Routine::NearBranch),
    (Code::Call_rel16, Routine::NearBranch),
    (Code::Call_rel32_32, Routine::NearBranch),
    (Code::Call_rel32_64, Routine::NearBranch),
    (Code::Call_rm16, Routine::NearBranch),
    (Code::Call_rm32, Routine::NearBranch),
    (Code::Call_rm64, Routine::NearBranch),
    (Code::Retnw, Routine::NearBranch),
    (Code::Retnd, Routine::NearBranch),
    (Code::Retnq, Routine::NearBranch),
    (Code::Retnw_imm16, Routine::NearBranch),
    (Code::Retnd_imm16, Routine::NearBranch),
    (Code::Retnq_imm16, Routine::NearBranch),
];

/// Features whose instructions the engine runs itself. An instruction of any other feature, that
/// no row above names, is not modelled (VMX, SVM, SMX, SGX, CET, AVX, FRED ...).
#[rustfmt::skip]
const NATIVE_FEATURES: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086, CpuidFeature::INTEL8086_ONLY, CpuidFeature::INTEL186,
    CpuidFeature::INTEL286, CpuidFeature::INTEL386, CpuidFeature::INTEL486,
    CpuidFeature::X64, CpuidFeature::CPUID, CpuidFeature::CX8, CpuidFeature::CMOV,
    CpuidFeature::CMPXCHG16B, CpuidFeature::MULTIBYTENOP, CpuidFeature::PAUSE,
    CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU287XL_ONLY, CpuidFeature::FPU387,
    CpuidFeature::FPU387SL_ONLY, CpuidFeature::FXSR,
    CpuidFeature::MMX, CpuidFeature::SSE, CpuidFeature::SSE2, CpuidFeature::SSE3,
    CpuidFeature::SSSE3, CpuidFeature::SSE4_1, CpuidFeature::SSE4_2,
    CpuidFeature::POPCNT, CpuidFeature::MOVBE, CpuidFeature::LZCNT, CpuidFeature::BMI1,
    CpuidFeature::BMI2, CpuidFeature::ADX, CpuidFeature::AES, CpuidFeature::PCLMULQDQ,
    CpuidFeature::PREFETCHW, CpuidFeature::PREFETCHWT1, CpuidFeature::CLDEMOTE,
];

/// Instructions of other features that are NOPs as long as the feature is off (SDM vol. 2).
const NOPS: &[Mnemonic] = &[
    Mnemonic::Endbr32,
    Mnemonic::Endbr64,
    Mnemonic::Rdsspd,
    Mnemonic::Rdsspq,
];

static TABLE: LazyLock<Box<[Option<Routine>]>> =
    LazyLock::new(|| Code::values().map(by_rule).collect());

fn by_rule(code: Code) -> Option<Routine> {
    let mnemonic = code.mnemonic();
    if let Some(&(_, routine)) = BY_CODE.iter().find(|row| row.0 == code) {
        return Some(routine);
    }
    if let Some(&(_, routine)) = BY_MNEMONIC.iter().find(|row| row.0 == mnemonic) {
        return Some(routine);
    }
    let native = NOPS.contains(&mnemonic)
        || code
            .cpuid_features()
            .iter()
            .all(|feature| NATIVE_FEATURES.contains(feature));
    (!native).then_some(Routine::NotModelled)
}

/// The routine that executes `code`; `None`: there is none, it always runs natively.
#[must_use]
pub fn routine(code: Code) -> Option<Routine> {
    TABLE.get(code as usize).copied().flatten()
}

/// Whether `insn` never runs natively. No rule depends on the privilege level today: what would
/// fault at `_cpl` must fault by our checks, with our error code.
#[must_use]
pub fn is_intercepted(insn: &Instruction, _cpl: u8) -> bool {
    routine(insn.code()).is_some_and(|r| !r.may_run_natively())
}
