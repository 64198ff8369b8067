//! The spool: is it there, is it its owner's alone, can it be written to, and is there room?

use std::io::ErrorKind;
use std::path::Path;

use meditopia::Error;
use meditopia::internals::config::Settings;
use meditopia::internals::spool::{self, Destination};

use super::{Finding, Report};

/// Less than so much beyond what is needed is soon too little.
const SCARCE: u64 = 10;
const MIB: u64 = 1024 * 1024;

pub fn examine(settings: &Settings, report: &mut Report) {
    let Some(dir) = &settings.spool else {
        return;
    };
    if let Err(e) = std::fs::metadata(dir) {
        report.add(&match e.kind() {
            ErrorKind::NotFound => missing(dir),
            _ => Finding::fail(
                "spool",
                format!("{}: {e}", dir.display()),
                "name a directory of this user",
            ),
        });
        return;
    }
    match spool::check_directory(dir) {
        Ok(()) => report.add(&Finding::ok(
            "spool rights",
            format!("{} is this user's alone, on a local disk", dir.display()),
        )),
        Err(e) if settings.allow_network_spool && e.message().contains("network") => {
            report.add(&Finding::warn("spool rights", first(&e), "allow_network_spool is set: be sure that locks hold there, and that one host uses it"));
        }
        Err(e) => report.add(&Finding::fail("spool rights", first(&e), rest(&e))),
    }
    report.add(&writable(dir));
    let configured = Destination {
        endpoint: settings.endpoint.as_str(),
        account: &settings.account,
    };
    match spool::describe(dir) {
        Ok(known) if known.is_elsewhere => report.add(&Finding::fail(
            "spool identity",
            format!("{} is a copy of a spool made elsewhere", dir.display()),
            format!(
                "if the other is gone: {}",
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
                    "use another spool, or give it away: {}",
                    known.adopt_command(dir, configured)
                ),
            ));
        }
        Ok(known) => report.add(&Finding::ok(
            "spool identity",
            format!("it belongs to {}", known.endpoint),
        )),
        Err(e) => {
            report.add(&Finding::warn(
                "spool identity",
                first(&e),
                "the first enqueue makes one",
            ));
            return;
        }
    }
    match spool::disk_space(dir) {
        Ok(now) => report.add(&room(&now)),
        Err(e) => report.add(&Finding::fail("disk", first(&e), rest(&e))),
    }
}

fn room(now: &spool::DiskSpace) -> Finding {
    let free = format!("{} MiB free", now.free_bytes / MIB);
    if now.is_full {
        return Finding::fail(
            "disk",
            format!("full ({free}): enqueue is refused"),
            "free some space; what was acknowledged is kept",
        );
    }
    if now.free_bytes < SCARCE * now.needed_bytes {
        return Finding::warn("disk", free, "free some space before events are refused");
    }
    if !now.has_reserve {
        return Finding::warn(
            "disk",
            format!("{free}, and no reserve is set aside for a full disk"),
            "the next sender sets it aside; not every file system can",
        );
    }
    Finding::ok("disk", format!("{free}, and the reserve is set aside"))
}

/// The first enqueue will make it, if it can.
fn missing(dir: &Path) -> Finding {
    let above = dir.ancestors().skip(1).find(|above| above.exists());
    let above = above.unwrap_or(Path::new("/"));
    match trial(above) {
        Ok(()) => Finding::warn(
            "spool",
            format!("{} is not there yet", dir.display()),
            "the first enqueue makes it",
        ),
        Err(e) => Finding::fail(
            "spool",
            format!(
                "{} is not there, and cannot be made in {}: {e}",
                dir.display(),
                above.display()
            ),
            "make it and give it to the user whose programs enqueue",
        ),
    }
}

fn writable(dir: &Path) -> Finding {
    match trial(dir) {
        Ok(()) => Finding::ok("spool writable", "a file can be made and removed"),
        Err(e) => Finding::fail(
            "spool writable",
            format!("no file can be made in {}: {e}", dir.display()),
            "look at the directory's mode and owner, and whether its file system is mounted read-only or full",
        ),
    }
}

/// Makes a file and removes it.
fn trial(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)
}

/// Messages say what happened, and behind a semicolon what to do.
pub(super) fn first(error: &Error) -> String {
    let message = error.message();
    message
        .split_once("; ")
        .map_or(message, |(first, _)| first)
        .to_owned()
}

pub(super) fn rest(error: &Error) -> String {
    error
        .message()
        .split_once("; ")
        .map_or("see the message", |(_, rest)| rest)
        .to_owned()
}
