//! `meditopia status --store`: what waits in a whole fleet, who delivers it, and what stops delivery.

pub mod snapshot;
mod table;

use std::process::ExitCode;

use meditopia_fleet::address::Address;
use meditopia_fleet::look::Look;

use self::snapshot::FleetSnapshot;
use super::{Options, redraw};
use crate::failure::Failure;
use crate::options::typed::Typed;
use crate::output::Output;
use crate::times::Zone;

/// Prints the state of the fleet, once or again and again.
pub fn run(address: &Address, typed: &Typed, options: &Options) -> Result<ExitCode, Failure> {
    let mut look = Look::open(address)?;
    let mut out = options.output.open();
    let shown = address.shown();
    let Some(every) = options.watch else {
        let snapshot = FleetSnapshot::with_rate(&mut look, shown)?;
        print(&snapshot, typed, options, &mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    let zone = Zone::new(options.output.utc);
    let redraws = options.redraws();
    let mut before: Option<FleetSnapshot> = None;
    loop {
        let snapshot = FleetSnapshot::take(&mut look, shown)?;
        let snapshot = match &before {
            Some(before) => snapshot.with_rate_since(before),
            None => snapshot,
        };
        if redraws {
            let lines = table::lines(&snapshot, typed, &zone, &out);
            redraw(&lines, snapshot.figures.now_ms, &zone, &mut out)?;
        } else if options.output.json {
            out.line(snapshot.to_json().to_string())?;
        } else {
            out.line(table::line(&snapshot, &zone))?;
        }
        out.flush()?;
        before = Some(snapshot);
        std::thread::sleep(every);
    }
}

fn print(
    snapshot: &FleetSnapshot,
    typed: &Typed,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    if options.output.json {
        return out.line(snapshot.to_json().to_string());
    }
    for line in table::lines(snapshot, typed, &Zone::new(options.output.utc), out) {
        out.line(line)?;
    }
    Ok(())
}
