//! The commands that are measured: how each is called, and what it may cost.
use clap::ValueEnum;

/// A command of the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// hist
    Hist,
    /// serve, scraped once a second
    Serve,
    /// top, on a terminal
    Top,
    /// record, into a file
    Record,
    /// trace, into a file
    Trace,
    /// trace -J, into a file
    TraceJson,
    /// life, into a file
    Life,
}

/// What a command may cost; `None` where nothing is promised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bars {
    /// BPF and CPU together, ns per transition.
    pub total_ns: Option<f64>,
    /// Connections/s kept, of 1.
    pub kept: Option<f64>,
    /// Run time at the main tracepoint, against a program that only counts.
    pub main_ratio: Option<f64>,
}

impl Command {
    /// As in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hist => "hist",
            Self::Serve => "serve",
            Self::Top => "top",
            Self::Record => "record",
            Self::Trace => "trace",
            Self::TraceJson => "trace -J",
            Self::Life => "life",
        }
    }

    /// What it may cost.
    pub fn bars(self) -> Bars {
        let (total_ns, kept, main_ratio) = match self {
            Self::Hist | Self::Serve | Self::Top => (400.0, 0.9, 3.0),
            Self::Record => (600.0, 0.8, 3.0),
            Self::Trace | Self::TraceJson => (1200.0, 0.65, 3.0),
            Self::Life => return Bars::default(),
        };
        Bars {
            total_ns: Some(total_ns),
            kept: Some(kept),
            main_ratio: Some(main_ratio),
        }
    }
}
