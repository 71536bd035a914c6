//! Options that say what machine it is.

use std::path::PathBuf;

use clap::ValueEnum;
use iretrace::arch::{CpuModel, Vendor};
use iretrace::load::Image;
use iretrace::load::limits::DEFAULT_RAM;
use iretrace::machine::{DEFAULT_MAX_INSNS, MachineConfig, SUCCESS_VALUE, TimeMode, TlbMode};

use super::failure::Failure;
use super::until::UntilArg;
use super::{model_switch, number};

/// `--cpu`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Cpu {
    /// Intel's rules
    Intel,
    /// AMD's rules
    Amd,
}

impl From<Cpu> for Vendor {
    fn from(cpu: Cpu) -> Self {
        match cpu {
            Cpu::Intel => Self::Intel,
            Cpu::Amd => Self::Amd,
        }
    }
}

/// `--tlb`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Tlb {
    /// Translations are used until they are invalidated
    Model,
    /// All are forgotten before each instruction and each REP iteration
    None,
}

impl From<Tlb> for TlbMode {
    fn from(tlb: Tlb) -> Self {
        match tlb {
            Tlb::Model => Self::Model,
            Tlb::None => Self::None,
        }
    }
}

/// `--time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Time {
    /// Virtual time goes on with every instruction
    Running,
    /// Virtual time stands still from the delivery of an injected event to its resumption
    Frozen,
}

impl From<Time> for TimeMode {
    fn from(time: Time) -> Self {
        match time {
            Time::Running => Self::Running,
            Time::Frozen => Self::Frozen,
        }
    }
}

/// The machine, and how far it runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Whose rules hold where vendors differ
    #[arg(long, value_enum, default_value_t = Cpu::Intel)]
    cpu: Cpu,

    /// Add or remove a CPU feature (repeatable): -smap, +la57
    #[arg(
        long,
        value_name = "+NAME|-NAME",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    cpu_feature: Vec<String>,

    /// Choose where manuals or vendors differ (repeatable): iret-fault-unblocks-nmi=false
    #[arg(long, value_name = "NAME=true|false", value_delimiter = ',')]
    knob: Vec<String>,

    /// Bits of a physical address [default: 46 for intel, 48 for amd]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(32..=52))]
    maxphyaddr: Option<u8>,

    /// Which cached translations there are: stale ones may be used, or none is ever cached
    #[arg(long, value_enum, default_value_t = Tlb::Model)]
    tlb: Tlb,

    /// Whether virtual time (the TSC, timers) goes on in the handlers of injected events [default:
    /// running; in sweeps: frozen]
    #[arg(long, value_enum)]
    time: Option<Time>,

    /// RAM; K, M and G are powers of 1024 [default: 64M; for a Linux kernel 256M]
    #[arg(long, value_name = "SIZE", value_parser = number::size)]
    ram: Option<u64>,

    /// End after so many instructions; k, M and G are powers of 1000; 'none': no limit
    #[arg(long, value_name = "N", value_parser = number::limit, default_value = "10G")]
    max_insns: u64,

    /// End here: a symbol, an address, or icount=N
    #[arg(long, value_name = "SYMBOL|ADDRESS|icount=N", value_parser = UntilArg::parse)]
    pub until: Option<UntilArg>,

    /// Begin in the state that 'run --until PLACE --save FILE' saved, with the same image and machine:
    /// checks and injections begin there
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,

    /// What the guest writes to the debug-exit port (0xf4) to report success
    #[arg(long, value_name = "N", value_parser = number::plain32, default_value = "0x10")]
    success_value: u32,
}

impl MachineArgs {
    /// The machine that they describe, with the RAM of most images.
    pub fn config(&self) -> Result<MachineConfig, Failure> {
        let mut cpu = CpuModel::of(self.cpu.into());
        for text in &self.cpu_feature {
            model_switch::feature(&mut cpu, text)
                .map_err(|e| Failure::usage(format!("--cpu-feature {text:?}: {e}")))?;
        }
        for text in &self.knob {
            model_switch::knob(&mut cpu, text)
                .map_err(|e| Failure::usage(format!("--knob {text:?}: {e}")))?;
        }
        if let Some(bits) = self.maxphyaddr {
            cpu.maxphyaddr = bits;
        }
        Ok(MachineConfig {
            ram_size: self.ram.unwrap_or(DEFAULT_RAM),
            cpu,
            max_insns: self.max_insns,
            success_value: self.success_value,
            tlb: self.tlb.into(),
            time: self.time.map_or(TimeMode::Running, Into::into),
        })
    }

    /// Gives it the RAM of such an image, if nothing was asked for.
    pub fn fit(&self, config: &mut MachineConfig, image: &Image) {
        config.ram_size = self.ram.unwrap_or_else(|| image.default_ram());
    }

    /// Whether time was told how to go on.
    pub const fn chooses_time(&self) -> bool {
        self.time.is_some()
    }
}

/// The words that make `config` from nothing, for an image that is given `ram` by default. `full`: the
/// defaults' too.
pub fn words(config: &MachineConfig, ram: u64, full: bool) -> Vec<(&'static str, String)> {
    let base = CpuModel::of(config.cpu.vendor);
    let mut words = Vec::new();
    let mut push = |name, value: String, default: bool| {
        if full || !default {
            words.push((name, value));
        }
    };
    let vendor = match config.cpu.vendor {
        Vendor::Intel => "intel",
        Vendor::Amd => "amd",
    };
    push(
        "--cpu",
        vendor.to_owned(),
        config.cpu.vendor == Vendor::Intel,
    );
    push(
        "--maxphyaddr",
        config.cpu.maxphyaddr.to_string(),
        config.cpu.maxphyaddr == base.maxphyaddr,
    );
    let (features, knobs) = model_switch::differences(&base, &config.cpu);
    features
        .into_iter()
        .for_each(|f| push("--cpu-feature", f, false));
    knobs.into_iter().for_each(|k| push("--knob", k, false));
    push(
        "--ram",
        number::shown_size(config.ram_size),
        config.ram_size == ram,
    );
    let limit = match config.max_insns {
        u64::MAX => "none".to_owned(),
        n => n.to_string(),
    };
    push("--max-insns", limit, config.max_insns == DEFAULT_MAX_INSNS);
    push(
        "--success-value",
        format!("{:#x}", config.success_value),
        config.success_value == SUCCESS_VALUE,
    );
    push(
        "--tlb",
        config.tlb.name().to_owned(),
        config.tlb == TlbMode::Model,
    );
    push(
        "--time",
        config.time.name().to_owned(),
        config.time == TimeMode::Running,
    );
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parse(words: &[String]) -> MachineConfig {
        let command = MachineArgs::augment_args(clap::Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(words).expect("good words");
        let args = MachineArgs::from_arg_matches(&matches).expect("good words");
        args.config().expect("good words")
    }

    fn flat(words: Vec<(&'static str, String)>) -> Vec<String> {
        words
            .into_iter()
            .flat_map(|(n, v)| [n.to_owned(), v])
            .collect()
    }

    #[test]
    fn defaults_are_the_library_s() {
        assert_eq!(parse(&[]), MachineConfig::default());
        assert!(words(&MachineConfig::default(), DEFAULT_RAM, false).is_empty());
    }

    #[test]
    fn words_make_the_same_machine() {
        let mut cpu = CpuModel::of(Vendor::Amd);
        cpu.features.smap = false;
        cpu.knobs.set_a_on_failed_walk = true;
        cpu.maxphyaddr = 40;
        let odd = MachineConfig {
            ram_size: (3 << 20) + 4096,
            cpu,
            max_insns: u64::MAX,
            success_value: 0x7f,
            tlb: TlbMode::None,
            time: TimeMode::Frozen,
        };
        for config in [MachineConfig::default(), odd] {
            for full in [false, true] {
                assert_eq!(parse(&flat(words(&config, DEFAULT_RAM, full))), config);
            }
        }
    }
}
