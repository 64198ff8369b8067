//! Checks a fleet: the way to its database, the database itself, the relays and the hosts.

use meditopia_fleet::address::Address;
use meditopia_fleet::look::Look;
use meditopia_fleet::look::server::{Partitions, Server};

use super::{Finding, Report};
use crate::alarms::Alarm;
use crate::commands::status::fleet::snapshot::FleetSnapshot;
use crate::failure::Failure;
use crate::fleet_alarms;
use crate::options::typed::Typed;
use crate::output::fleet::lane_count;
use crate::output::{event_count, grouped, sanitize};

/// The lines of this file that alarms belong to, and the alarms that each tells.
const LINES: [(&str, &[&str]); 4] = [
    ("relays", &["no_relay", "relay_blocked"]),
    ("delivery", &["held", "paused", "api_away", "in_doubt"]),
    ("hosts", &["host_behind"]),
    ("cleaning up", &["old_snapshot"]),
];

/// Runs all checks of a fleet.
pub fn check(address: &Address, typed: &Typed, report: &mut Report) {
    let mut look = match Look::open(address) {
        Ok(look) => look,
        Err(failure) => {
            report.add(&Finding::fail(
                "store",
                failure.message(),
                "correct this first; the other checks depend on it",
            ));
            return;
        }
    };
    if let Err(failure) = check_all(&mut look, address, typed, report) {
        report.add(&Finding::fail(
            "store",
            failure.to_string(),
            format!(
                "see that it stays reachable, then: {}",
                typed.command("doctor")
            ),
        ));
    }
}

fn check_all(
    look: &mut Look,
    address: &Address,
    typed: &Typed,
    report: &mut Report,
) -> Result<(), Failure> {
    let server = look.server()?;
    check_server(&server, look, address, typed, report);
    check_roles(&server, report);
    let can_read = server
        .roles
        .iter()
        .any(|role| role != "meditopia_forward" && role != "meditopia_enqueue");
    if !can_read {
        report.add(&Finding::warn(
            "rights",
            "with these roles nothing more can be seen",
            "for the other checks, name a user who has meditopia_read",
        ));
        return Ok(());
    }
    check_cleaning(&server, report);
    check_receipts(look.partitions()?, report);
    let snapshot = FleetSnapshot::take(look, address.shown())?;
    let mut found = fleet_alarms::of_fleet(&snapshot, typed, None);
    for (what, names) in LINES {
        let alarms: Vec<Alarm> = found
            .extract_if(.., |alarm| names.contains(&alarm.name))
            .collect();
        match alarms.is_empty() {
            true => report.add(&Finding::ok(what, well(what, &snapshot))),
            false => alarms
                .into_iter()
                .for_each(|alarm| report.add(&Finding::of(what, alarm))),
        }
    }
    Ok(())
}

fn check_server(
    server: &Server,
    look: &Look,
    address: &Address,
    typed: &Typed,
    report: &mut Report,
) {
    let place = &look.place;
    report.add(&Finding::ok(
        "store",
        format!(
            "PostgreSQL {} at {}",
            sanitize(&server.version),
            sanitize(address.shown())
        ),
    ));
    report.add(&match (place.is_at_home, server.is_standby) {
        (false, _) => Finding::fail(
            "database",
            "it is a copy, or was moved, so no relay and no host uses it",
            format!("if no other copy will ever be used: {}", typed.command("fleet adopt")),
        ),
        (true, true) => Finding::fail(
            "database",
            "it follows another server and takes no change",
            "name that one in the store's URL; with several hosts there, the one that takes changes is used",
        ),
        (true, false) => Finding::ok(
            "database",
            format!(
                "version {} of the schema, {}, events go to {}",
                place.version,
                lane_count(place.lanes.into()),
                sanitize(&place.endpoint)
            ),
        ),
    });
}

fn check_roles(server: &Server, report: &mut Report) {
    let user = sanitize(&server.user);
    report.add(&match server.roles.as_slice() {
        [] => Finding::fail(
            "roles",
            format!("{user} has none of the fleet's roles"),
            "GRANT it meditopia_read to look, meditopia_relay to deliver or to change something",
        ),
        roles => Finding::ok("roles", format!("{user} has {}", roles.join(", "))),
    });
}

fn check_cleaning(server: &Server, report: &mut Report) {
    if !server.autovacuum {
        report.add(&Finding::warn(
            "autovacuum",
            "it is off, so tables grow without an end",
            "set autovacuum and track_counts to on in the server's configuration",
        ));
    }
    if server.hidden_sessions > 0 {
        report.add(&Finding::warn(
            "sessions",
            format!(
                "{} may not see how old the transactions of {} other sessions are",
                sanitize(&server.user),
                grouped(server.hidden_sessions)
            ),
            "GRANT it pg_read_all_stats, to be told of what keeps the server from cleaning up",
        ));
    }
}

fn check_receipts(partitions: Partitions, report: &mut Report) {
    report.add(&match (partitions.has_strays, partitions.days) {
        (true, _) => Finding::warn(
            "receipts",
            "some are in meditopia.receipt_other: there was no partition for their day",
            "see that the clocks of the relays are right; delete them there once nobody needs them",
        ),
        (false, 0 | 1) => Finding::warn(
            "receipts",
            "there is no partition for tomorrow",
            "a relay makes them a week ahead; by hand: SELECT meditopia.keep_receipts(7)",
        ),
        (false, days) => Finding::ok("receipts", format!("partitions for the next {days} days")),
    });
}

fn well(what: &str, snapshot: &FleetSnapshot) -> String {
    let figures = &snapshot.figures;
    match what {
        "relays" => match snapshot.living_relays() {
            0 => "none is alive, and nothing waits for one".to_owned(),
            living => format!(
                "{} alive, {} without one",
                grouped(living as u64),
                lane_count(figures.without_owner as usize)
            ),
        },
        "delivery" => format!("{} pending", event_count(figures.pending())),
        "hosts" => format!(
            "{} known, {} behind",
            grouped(snapshot.hosts.len() as u64),
            grouped(snapshot.hosts_behind().count() as u64)
        ),
        _ => "no old transaction or unread replication slot is seen".to_owned(),
    }
}
