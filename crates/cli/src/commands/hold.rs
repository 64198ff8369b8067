//! `meditopia hold` and `meditopia resume`: the operator's pause, and the end of any pause.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::options::spool::SpoolOptions;
use crate::output::say;

/// What `meditopia hold --help` says at its end.
pub const HOLD_EXAMPLES: &str = "Programs go on enqueueing, and every event is kept. It outlasts restarts of all of them.

Example:
  meditopia hold /var/spool/shop      nothing is sent from now on, until: meditopia resume /var/spool/shop";

/// What `meditopia resume --help` says at its end.
pub const RESUME_EXAMPLES: &str = "It ends a hold, and a pause for any other reason and the wait after a failed request, too: the next
request goes at once. If the cause is not mended the API's next answer pauses delivery again. Only a
damaged store is not for resume: see meditopia recover.

Example:
  meditopia resume /var/spool/shop    after the cause that meditopia status tells is mended";

/// The arguments of both.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
}

/// Stops sending from the spool.
pub fn hold(options: &Options) -> Result<ExitCode, Failure> {
    options.spool.act()?.hold()?;
    say("held: nothing is sent until: meditopia resume")?;
    Ok(ExitCode::SUCCESS)
}

/// Ends any pause of the spool.
pub fn resume(options: &Options) -> Result<ExitCode, Failure> {
    let client = options.spool.act()?;
    let before = client.stats()?.paused;
    client.resume()?;
    match before {
        Some(reason) => say(format_args!("resumed: delivery was paused ({reason})"))?,
        None => say("resumed: delivery was not paused; a wait after a failed request is over")?,
    }
    Ok(ExitCode::SUCCESS)
}
