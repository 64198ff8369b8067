//! What `meditopia adopt` says about a copy whose files are of different moments.

use std::path::Path;

use jiff::Timestamp;
use meditopia::internals::client::Comparison;
use meditopia::internals::spelling::shell_word;

use crate::failure::Failure;
use crate::output::print_line;

/// Prints what does not fit, and what to do about it; nothing if all fits.
pub fn print(dir: &Path, compared: &Comparison) -> Result<(), Failure> {
    let salvage = &compared.salvage;
    for mismatch in &compared.mismatches {
        print_line(format_args!("copied at another moment: {mismatch}"))?;
    }
    if salvage.lost_rejected > 0 {
        print_line(format_args!(
            "copied at another moment: at most {} rejected events are missing",
            salvage.lost_rejected
        ))?;
    }
    if let Some(damage) = &salvage.damage {
        print_line(format_args!(
            "the store cannot be used as it is: {damage}; nothing will be sent before: meditopia recover {} --yes",
            shell_word(&dir.display().to_string())
        ))?;
    }
    if let Some(seen) = compared.sender_ran_ms {
        let seen = Timestamp::from_millisecond(seen).unwrap_or_default();
        print_line(format_args!(
            "a sender worked on the original at {seen:.0}, while or just before it was copied; if it still ran, events that it took over meanwhile may be missing here without a trace, and what it delivered meanwhile is sent again: {} events wait here",
            salvage.pending
        ))?;
    }
    Ok(())
}
