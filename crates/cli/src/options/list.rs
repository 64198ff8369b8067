//! The arguments of lists that are narrowed down by user and time: `pending list` and `receipts list`.

use crate::failure::Failure;
use crate::options::spool::SpoolOptions;
use crate::output::OutputOptions;
use crate::times::{Period, Zone};

/// Which spool, what of it, and how it is printed.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    pub spool: SpoolOptions,
    /// Of this partner_user_id
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    #[command(flatten)]
    period: Period,
    /// At most so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl ListOptions {
    /// See [`Period::read`].
    pub fn period(&self) -> Result<(Option<i64>, Option<i64>), Failure> {
        self.period.read(&Zone::of(self.output.utc))
    }

    /// How many rows at most.
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }
}
