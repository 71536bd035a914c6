//! The command that makes a trace again, and the header that holds it.

use std::path::Path;

use iretrace::load::Image;
use iretrace::machine::MachineConfig;
use iretrace::schedule::Injection;
use iretrace::trace::filter::CLASS_NAMES;
use iretrace::trace::{EventClass, Header};
use serde_json::{Map, json};

use super::image_args::{ImageArgs, describe};
use super::machine_args;
use super::run::Format;
use super::until::UntilArg;

/// Everything that the text of a trace is a function of.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// What is loaded.
    pub image_args: &'a ImageArgs,
    /// The machine.
    pub config: &'a MachineConfig,
    /// The RAM that such an image is given by default.
    pub default_ram: u64,
    /// The file of the state in which it begins.
    pub state: Option<&'a Path>,
    /// Where it ends.
    pub until: Option<&'a UntilArg>,
    /// What is injected, in order.
    pub schedule: &'a [Injection],
    /// What is traced.
    pub events: EventClass,
    /// `--events` as it was given.
    pub events_list: Option<&'a str>,
    /// The format.
    pub format: Format,
    /// Walks level by level.
    pub verbose: bool,
}

/// The words of `--events` for `events`.
pub fn event_words(events: EventClass) -> String {
    let words: Vec<&str> = CLASS_NAMES
        .iter()
        .filter(|(_, class, _)| events.contains(*class))
        .map(|(word, ..)| *word)
        .collect();
    words.join(",")
}

impl Recipe<'_> {
    /// The whole command. A JSON Lines header spells the defaults out, since another version may
    /// have others; the header of a text is for people.
    pub fn words(&self) -> Vec<String> {
        let full = self.format == Format::Jsonl;
        let mut words = vec!["iretrace".to_owned(), "run".to_owned()];
        let image = self.image_args.image.to_string_lossy();
        // Options may follow, also those that others add.
        let here = if image.starts_with('-') { "./" } else { "" };
        words.push(format!("{here}{image}"));
        let mut push = |name: &str, value: String| {
            if value.starts_with('-') {
                words.push(format!("{name}={value}"));
            } else {
                words.extend([name.to_owned(), value]);
            }
        };
        for (name, value) in machine_args::words(self.config, self.default_ram, full) {
            push(name, value);
        }
        for (name, value) in self.image_args.words() {
            push(name, value);
        }
        if let Some(path) = self.state {
            push("--load", path.to_string_lossy().into_owned());
        }
        if let Some(until) = self.until {
            push("--until", until.shown());
        }
        for injection in self.schedule {
            push(injection.option(), injection.argument());
        }
        match self.events_list {
            _ if full => push("--events", event_words(self.events)),
            Some(list) => push("--events", list.to_owned()),
            None => {}
        }
        if full {
            push("--format", "jsonl".to_owned());
        }
        if self.image_args.flat {
            words.push("--flat".to_owned());
        }
        if self.verbose && !full {
            words.push("--verbose".to_owned());
        }
        words
    }

    /// The header of the trace of `image`; `state`: the hash of the state in which it begins.
    pub fn header(&self, image: &Image, state: Option<&str>) -> Header {
        let mut header = Header::new(describe(image), &self.config.cpu);
        header.config = self.settings(state);
        header.schedule = self.schedule.iter().map(ToString::to_string).collect();
        header.argv = self.words();
        header
    }

    fn settings(&self, state: Option<&str>) -> Map<String, serde_json::Value> {
        let args = self.image_args;
        let folders = args.include.iter().map(|p| Path::to_string_lossy(p));
        let defines = args.define.iter().map(ToString::to_string);
        let limit = (self.config.max_insns != u64::MAX).then_some(self.config.max_insns);
        let settings = [
            ("ram_size", json!(self.config.ram_size)),
            ("max_insns", json!(limit)),
            ("success_value", json!(self.config.success_value)),
            ("tlb", json!(self.config.tlb.name())),
            ("time", json!(self.config.time.name())),
            ("until", json!(self.until.map(UntilArg::shown))),
            ("events", json!(event_words(self.events))),
            ("flat", json!(args.flat)),
            ("base", json!(args.base.map(|b| format!("{b:#x}")))),
            ("include", json!(folders.collect::<Vec<_>>())),
            ("define", json!(defines.collect::<Vec<_>>())),
            (
                "initrd",
                json!(args.initrd.as_ref().map(|p| p.to_string_lossy())),
            ),
            ("append", json!(args.append)),
            ("load", json!(state)),
        ];
        settings
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use iretrace::trace::DEFAULT_CLASSES;

    use super::*;

    #[derive(clap::Parser)]
    struct Args {
        #[command(flatten)]
        image: ImageArgs,
    }

    /// Whoever has the words may add more of them.
    #[test]
    fn an_image_whose_name_begins_like_an_option_is_none() {
        let args = Args::parse_from(["run", "--", "-x.S"]).image;
        let config = MachineConfig::default();
        let recipe = Recipe {
            image_args: &args,
            config: &config,
            default_ram: config.ram_size,
            state: Some(Path::new("-s")),
            until: None,
            schedule: &[],
            events: DEFAULT_CLASSES,
            events_list: None,
            format: Format::Text,
            verbose: false,
        };
        let words = recipe.words();
        assert_eq!(words, ["iretrace", "run", "./-x.S", "--load=-s"]);
    }
}
