//! `iretrace walk`: one page walk, at a moment of a run.

use clap::ValueEnum;
use iretrace::arch::{Access, AccessKind, VirtAddr};
use iretrace::machine::StopReason;
use iretrace::trace::{Event, EventKind, TextOptions, TextRenderer};

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::image_args::ImageArgs;
use super::machine_args::MachineArgs;
use super::output::{self, Color};
use super::schedule_args::ScheduleArgs;
use super::session::Session;

/// Show one page walk, level by level, without side effects
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace walk kernel.elf main                                    in the state at the start
  iretrace walk kernel.elf 0xffffc90000000000 --access write --until nmi_entry
  iretrace walk @user-mode 0x400000 --access fetch --user --until icount=5k

The walk uses the page tables as they are in memory then. It says which A and D bits such an access
sets, but sets none. Without
--until nothing runs. The exit code is 0 whether or not the walk faults; it is that of the run if
the run ended before --until was reached.")]
pub struct WalkArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// What to translate: SYMBOL, SYMBOL+0x1f or 0xADDRESS
    #[arg(value_name = "ADDRESS|SYMBOL")]
    address: String,

    /// What the access is
    #[arg(long, value_enum, default_value_t = AccessArg::Read, help_heading = "Walk")]
    access: AccessArg,

    /// With user privilege
    #[arg(long, help_heading = "Walk")]
    user: bool,

    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,

    /// Colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, help_heading = "Output")]
    color: Color,
}

/// `--access`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum AccessArg {
    /// A data read
    Read,
    /// A data write
    Write,
    /// An instruction fetch
    Fetch,
}

impl From<AccessArg> for AccessKind {
    fn from(access: AccessArg) -> Self {
        match access {
            AccessArg::Read => Self::Read,
            AccessArg::Write => Self::Write,
            AccessArg::Fetch => Self::Fetch,
        }
    }
}

/// Shows it.
pub fn walk(args: &WalkArgs) -> Result<ExitCode, Failure> {
    let mut session = Session::new(&args.image, &args.machine, &args.schedule)?;
    let at = session
        .image
        .resolve(&args.address)
        .map_err(|e| Failure::usage(format!("{:?}: {e}", args.address)))?;
    let mut code = ExitCode::Success;
    if args.machine.until.is_some() {
        let stop = session.run();
        if stop != StopReason::Until {
            session.summary(&stop);
            code = ExitCode::of_stop(&stop);
        }
    }
    output::print(&show(args, &session, at))?;
    Ok(code)
}

fn show(args: &WalkArgs, session: &Session, at: VirtAddr) -> String {
    let access = Access::explicit(args.access.into(), if args.user { 3 } else { 0 });
    let cpu = session.machine.cpu();
    let event = Event {
        at: session.machine.boundary(),
        rip: VirtAddr(cpu.regs.rip),
        cpl: cpu.regs.cpl,
        depth: 0,
        kind: EventKind::Walk(session.machine.walk(at, access)),
    };
    let options = TextOptions {
        color: args.color.wanted(false),
        mapped_walks: true,
        full_walks: true,
    };
    let mut text = Vec::new();
    TextRenderer::new(&*session.image, options).render(&event, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
