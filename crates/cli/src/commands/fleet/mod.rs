//! `meditopia fleet`: sets a fleet's database up, upgrades it, and lists its hosts, relays and lanes.

mod lists;
mod restored;
mod setup;

use std::process::ExitCode;

use crate::failure::Failure;
use crate::options::store::StoreArguments;
use crate::output::OutputOptions;

/// The last part of `--help`.
pub const EXAMPLES: &str = "Who sets a fleet up may create roles, and schemas in the database. Everybody else needs one of the roles
meditopia_forward (hosts), meditopia_enqueue (applications that enqueue by SQL), meditopia_relay (relays and
operators) or meditopia_read (who only looks).

Exit status: 0 done, 1 failed, 2 wrong usage or configuration.

Examples:
  meditopia fleet init --store-file /etc/meditopia/store
  meditopia fleet hosts --store-file /etc/meditopia/store";

const INIT_EXAMPLES: &str = "Examples:
  meditopia fleet init --store-file /etc/meditopia/store
  meditopia fleet init --store postgres://admin@db/shop --lanes 64";

const UPGRADE_EXAMPLES: &str = "Examples:
  meditopia fleet upgrade --store-file /etc/meditopia/store";

const SQL_EXAMPLES: &str = "Examples:
  meditopia fleet sql --lanes 16 > fleet.sql       # for psql --file fleet.sql";

const HOSTS_EXAMPLES: &str = "Examples:
  meditopia fleet hosts --store-file /etc/meditopia/store
  meditopia fleet hosts --store-file /etc/meditopia/store --json";

const RELAYS_EXAMPLES: &str = "Examples:
  meditopia fleet relays --store-file /etc/meditopia/store";

const LANES_EXAMPLES: &str = "Examples:
  meditopia fleet lanes --store-file /etc/meditopia/store";

const ADOPT_EXAMPLES: &str = "Examples:
  meditopia fleet adopt --store-file /etc/meditopia/store";

const RESTORED_EXAMPLES: &str = "Before relays are started again after a restore or a failover to an older state. A database cannot know what it has
forgotten: this says what it does know. The receipts of the old server, if it can still be read, say it exactly.

Examples:
  meditopia fleet restored --since '2h ago' --store-file /etc/meditopia/store";

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum Fleet {
    /// Set a fleet up in a database: schema and roles
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitOptions),
    /// Bring the schema of an older version to that of this program
    #[command(after_help = UPGRADE_EXAMPLES)]
    Upgrade(StoreOnly),
    /// Print the SQL that init runs, for a DBA who runs it by hand
    #[command(after_help = SQL_EXAMPLES)]
    Sql(PlanOptions),
    /// List the hosts that forward: how far, and since when one is behind
    #[command(after_help = HOSTS_EXAMPLES)]
    Hosts(ListOptions),
    /// List the relays that deliver, and those that the API refuses
    #[command(after_help = RELAYS_EXAMPLES)]
    Relays(ListOptions),
    /// List the lanes, the relay that owns each, and what was delivered
    #[command(after_help = LANES_EXAMPLES)]
    Lanes(ListOptions),
    /// Use a database that was restored, moved or copied: no other copy may ever be used again
    #[command(after_help = ADOPT_EXAMPLES)]
    Adopt(AdoptOptions),
    /// After a restore: what may be delivered again, and whose events the database may lack
    #[command(after_help = RESTORED_EXAMPLES)]
    Restored(RestoredOptions),
}

/// The arguments of `restored`.
#[derive(clap::Args)]
pub struct RestoredOptions {
    #[command(flatten)]
    store: StoreArguments,
    /// The time of the state that was restored: 2026-11-20T14:00:00Z, '2h ago'
    #[arg(long, value_name = "TIME")]
    since: String,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of `init`.
#[derive(clap::Args)]
pub struct InitOptions {
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    plan: PlanOptions,
}

/// What a fleet is set up with.
#[derive(clap::Args)]
pub struct PlanOptions {
    /// Over how many lanes users are spread: so many requests may be in flight at once
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    lanes: u16,
    /// The URL that events are posted to; by default that of the Partners API
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The account that the events are of
    #[arg(long, value_name = "TEXT", default_value = "")]
    account: String,
    /// The UTC offset that the times of events which SQL enqueues are converted to
    #[arg(
        long,
        value_name = "OFFSET",
        default_value = "+00:00",
        allow_hyphen_values = true
    )]
    utc_offset: String,
    /// The largest event that SQL enqueues, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    max_event_bytes: u32,
}

/// The arguments of `upgrade`.
#[derive(clap::Args)]
pub struct StoreOnly {
    #[command(flatten)]
    store: StoreArguments,
}

/// The arguments of the lists.
#[derive(clap::Args)]
pub struct ListOptions {
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    output: OutputOptions,
}

/// The arguments of `adopt`.
#[derive(clap::Args)]
pub struct AdoptOptions {
    #[command(flatten)]
    store: StoreArguments,
    /// The new endpoint for all its events; by default the present one
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The new account that it belongs to; by default the present one
    #[arg(long, value_name = "TEXT")]
    account: Option<String>,
}

/// Carries out the subcommand.
pub fn run(command: &Fleet) -> Result<ExitCode, Failure> {
    match command {
        Fleet::Init(options) => setup::init(options),
        Fleet::Upgrade(options) => setup::upgrade(options),
        Fleet::Sql(options) => setup::print_sql(options),
        Fleet::Hosts(options) => lists::hosts(options),
        Fleet::Relays(options) => lists::relays(options),
        Fleet::Lanes(options) => lists::lanes(options),
        Fleet::Adopt(options) => setup::adopt(options),
        Fleet::Restored(options) => restored::restored(options),
    }
}
