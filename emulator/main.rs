//! The command line.

use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, Until};
use iretrace::trace::{DEFAULT_CLASSES, Filtered, RecordWriter, TextOptions, TextWriter};

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let image =
        Image::open(std::path::Path::new(&name), &LoadOptions::default()).unwrap_or_else(|e| {
            eprintln!("{e}");
            std::process::exit(96)
        });
    let image = std::sync::Arc::new(image);
    let mut config = MachineConfig {
        max_insns: 1_000_000,
        ..Default::default()
    };
    if std::env::args().any(|a| a == "amd") {
        config.cpu = iretrace::arch::CpuModel::of(iretrace::arch::Vendor::Amd);
    }
    let mut m = Machine::new(config).unwrap();
    m.load(&image).unwrap();
    let mut classes = DEFAULT_CLASSES;
    if std::env::args().any(|a| a == "insn") {
        classes |= iretrace::trace::EventClass::INSN;
    }
    m.add_sink(Box::new(Filtered::new(
        classes,
        TextWriter::new(
            RecordWriter::new(std::io::stdout()),
            image.clone(),
            TextOptions::default(),
        ),
    )));
    let stop = m.run(Until::Never);
    m.finish().unwrap();
    eprintln!("{stop}; {:?}", m.notes());
}
