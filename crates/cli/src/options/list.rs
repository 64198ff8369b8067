//! The arguments of `pending list` and `receipts list`, which select by user and time.

use crate::failure::Failure;
use crate::options::source::SourceOptions;
use crate::output::OutputOptions;
use crate::times::{Period, Zone};

/// The spool or the store, the rows that are selected, and how they are printed.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    pub source: SourceOptions,
    /// List only entries of this partner_user_id
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    #[command(flatten)]
    period: Period,
    /// List at most COUNT
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl ListOptions {
    /// See [`Period::read`].
    pub fn period(&self) -> Result<(Option<i64>, Option<i64>), Failure> {
        self.period.read(&Zone::new(self.output.utc))
    }

    /// The largest number of rows to print.
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }
}
