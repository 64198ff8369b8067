//! The files of a spool's store, for tests that damage them or ask who has them open.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::process::open_descriptors;

/// The ledger that the sender of `spool` writes to, or would write to first.
pub fn ledger(spool: &Path) -> PathBuf {
    let dir = spool.join("ledger");
    let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // Beside them lie a spare file and the mark of what is synced.
    let is_ledger = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let last = names.filter(is_ledger).max();
    dir.join(last.unwrap_or_else(|| format!("{:016}", 1)))
}

/// Replaces the ledger of `spool` by bytes that are none; says where they are.
pub fn damage_ledger(spool: &Path) -> PathBuf {
    let ledger = ledger(spool);
    fs::create_dir_all(ledger.parent().unwrap()).unwrap();
    fs::write(&ledger, "this is no ledger, by far ".repeat(200)).unwrap();
    ledger
}

/// Whether a process has a ledger in the directory `spool` open to write to it, as the sender does.
pub fn writes_ledger(pid: u32, spool: &Path) -> bool {
    let place = |about: fs::Metadata| (about.dev(), about.ino());
    let entries = fs::read_dir(spool.join("ledger")).into_iter().flatten();
    let files: HashSet<_> = entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok().map(place))
        .collect();
    let is_ledger =
        |entry: &&PathBuf| fs::metadata(entry).is_ok_and(|about| files.contains(&place(about)));
    open_descriptors(pid)
        .iter()
        .filter(is_ledger)
        .any(|entry| is_open_to_write(pid, entry))
}

/// Whether a process has any ledger open to write to it, wherever it is, even if it is deleted.
pub fn writes_any_ledger(pid: u32) -> bool {
    let is_ledger = |entry: &&PathBuf| {
        let target = fs::read_link(entry).unwrap_or_default();
        target.to_string_lossy().contains("/ledger/")
    };
    open_descriptors(pid)
        .iter()
        .filter(is_ledger)
        .any(|entry| is_open_to_write(pid, entry))
}

fn is_open_to_write(pid: u32, entry: &Path) -> bool {
    let number = entry.file_name().unwrap_or_default().to_string_lossy();
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 3 != 0)
}
