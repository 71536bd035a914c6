//! The directives there are.

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its first word.
    pub name: &'static str,
    /// How the rest is written.
    pub usage: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// It is of the whole file, and stands before the first test.
    pub of_file: bool,
}

macro_rules! rows {
    ($($name:literal $usage:literal $of_file:literal $summary:literal;)*) => {
        &[$(Row { name: $name, usage: $usage, summary: $summary, of_file: $of_file }),*]
    };
}

/// All directives.
pub const DIRECTIVES: &[Row] = rows! {
    "test" "NAME" false "begins a test; what stands before the first one is of all";
    "code" "PATH..." true "links these sources, objects and static libraries too";
    "elf" "PATH" true "tests this executable, and nothing is linked";
    "include" "PATH..." true "folders that .include searches";
    "base" "ADDRESS" true "links at this address (0x200000)";
    "stubs" "NAME..." true "only these symbols may stay undefined";
    "root" "NAME..." true "takes these from static libraries, and not everything";
    "define" "NAME=VALUE..." true "gives the linker a symbol";
    "cpu" "intel|amd" false "whose CPU";
    "gate" "VECTOR PLACE [ist=N] [dpl=N] [trap]" false "the handler of a vector";
    "quiet" "VECTOR..." false "handlers that do nothing and return";
    "stack" "N PLACE" false "the end of a stack in the TSS: 0 for RSP0, 1 to 7 for IST1 to IST7";
    "machine" "REGISTER=VALUE..." false "control and debug registers";
    "syscall-entry" "PLACE" false "where SYSCALL goes";
    "identity-map" "" false "maps all RAM at its own address too";
    "map" "PLACE SIZE [user] [read-only] [execute]" false "makes pages present";
    "unmap" "PLACE [SIZE]" false "makes pages not present";
    "lazy" "PLACE SIZE [user] [read-only] [execute]" false "pages that a #PF makes present";
    "memory" "PLACE u8|u16|u32|u64 VALUE..." false "writes values";
    "context" "kernel|user|syscall-gap [at=PLACE] [flags=VALUE] [gs=USER,KERNEL] [without-gs]" false "what is interrupted";
    "inside" "VECTOR [at=PLACE]" false "enters this handler first";
    "register" "REGISTER=VALUE..." false "registers of the interrupted code; a value may be a place";
    "raise" "nothing|nmi|irq=VECTOR|mce|VECTOR[,ec=CODE][,addr=PLACE][+...]" false "what arrives there";
    "inject" "--nmi|--irq|--mce|--exception WHEN" false "what arrives elsewhere, as `iretrace run` has it";
    "stub" "NAME [returns=VALUE|rdi] [preserves] [cr2=kept|clobbered]" false "what a stub does";
    "until" "return|stop|place PLACE|call NAME" false "where the run ends";
    "limit" "INSTRUCTIONS" false "after how many instructions it has failed";
    "nmi-body" "PLACE" false "where the work of an NMI begins, for the rule nmi-unserved";
    "expect" "..." false "what must hold; nothing said but how it ends: sound";
    "golden" "[FILE]" false "the trace is that of this file; --bless writes it";
    "fails" "\"TEXT\"" false "the test must fail, and its message have this text";
};

/// What `expect` can be followed by.
pub const EXPECTATIONS: &[Row] = rows! {
    "sound" "" false "what every handler owes: no mistake is seen, the context is restored, no error is found";
    "no" "MISTAKE" false "one mistake is not seen: misaligned-call, wrong-gs, ...";
    "returns" "" false "what was interrupted goes on";
    "returns-to" "PLACE" false "the handler returns elsewhere: a fix-up";
    "reaches" "PLACE" false "the run ends there";
    "stops" "" false "the guest reports success, or halts for ever";
    "exit" "VALUE" false "the guest writes this to the debug-exit port";
    "halts" "" false "HLT for ever";
    "triple-fault" "" false "shutdown";
    "stray" "VECTOR" false "an event without a handler ends the run";
    "restored" "[except=REGISTER,...]" false "the interrupted context is as it was";
    "frame" "[rip=PLACE] [cs=V] [rflags=V] [rsp=PLACE] [ss=V] [error_code=V] [cr2=PLACE] [ist=N] [vector=V]" false "what delivery pushed";
    "aligned" "[PLACE...]" false "these functions, or all, are called on an aligned stack";
    "call" "NAME [times=N] [rdi=V] [rsi=V] [rdx=V] [rcx=V] [r8=V] [r9=V]" false "a stub is called";
    "writes-within" "PLACE,SIZE..." false "nothing else but the stacks is stored to";
    "no-findings" "[error|warning|note]" false "no finding of this severity or worse";
    "finding" "RULE [at=PLACE]" false "this is found";
    "nmi" "[before=blocked|unblocked] [after=blocked|unblocked]" false "the blocking bit";
    "instructions" "MOST" false "how many, at most";
    "stack" "BYTES" false "how deep, at most, the frame included";
    "register" "REGISTER=VALUE..." false "registers at the end";
    "memory" "PLACE u8|u16|u32|u64 VALUE..." false "values at the end";
    "console" "LINE" false "the guest prints this line";
    "survives" "nmi|fault-with-nmi|EVENT" false "when this arrives at any boundary, sound holds, and all else but call, instructions, stack, nmi and the golden trace";
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for table in [DIRECTIVES, EXPECTATIONS] {
            for (n, row) in table.iter().enumerate() {
                assert!(
                    table[..n].iter().all(|r| r.name != row.name),
                    "{}",
                    row.name
                );
            }
        }
    }
}
