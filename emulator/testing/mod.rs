//! Tests of handlers: a piece of a kernel, a machine around it without a boot, an event, and what
//! must hold.
//!
//! # Test your handler in five minutes
//!
//! Here is the entry of page faults of some kernel. It saves what a function may change, and calls
//! `do_page_fault` with the fault's address, which the kernel's authors have in another file:
//!
//! ```
//! const ENTRY: &str = "
//! page_fault:
//!     push %rax
//!     push %rcx
//!     push %rdx
//!     push %rsi
//!     push %rdi
//!     push %r8
//!     push %r9
//!     push %r10
//!     push %r11
//!     cld
//!     mov  %cr2, %rdi
//!     call do_page_fault
//!     pop  %r11
//!     pop  %r10
//!     pop  %r9
//!     pop  %r8
//!     pop  %rdi
//!     pop  %rsi
//!     pop  %rdx
//!     pop  %rcx
//!     pop  %rax
//!     add  $8, %rsp
//!     iretq
//! ";
//!
//! use iretrace::arch::Vector;
//! use iretrace::testing::{Case, Code, Context, Raise};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Assembled and linked; do_page_fault, which is not there, becomes a stub.
//! let entry = Code::assembly(ENTRY).build()?;
//! let case = Case::new(&entry)
//!     .handler(Vector::PF, "page_fault")
//!     .context(Context::kernel())
//!     .raise(Raise::page_fault(0x1234, 0));
//! let Err(failure) = case.check()? else { panic!("it passes") };
//! assert_eq!(
//!     failure.headline(),
//!     "the stack is misaligned at the call of do_page_fault at page_fault+0x11: RSP + 8 is \
//!      0xffffc200001ffe78 at its entry, and must be a multiple of 16 (System V ABI, 3.2.2)"
//! );
//!
//! // One more push and pop mend it. The stub has overwritten what a function may overwrite, so a
//! // register that is not saved would have shown.
//! let mended = ENTRY
//!     .replace("    cld\n", "    push %rbx\n    cld\n")
//!     .replace("    pop  %r11\n", "    pop  %rbx\n    pop  %r11\n");
//! let entry = Code::assembly(&mended).build()?;
//! let case = Case::new(&entry)
//!     .handler(Vector::PF, "page_fault")
//!     .raise(Raise::page_fault(0x1234, 0));
//! let run = case.assert();
//! assert_eq!(run.calls("do_page_fault")[0].arguments[0], 0x1234);
//!
//! // From user mode SWAPGS is missing: the kernel would use the user's GS base.
//! let Err(failure) = case.clone().context(Context::user()).check()? else { panic!("it passes") };
//! assert!(failure.headline().contains("SWAPGS is missing"));
//! # Ok(())
//! # }
//! ```
//!
//! [`Case::assert`] panics with the failure in full: the place, the code around it, how the state
//! differs, and the trace. What holds of every handler is [`Expectation::Sound`]; more is said with
//! [`Case::expect`]:
//!
//! ```
//! # use iretrace::arch::Vector;
//! # use iretrace::testing::{Case, Code, Expectation, Gate, Raise};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let nmi = Code::assembly("nmi: incq nmis(%rip)\n iretq\n .data\n nmis: .quad 0\n").build()?;
//! let case = Case::new(&nmi)
//!     .gate(Gate::new(Vector::NMI, "nmi").ist(1))
//!     .raise(Raise::nmi());
//! case.clone()
//!     .expect(Expectation::Sound)
//!     .expect(Expectation::writes_within(&[("nmis", 8)]))
//!     .expect(Expectation::Instructions(2))
//!     .expect(Expectation::survives_nmi())
//!     .assert();
//! // A fault in it would let a pending NMI in, onto the same stack: the first one's frame is lost.
//! let nested = case.expect(Expectation::survives_fault_with_nmi_pending());
//! assert!(nested.check()?.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Without Rust
//!
//! The same as comments of the source, run by `iretrace test entry.S` (see [`directive`]):
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("entry.S");
//! # let text = "
//! #@ gate NMI nmi ist=1
//! #@ raise nmi
//! #@ expect sound
//! #@ expect writes-within nmis,8
//! #@ expect survives nmi
//! nmi:
//!     incq nmis(%rip)
//!     iretq
//! .data
//! nmis: .quad 0
//! # ";
//! # std::fs::write(&path, text).unwrap();
//! # let suite = iretrace::testing::suite::Suite::read(&[path]);
//! # let report = suite.run(&Default::default(), &false.into(), &|_| {});
//! # assert!(report.is_good(), "{report:?}");
//! ```
//!
//! [`main`] makes each of them a case of `cargo test`, nextest and IDEs. `tests/examples` in the
//! sources has a C project with a Makefile, a crate, and a Rust kernel with iretrace as its runner.
//!
//! # What is supplied
//!
//! GDT, TSS with RSP0 and seven IST stacks with guard pages, IDT, page tables with the rights of the
//! code's sections, a user's page of code and stack, per-CPU pages for both GS bases: see
//! [`layout`], and [`Case`] for how each is changed. The interrupted code's registers all hold
//! values of their own. While the handler runs the host changes nothing, but for the pages of
//! [`Case::lazy`] and what the closures of [`Case::on_call`] and [`Case::on_fault`] do.
//!
//! # What a stub does
//!
//! It is guest code: it overwrites RCX, RDX, RSI, RDI, R8 to R11 and RAX as a function may, in a case
//! about #PF leaves another address in CR2 as a fault in the function would, and returns
//! ([`Stub`]). Its calls are recorded ([`Run::calls`]).
//!
//! # What it costs
//!
//! A case costs an engine and a machine (a millisecond or two), and some microseconds an
//! instruction: each is a step, looked at before and after. Assembling and linking costs more than
//! that, so cases should share a [`Program`]: tests of one file do. `cargo bench --bench handlers`
//! measures it.

mod access;
mod arrange;
mod build;
mod case;
mod code;
mod context;
mod defect;
pub mod directive;
mod error;
pub mod expect;
mod failure;
pub mod guest;
pub mod layout;
mod mapper;
mod observed;
mod place;
mod raise;
mod register;
mod run;
mod session;
mod set_up;
mod stub;
pub mod suite;
mod survive;
mod tables;
mod tape;
mod watch;

pub use arrange::{Arrange, Gate, Rights};
pub use case::{Case, DEFAULT_LIMIT, OnCall, OnFault, Until};
pub use code::{Code, Program};
pub use context::{Context, Gs, KERNEL_FLAGS, Mode, USER_FLAGS};
pub use defect::{Defect, DefectKind};
pub use error::TestError;
pub use expect::{Expectation, FrameWanted, Restored};
pub use failure::{Failure, Problem};
pub use observed::{Depth, LeftOut, MOST as MOST_NOTES, Observed, Root, Write};
pub use place::Place;
pub use raise::Raise;
pub use register::Register;
pub use run::Run;
pub use session::{End, Session};
pub use stub::{CLOBBERED_CR2, Call, Stub, clobbered};
pub use suite::main;
