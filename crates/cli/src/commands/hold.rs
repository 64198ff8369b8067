//! `meditopia hold` and `meditopia resume`: an operator's pause, and the end of any pause.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::options::spool::SpoolOptions;
use crate::output::{event_count, print_line};

/// The last part of `meditopia hold --help`.
pub const HOLD_EXAMPLES: &str =
    "Applications can still enqueue, and every event is kept. The hold outlasts any restart.

Examples:
  meditopia hold /var/spool/shop
  meditopia resume /var/spool/shop    # sends again";

/// The last part of `meditopia resume --help`.
pub const RESUME_EXAMPLES: &str =
    "This ends a hold, a pause for any other reason, and the wait after a failed request: the next
request is sent at once. If the cause remains, the API's next answer pauses delivery again. A
damaged store cannot be resumed: see meditopia recover.

--accept-rejections is for many users that the API does not know: so many events are rejected without
another pause (mass_rejection), then the count of brake_users begins anew. They are kept with the rejected
events, and can be requeued. 0 takes back what is left of an earlier number.

Examples:
  meditopia resume /var/spool/shop    # once the cause of the pause is gone
  meditopia resume /var/spool/shop --accept-rejections 3000";

/// The arguments of `meditopia hold`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
}

/// The arguments of `meditopia resume`.
#[derive(clap::Args)]
pub struct ResumeOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    /// Let the API reject this many more events before delivery pauses for mass_rejection again
    #[arg(long, value_name = "EVENTS")]
    accept_rejections: Option<u64>,
}

/// Stops sending from the spool.
pub fn hold(options: &Options) -> Result<ExitCode, Failure> {
    let (client, typed) = options.spool.open_to_change_typed()?;
    client.hold()?;
    print_line(format_args!(
        "held: nothing is sent until: {}",
        typed.command("resume")
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Ends any pause of the spool.
pub fn resume(options: &ResumeOptions) -> Result<ExitCode, Failure> {
    let (client, typed) = options.spool.open_to_change_typed()?;
    let before = client.stats()?.paused;
    match options.accept_rejections {
        Some(rejections) => client.resume_allowing(rejections)?,
        None => client.resume()?,
    }
    match before {
        Some(reason) => print_line(format_args!("resumed: delivery was paused ({reason})"))?,
        None => print_line(
            "resumed: delivery was not paused; a wait after a failed request, if any, is over",
        )?,
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
