//! The table that the benchmark prints.

/// What the project wants to reach.
pub enum Target {
    /// No figure was set.
    None,
    /// At least this much of what the row is compared with.
    Ratio(f64),
    /// At least so much a second, on the computer on which the aim was set.
    Rate(f64),
}

/// One measurement: rates a second.
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub ours: f64,
    /// What it is compared with, and the median of the ratios.
    pub other: Option<(f64, f64)>,
    pub target: Target,
}

pub const HEAD: &str =
    "what                                        iretrace    compared  ratio  target         unit";

/// `1234567.0` as `1.23 M`.
fn short(rate: f64) -> String {
    match rate {
        r if r >= 1e9 => format!("{:.2} G", r / 1e9),
        r if r >= 1e6 => format!("{:.2} M", r / 1e6),
        r if r >= 1e3 => format!("{:.1} k", r / 1e3),
        r => format!("{r:.1}  "),
    }
}

impl Row {
    pub fn print(&self) {
        let (other, ratio) = match self.other {
            Some((other, ratio)) => (short(other), format!("{ratio:.2}")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let (target, reached) = match self.target {
            Target::None => ("-".to_owned(), true),
            Target::Ratio(least) => (
                format!(">= {least:.2}"),
                self.other.is_some_and(|(_, ratio)| ratio >= least),
            ),
            Target::Rate(least) => (format!(">= {}", short(least)), self.ours >= least),
        };
        println!(
            "{:<41} {:>10}  {:>10}  {ratio:>5}  {target:<9} {}  {}",
            self.name,
            short(self.ours),
            other,
            if reached { "   " } else { "no " },
            self.unit,
        );
    }
}
