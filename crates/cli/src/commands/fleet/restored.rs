//! `meditopia fleet restored`: what a database that was set back can say of what it has forgotten.

use std::process::ExitCode;

use meditopia_fleet::look::Look;
use meditopia_fleet::look::figures::Figures;
use meditopia_fleet::look::restored::Restored;
use meditopia_fleet::members::{self, Host};
use serde_json::json;

use super::RestoredOptions;
use crate::failure::Failure;
use crate::output::{Output, event_count, grouped, sanitize};
use crate::times::{Zone, show_span};

pub(super) fn restored(options: &RestoredOptions) -> Result<ExitCode, Failure> {
    let zone = Zone::new(options.output.utc);
    let since_ms = zone.parse("--since", &options.since)?;
    let mut look = Look::open(&options.store.address()?)?;
    let known = look.restored(since_ms)?;
    let figures = look.figures()?;
    let hosts = members::hosts(&mut look.connection)?;
    let mut out = options.output.open();
    match options.output.json {
        true => out.line(to_json(since_ms, &known, &figures, &hosts))?,
        false => {
            for line in lines(options, since_ms, &known, &figures, &zone) {
                out.line(line)?;
            }
            print_hosts(&hosts, figures.now_ms, &zone, &mut out)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn lines(
    options: &RestoredOptions,
    since_ms: i64,
    known: &Restored,
    figures: &Figures,
    zone: &Zone,
) -> Vec<String> {
    let typed = options.store.typed();
    let mut lines = Vec::new();
    if known.living_relays > 0 {
        lines.push(format!(
            "{} alive already, and may deliver what this list is about; to stop them: {}",
            match known.living_relays {
                1 => "1 relay is".to_owned(),
                relays => format!("{relays} relays are"),
            },
            typed.command("hold")
        ));
    }
    lines.push(match known.last_used_ms {
        Some(at) => format!(
            "the database was used last at {}; it knows nothing of what came after that",
            zone.show(at)
        ),
        None => "no host and no relay has ever used the database".to_owned(),
    });
    lines.push(format!(
        "delivered since {}, as far as it knows: {} in {} requests{}",
        zone.show(since_ms),
        event_count(known.events),
        grouped(known.requests),
        match known.requests {
            0 => String::new(),
            _ => format!(
                "; to list them: {} --since {}",
                typed.command("receipts list"),
                iso(since_ms)
            ),
        }
    ));
    lines.push(format!(
        "pending now: {}, {} of them in doubt; what was delivered of these after the database was used last is delivered again",
        event_count(figures.pending()),
        grouped(figures.in_doubt),
    ));
    lines
}

/// Hosts forward again what their journals keep, and what the database lacks of that.
fn print_hosts(hosts: &[Host], now_ms: i64, zone: &Zone, out: &mut Output) -> Result<(), Failure> {
    for host in hosts {
        let what = match host.closed {
            true => "closed; what it handed in later is lost, if it has ended",
            false => {
                "what it handed in since comes again, if its journal keeps it: see its forward_keep_s, and its log"
            }
        };
        out.line(format!(
            "host {}  seen at {} ({} ago)  {}  spool {}  {what}",
            sanitize(&host.name),
            zone.show(host.seen_ms),
            show_span(now_ms - host.seen_ms),
            event_count(host.events.unsigned_abs()),
            host.spool,
        ))?;
    }
    Ok(())
}

fn to_json(since_ms: i64, known: &Restored, figures: &Figures, hosts: &[Host]) -> String {
    let host = |host: &Host| {
        json!({
            "name": host.name, "spool": host.spool, "seen_ms": host.seen_ms, "events": host.events,
            "closed": host.closed, "behind_bytes": host.behind_bytes,
        })
    };
    json!({
        "since_ms": since_ms, "last_used_ms": known.last_used_ms, "delivered_since": known.events,
        "requests_since": known.requests, "living_relays": known.living_relays, "pending": figures.pending(),
        "in_doubt": figures.in_doubt, "hosts": hosts.iter().map(host).collect::<Vec<_>>(),
    })
    .to_string()
}

/// A time that any host reads as this one.
fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
