//! `meditopia forget`: everything that a spool holds of one user is erased, for a request to erase it.

use std::process::ExitCode;
use std::time::Duration;

use meditopia::Erasure;

use crate::failure::{EVENTS_LEFT, Failure};
use crate::options::confirmation::Confirmation;
use crate::options::spool::SpoolOptions;
use crate::options::typed::Typed;
use crate::output::{event_count, print_line};

/// The last part of `--help`.
pub const EXAMPLES: &str = "What was enqueued before the command is erased: events that wait, rejected ones, receipts. What is
enqueued while it runs may be erased or stay. When it returns, the bytes of what is erased are in no
file of the spool, but for what it names. Requests that have left cannot be taken back, and what was
delivered is at Meditopia. Stop what enqueues the user's events first.

Exit status: 0 nothing is left, 1 failed, 2 wrong usage, 3 needs confirmation: at the terminal, or
by --yes, 6 something is left: the output says what and until when. After 1 and 6 the same command
goes on.

Examples:
  meditopia forget /var/spool/shop --user u-17";

/// The arguments of `meditopia forget`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// The partner_user_id
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user: String,
    /// How long to wait for a request with events of the user, and for the sender
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Erases, and says what is left.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (client, typed) = options.spool.open_to_change_typed()?;
    options
        .confirmation
        .ask("erase all events and receipts of this user for good")?;
    let timeout = Duration::from_secs(options.timeout.into());
    let erasure = client.forget_user(&options.user, timeout)?;
    match options.json {
        true => print_line(json(&erasure))?,
        false => print_line(sentences(&erasure, &typed))?,
    }
    Ok(match erasure.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EVENTS_LEFT),
    })
}

fn json(erasure: &Erasure) -> serde_json::Value {
    serde_json::json!({
        "pending": erasure.pending,
        "rejected": erasure.rejected,
        "receipts": erasure.receipts,
        "in_flight": erasure.in_flight,
        "files": erasure.files,
        "complete": erasure.is_complete(),
    })
}

fn sentences(erasure: &Erasure, typed: &Typed) -> String {
    let waiting = match erasure.pending {
        1 => "1 waiting event".to_owned(),
        _ => event_count(erasure.pending).replacen("event", "waiting event", 1),
    };
    let receipts = match erasure.receipts {
        1 => "1 receipt".to_owned(),
        receipts => format!("{receipts} receipts"),
    };
    let mut text = format!(
        "erased: {waiting}, {} rejected, the user's part of {receipts}",
        erasure.rejected
    );
    if erasure.in_flight > 0 {
        text += &format!(
            "\nin flight: {}; a request with them was sent or is being sent and no answer has settled it: it cannot be taken back. Their bytes stay until it is answered and this command is run again; to see what is not settled: {}",
            event_count(erasure.in_flight),
            typed.command("in-doubt list")
        );
    }
    match erasure.files.as_slice() {
        [] if erasure.in_flight == 0 => {
            text += "\nnothing of the user is left in the spool: the bytes are in none of its files any more";
        }
        [] => {}
        files => {
            text += "\nthe user still stands in:";
            for file in files {
                text += &format!("\n  {file}{}", until(file, erasure.in_flight));
            }
        }
    }
    text
}

/// What a file that is left is, and when it goes.
fn until(file: &str, in_flight: u64) -> &'static str {
    match file.split('/').next() {
        Some("damaged") => {
            ": bytes that could not be read, set aside; remove the file if you need it no more"
        }
        Some("import") => {
            ": an import that is under way or was interrupted; end it, then run this command again"
        }
        Some("sender.json") => {
            ": a message of the API, of a request that failed; run this command again"
        }
        Some("commands") => ": what was no command, put aside; run this command again",
        _ if in_flight > 0 => ": until the request is answered, and this command is run again",
        _ => ": enqueued since this command began; stop what enqueues them, then run it again",
    }
}
