//! A spool whose `identity.json` is gone. That is the oldest file of a spool, so programs that remove old files
//! take it first.
//!
//! Nothing else says to which endpoint and account the events belong, so an operator has to say it. How many
//! boots the spool has seen is in the files that are left, because what is enqueued is ordered by it.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::dir::Dir;
use super::files::spool_name;
use super::heartbeat;
use super::identity::{Destination, adopt_command_for};
use crate::clock;
use crate::error::{Error, ErrorKind};

/// The directories with what was enqueued.
const WITH_EVENTS: [&str; 2] = ["journal", "ledger"];
/// Where a ledger has its boot.
const BOOT_IN_LEDGER: std::ops::Range<usize> = 12..16;

/// Whether a directory without `identity.json` holds events of a spool.
pub(super) fn has_events(dir: &Dir) -> bool {
    let is_filled = |name: &&str| {
        let folder = dir.subdir(name);
        folder.is_ok_and(|folder| {
            folder
                .entries()
                .is_ok_and(|mut names| names.next().is_some())
        })
    };
    WITH_EVENTS.iter().any(is_filled)
}

/// The error of whoever opens such a spool for a destination.
pub(super) fn lost(dir: &Path, wanted: Option<Destination<'_>>) -> Error {
    let command = adopt_command_for(dir, wanted);
    Error::new(
        ErrorKind::Store,
        format!(
            "{}: has events, but no identity.json, which a program that removes old files may have taken; restore that file, or say to which endpoint the events belong: {command}",
            spool_name(dir)
        ),
    )
}

/// The number of this boot for a spool that does not know any more which one was the last.
pub(super) fn boot_count(dir: &Dir) -> u32 {
    let (highest, seen_ns) = last_time(dir);
    let highest = highest.max(1);
    // A copy may have new times, and a clock that was not set yet makes all files look new. But nothing of
    // this boot is later than now: what looks so would not be sent before its time comes again.
    match seen_ns <= clock::boot_ns() && was_changed_since_boot(dir) {
        true => highest,
        false => highest.saturating_add(1),
    }
}

/// The last boot that the files have seen, and the latest time since it that they say.
fn last_time(dir: &Dir) -> (u32, u64) {
    #[derive(Deserialize)]
    struct Heartbeat {
        boot_count: u32,
        #[serde(default)]
        taken_upto_boot_ns: u64,
    }
    let heartbeat = dir.read("sender.json", heartbeat::BYTES_AT_MOST).ok();
    let heartbeat = heartbeat.and_then(|text| serde_json::from_slice::<Heartbeat>(&text).ok());
    let in_journal = each_name(dir, "journal", |_, name| {
        let mut parts = name.split('-');
        let boot = parts.next()?.parse().ok()?;
        Some((boot, parts.next()?.parse().ok()?))
    });
    let in_ledger = each_name(dir, "ledger", |folder, name| {
        let mut header = [0; BOOT_IN_LEDGER.end];
        (&*folder.open(name).ok()?).read_exact(&mut header).ok()?;
        let boot = header.get(BOOT_IN_LEDGER)?.try_into().ok()?;
        // The spare one is empty.
        Some((u32::from_le_bytes(boot), 0))
    });
    let found = [
        heartbeat.map(|heartbeat| (heartbeat.boot_count, heartbeat.taken_upto_boot_ns)),
        in_journal,
        in_ledger,
    ];
    found.into_iter().flatten().max().unwrap_or_default()
}

/// By the wall clock: a file of it was changed since the host was started.
fn was_changed_since_boot(dir: &Dir) -> bool {
    let booted_s = clock::wall_ms() / 1000 - (clock::boot_ns() / 1_000_000_000).cast_signed();
    let changed = ["journal", "ledger"]
        .into_iter()
        .filter_map(|name| each_name(dir, name, changed_s));
    let heartbeat = changed_s(dir, "sender.json");
    changed.chain(heartbeat).any(|at| at >= booted_s)
}

fn changed_s(dir: &Dir, name: &str) -> Option<i64> {
    dir.about(name).ok().map(|about| about.st_mtime)
}

/// The highest of what `read` finds for the names in a directory of the spool.
fn each_name<T: Ord>(dir: &Dir, name: &str, read: impl Fn(&Dir, &str) -> Option<T>) -> Option<T> {
    let folder = dir.subdir(name).ok()?;
    let entries = folder.entries().ok()?.flatten();
    let values = entries.filter_map(|entry| read(&folder, entry.name()?));
    values.max()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::super::tests::new_spool;
    use super::*;

    #[test]
    fn the_boot_of_a_new_identity_is_no_earlier_than_what_the_files_have_seen() {
        let (_parent, spool) = new_spool();
        let at = |name: &str| spool.dir().join(name);
        let dir = spool.held_dir().unwrap();
        assert!(!has_events(&dir));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let put = |name: &str, content: &[u8], when: SystemTime| {
            fs::write(at(name), content).unwrap();
            File::open(at(name)).unwrap().set_modified(when).unwrap();
        };
        fs::create_dir(at("journal")).unwrap();
        assert!(!has_events(&dir));
        put(
            "journal/00000007-00000000000000000012-1-0000000a.segment",
            b"",
            long_ago,
        );
        put("journal/foreign", b"", long_ago);
        assert!(has_events(&dir));
        assert_eq!(boot_count(&dir), 8);
        fs::create_dir(at("ledger")).unwrap();
        put("ledger/spare", b"", long_ago);
        put(
            "ledger/0000000000000001",
            &[[0; 12].as_slice(), &[9, 0, 0, 0]].concat(),
            long_ago,
        );
        assert_eq!(boot_count(&dir), 10);
        put("sender.json", br#"{"boot_count": 11}"#, long_ago);
        assert_eq!(boot_count(&dir), 12);
        // It was used since this host was started.
        put("ledger/spare", b"", SystemTime::now());
        assert_eq!(boot_count(&dir), 11);
        // It was copied, so that all files look new, and they have seen more of a boot than this one has had.
        let seen = format!(
            r#"{{"boot_count": 11, "taken_upto_boot_ns": {}}}"#,
            u64::MAX
        );
        put("sender.json", seen.as_bytes(), SystemTime::now());
        assert_eq!(boot_count(&dir), 12);
        fs::remove_file(at("sender.json")).unwrap();
        put(
            "journal/00000012-99999999999999999-1-0000000a.segment",
            b"",
            SystemTime::now(),
        );
        assert_eq!(boot_count(&dir), 13);
    }
}
