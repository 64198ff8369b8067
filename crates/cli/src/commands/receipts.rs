//! `meditopia receipts`: which requests the API accepted, when, and of which users.

use std::process::ExitCode;

use meditopia::{EventKind, Receipt, ReceiptFilter};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::options::list::ListOptions;
use crate::output::{Output, OutputOptions, Tone, event_count, grouped, sanitize};
use crate::source::Source;
use crate::times::Zone;

/// The last part of `--help`.
pub const EXAMPLES: &str = "Receipts are kept for receipts_days, by default 7; 0 keeps none.

Examples:
  meditopia receipts list /var/spool/shop --since '2h ago'
  meditopia receipts list /var/spool/shop --user u-17 --since '2 days ago'
  meditopia receipts list /var/spool/shop --json | jq -c '.users | keys'
  meditopia receipts list --store-file /etc/meditopia/store --since '2h ago'";

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum Receipts {
    /// List the delivered requests, one per line, by the time of their delivery: time, status,
    /// events, kinds, users
    #[command(after_help = EXAMPLES)]
    List(ListOptions),
}

/// Carries out the subcommand.
pub fn run(command: &Receipts) -> Result<ExitCode, Failure> {
    let Receipts::List(options) = command;
    let (from_ms, until_ms) = options.period()?;
    let filter = ReceiptFilter {
        user: options.user.clone(),
        from_ms,
        until_ms,
        ..ReceiptFilter::default()
    };
    let mut source = options.source.open_to_read()?;
    let mut out = options.output.open();
    let printed = print_all(
        &mut source,
        &filter,
        options.limit(),
        &options.output,
        &mut out,
    )?;
    if printed == 0 && !options.output.json {
        out.line("no receipt matches; receipts are kept for receipts_days")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the receipts that match `filter`, and returns their number. If the filter names a user,
/// only that user's share of each request is shown.
pub fn print_all(
    source: &mut Source,
    filter: &ReceiptFilter,
    limit: u64,
    options: &OutputOptions,
    out: &mut Output,
) -> Result<u64, Failure> {
    let zone = Zone::new(options.utc);
    let mut receipts = source.receipts(filter)?;
    let mut printed = 0;
    while printed < limit
        && let Some(receipt) = receipts.next_receipt()?
    {
        let user = filter.user.as_deref();
        match options.json {
            true => out.line(to_json(&receipt, user).to_string())?,
            false => out.line(line(&receipt, user, &zone, out))?,
        }
        printed += 1;
    }
    Ok(printed)
}

/// How many events of each kind the request had: of one user, or of all.
fn counts(receipt: &Receipt, user: Option<&str>) -> [u32; EventKind::ALL.len()] {
    let share = receipt
        .users
        .iter()
        .find(|share| Some(share.user.as_str()) == user);
    share.map_or_else(|| receipt.kinds(), |share| share.kinds)
}

fn line(receipt: &Receipt, user: Option<&str>, zone: &Zone, out: &Output) -> String {
    const SHOWN: usize = 5;
    let counts = counts(receipt, user);
    let kinds = EventKind::ALL
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0);
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| format!("{count} {}", kind.name()))
        .collect();
    let users = match user {
        Some(user) => sanitize(user),
        None => {
            let users = receipt
                .users
                .iter()
                .take(SHOWN)
                .map(|share| sanitize(&share.user));
            let mut users = users.collect::<Vec<_>>().join(" ");
            if receipt.users.len() > SHOWN {
                users += &format!(
                    " and {} more users",
                    grouped((receipt.users.len() - SHOWN) as u64)
                );
            }
            users
        }
    };
    let total: u32 = counts.iter().sum();
    let delivered = out.paint(Tone::Good, "delivered");
    format!(
        "{}  {delivered} {} ({})  HTTP {}, {} attempt{}  {users}",
        zone.show(receipt.time_ms),
        event_count(total.into()),
        kinds.join(", "),
        receipt.http_status,
        receipt.attempts,
        if receipt.attempts == 1 { "" } else { "s" },
    )
}

fn to_json(receipt: &Receipt, user: Option<&str>) -> Value {
    let by_name = |counts: [u32; EventKind::ALL.len()]| {
        let kinds = EventKind::ALL
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0);
        Value::Object(
            kinds
                .map(|(kind, count)| (kind.name().to_owned(), count.into()))
                .collect(),
        )
    };
    let shares = receipt.users.iter();
    let shares = shares.filter(|share| user.is_none_or(|user| share.user == user));
    let users: Map<String, Value> = shares
        .map(|share| (share.user.clone(), by_name(share.kinds)))
        .collect();
    json!({
        "id": receipt.id,
        "reason": "delivered",
        "time_ms": receipt.time_ms,
        "http_status": receipt.http_status,
        "attempts": receipt.attempts,
        "events": receipt.events,
        "users": users,
    })
}
