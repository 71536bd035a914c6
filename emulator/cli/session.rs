//! One machine from the options that `run` and `walk` share.

use std::path::PathBuf;
use std::sync::Arc;

use iretrace::load::Image;
use iretrace::machine::{Machine, MachineConfig, StopReason, Until};
use iretrace::schedule::Injection;

use super::failure::Failure;
use super::image_args::ImageArgs;
use super::machine_args::MachineArgs;
use super::schedule_args::{self, ScheduleArgs};
use super::{interrupt, number, state, talk};

/// A machine with its image loaded and its schedule set, ready to run.
pub struct Session {
    /// The machine.
    pub machine: Machine,
    /// What it is made of.
    pub config: MachineConfig,
    /// What is loaded.
    pub image: Arc<Image>,
    /// What is injected.
    pub schedule: Vec<Injection>,
    /// Where the run ends.
    pub until: Until,
    /// The file of the state in which it began, and the state's hash.
    pub state: Option<(PathBuf, String)>,
}

impl Session {
    /// Builds it. What is wrong with the command line is said before a file is read.
    pub fn new(
        image: &ImageArgs,
        machine: &MachineArgs,
        schedule: &ScheduleArgs,
    ) -> Result<Self, Failure> {
        let mut config = machine.config()?;
        let load = machine.load.clone();
        let schedule = schedule.parse()?;
        let image = Arc::new(image.open()?);
        machine.fit(&mut config, &image);
        let resolved = schedule_args::resolve(&schedule, &image)?;
        let until = machine.until.as_ref();
        let until = until.map_or(Ok(Until::Never), |u| u.resolve(&image))?;
        image
            .notes
            .iter()
            .for_each(|n| talk::note(&format!("{}: {n}", image.name)));
        let state = load.as_deref().map(state::read).transpose()?;
        let from = load.as_deref().zip(state.as_ref());
        let mut machine = state::machine(&config, &image, from)?;
        machine.set_schedule(resolved);
        Ok(Self {
            machine,
            config,
            image,
            schedule,
            until,
            state: load.zip(state.map(|s| s.hash().to_owned())),
        })
    }

    /// Runs to the end, or to Ctrl-C.
    pub fn run(&mut self) -> StopReason {
        interrupt::watch(self.machine.interrupt_flag());
        self.machine.run(self.until)
    }

    /// Says how the run ended.
    pub fn summary(&self, stop: &StopReason) {
        for note in self.machine.notes() {
            talk::note(&note);
        }
        let icount = self.machine.boundary().icount;
        let s = if icount == 1 { "" } else { "s" };
        let count = number::grouped(icount);
        talk::summary(&format!("stopped after {count} instruction{s}: {stop}"));
    }
}
