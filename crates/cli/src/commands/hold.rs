//! `meditopia hold` and `meditopia resume`: an operator's pause, and the end of any pause.

use std::process::ExitCode;

use crate::failure::{Failure, USAGE};
use crate::options::source::SourceOptions;
use crate::output::{event_count, fleet, print_line};
use crate::source::Source;
use crate::times::Zone;

/// The last part of `meditopia hold --help`.
pub const HOLD_EXAMPLES: &str =
    "Applications can still enqueue, and every event is kept. The hold outlasts any restart.

Examples:
  meditopia hold /var/spool/shop
  meditopia resume /var/spool/shop    # sends again
  meditopia hold --store-file /etc/meditopia/store --reason 'account moves'";

/// The last part of `meditopia resume --help`.
pub const RESUME_EXAMPLES: &str =
    "This ends a hold, a pause for any other reason, and the wait after a failed request: the next
request is sent at once. If the cause remains, the API's next answer pauses delivery again. A
damaged store cannot be resumed: see meditopia recover.

--accept-rejections is for many users that the API does not know: so many events are rejected without
another pause (mass_rejection), then the count of brake_users begins anew. They are kept with the rejected
events, and can be requeued. 0 takes back what is left of an earlier number. Of a fleet, the number is spread
over its lanes.

Examples:
  meditopia resume /var/spool/shop    # once the cause of the pause is gone
  meditopia resume /var/spool/shop --accept-rejections 3000
  meditopia resume --store-file /etc/meditopia/store";

/// The arguments of `meditopia hold`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// Of a fleet: why, for others who look at it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The arguments of `meditopia resume`.
#[derive(clap::Args)]
pub struct ResumeOptions {
    #[command(flatten)]
    source: SourceOptions,
    /// Let the API reject this many more events before delivery pauses for mass_rejection again
    #[arg(long, value_name = "EVENTS")]
    accept_rejections: Option<u64>,
}

/// Stops sending from the spool, or of the fleet.
pub fn hold(options: &Options) -> Result<ExitCode, Failure> {
    let (mut source, typed) = options.source.open_to_change_typed()?;
    if let (Source::Spool(_), Some(_)) = (&source, &options.reason) {
        return Err(Failure::new(
            USAGE,
            "--reason: only the hold of a fleet has one; leave it out, or give --store",
        ));
    }
    let resume = typed.command("resume");
    match source.hold(options.reason.as_deref())? {
        Some(hold) => {
            let held = fleet::held(&hold, &Zone::new(false));
            print_line(format_args!("{held}; no relay sends until: {resume}"))?;
        }
        None => print_line(format_args!("held: nothing is sent until: {resume}"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends any pause of the spool or the fleet.
pub fn resume(options: &ResumeOptions) -> Result<ExitCode, Failure> {
    let (mut source, typed) = options.source.open_to_change_typed()?;
    let resumed = source.resume(options.accept_rejections)?;
    match resumed.was {
        Some(reason) => print_line(format_args!("resumed: delivery was paused ({reason})"))?,
        None => print_line(
            "resumed: delivery was not paused; a wait after a failed request, if any, is over",
        )?,
    }
    if resumed.without_owner > 0 {
        print_line(format_args!(
            "no relay owns {}: what they wait for ends as soon as one does",
            fleet::lane_count(resumed.without_owner)
        ))?;
    }
    if let Some(rejections) = options.accept_rejections {
        print_line(format_args!(
            "up to {} may be rejected before many refusals pause delivery again; to see them: {}",
            event_count(rejections),
            typed.command("rejected list")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
