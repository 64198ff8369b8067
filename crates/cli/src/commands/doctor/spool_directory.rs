//! Checks the spool's directory: existence, access rights, identity and disk space.

use std::io::ErrorKind;
use std::path::Path;

use meditopia::Error;
use meditopia::internals::config::Settings;
use meditopia::internals::spool::{self, Destination, GroupTrust};

use super::{Finding, Report};
use crate::alarms;
use crate::output::figures;

pub fn check(settings: &Settings, report: &mut Report) {
    let Some(dir) = &settings.spool else {
        return;
    };
    if let Err(e) = std::fs::metadata(dir) {
        report.add(&match e.kind() {
            ErrorKind::NotFound => missing(dir),
            _ => Finding::fail(
                "spool",
                format!("{}: {e}", dir.display()),
                "name a directory that belongs to this user",
            ),
        });
        return;
    }
    let trust = GroupTrust::from_setting(settings.trust_group);
    match spool::check_directory(dir, trust) {
        Ok(()) => {
            let who = match settings.trust_group {
                true => "only this user and a group that is trusted (trust_group) can write to",
                false => "only this user can write to",
            };
            report.add(&Finding::ok(
                "spool rights",
                format!("{who} {}, and it is on a local disk", dir.display()),
            ));
        }
        Err(e) if settings.allow_network_spool && e.message().contains("network") => {
            report.add(&Finding::warn("spool rights", problem(&e), "allow_network_spool is set: make sure that locks work there and that only one host uses it"));
        }
        Err(e) => report.add(&Finding::fail("spool rights", problem(&e), advice(&e))),
    }
    report.add(&writable(dir));
    let configured = Destination {
        endpoint: settings.endpoint.as_str(),
        account: &settings.account,
    };
    match spool::describe(dir) {
        Ok(known) if known.is_elsewhere => report.add(&Finding::fail(
            "spool identity",
            format!("{} is a copy of another spool", dir.display()),
            format!(
                "if the original is gone: {}",
                known.adopt_command(dir, known.destination())
            ),
        )),
        Ok(known) if known.destination() != configured => {
            report.add(&Finding::fail(
                "spool identity",
                format!(
                    "it belongs to {} (account {:?}), not to the configured {} (account {:?})",
                    known.endpoint, known.account, settings.endpoint, settings.account
                ),
                format!(
                    "use another spool, or change what this one belongs to: {}",
                    known.adopt_command(dir, configured)
                ),
            ));
        }
        Ok(known) => report.add(&Finding::ok(
            "spool identity",
            format!("it belongs to {}", known.endpoint),
        )),
        Err(e) if e.kind() == meditopia::ErrorKind::Store => {
            report.add(&Finding::fail("spool identity", problem(&e), advice(&e)));
            return;
        }
        Err(e) => {
            report.add(&Finding::warn(
                "spool identity",
                problem(&e),
                "the first enqueue creates one",
            ));
            return;
        }
    }
    match spool::disk_space(dir) {
        Ok(space) => report.add(&disk_space(&space, dir)),
        Err(e) => report.add(&Finding::fail("disk", problem(&e), advice(&e))),
    }
}

fn disk_space(space: &spool::DiskSpace, dir: &Path) -> Finding {
    let free = figures::free(space);
    if let Some(alarm) = alarms::disk(space, dir) {
        return Finding::of("disk", alarm);
    }
    if !space.has_reserve {
        return Finding::warn(
            "disk",
            format!("{free}, but there is no reserve for a full disk"),
            "the next sender creates it, unless the file system does not support it",
        );
    }
    Finding::ok("disk", format!("{free}, and the reserve is in place"))
}

/// Checks whether the first enqueue will be able to create the directory.
fn missing(dir: &Path) -> Finding {
    let parent = dir.ancestors().skip(1).find(|dir| dir.exists());
    let parent = parent.unwrap_or(Path::new("/"));
    match create_and_remove_file(parent) {
        Ok(()) => Finding::warn(
            "spool",
            format!("{} does not exist yet", dir.display()),
            "the first enqueue creates it",
        ),
        Err(e) => Finding::fail(
            "spool",
            format!(
                "{} does not exist and cannot be created in {}: {e}",
                dir.display(),
                parent.display()
            ),
            "create it for the user whose applications enqueue",
        ),
    }
}

fn writable(dir: &Path) -> Finding {
    match spool::check_writable(dir) {
        Ok(()) => Finding::ok("spool writable", "a file can be created and removed"),
        Err(e) => Finding::fail(
            "spool writable",
            format!(
                "no file can be created in {}: {}",
                dir.display(),
                problem(&e)
            ),
            "check the directory's mode and owner, and whether its file system is read-only or full",
        ),
    }
}

fn create_and_remove_file(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)
}

/// The first part of a message, up to the semicolon: what happened.
pub(super) fn problem(error: &Error) -> String {
    let message = error.message();
    message
        .split_once("; ")
        .map_or(message, |(problem, _)| problem)
        .to_owned()
}

/// The part of a message after the semicolon: what to do.
pub(super) fn advice(error: &Error) -> String {
    error
        .message()
        .split_once("; ")
        .map_or("see the message", |(_, advice)| advice)
        .to_owned()
}
