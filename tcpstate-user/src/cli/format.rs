//! Options of every command that prints lines: their format.

/// How lines are printed.
#[derive(Clone, Debug, clap::Args)]
pub struct FormatArgs {
    /// Format of the lines
    #[arg(long, value_enum, default_value_t = Kind::Text)]
    format: Kind,
    /// Comma-separated values with a header; the same as --format csv
    #[arg(short = 's', long, conflicts_with_all = ["json", "format"])]
    csv: bool,
    /// One JSON object a line; the same as --format json
    #[arg(short = 'J', long, conflicts_with = "format")]
    json: bool,
}

/// Formats of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Columns, as bcc's tools print them
    Text,
    /// Comma-separated values
    Csv,
    /// JSON lines
    Json,
}

impl FormatArgs {
    /// What was meant.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (self.csv, self.json) {
            (true, _) => Kind::Csv,
            (_, true) => Kind::Json,
            (false, false) => self.format,
        }
    }
}
