use super::*;
use crate::spool::dir::Dir;
use std::fs::File;
use std::path::Path;

const NAME: &str = "lock";

fn dir(path: &Path) -> Dir {
    Dir::kept(File::open(path).unwrap(), path)
}

const LOCKS: &str = "\
1: POSIX  ADVISORY  WRITE 81 fe:00:4711 0 EOF
2: FLOCK  ADVISORY  WRITE 82 fe:00:4711 0 EOF
2: -> FLOCK  ADVISORY  WRITE 83 fe:00:4712 0 EOF
3: FLOCK  ADVISORY  READ 84 fe:00:4713 0 EOF
";

#[test]
fn a_lock_is_found_by_its_file_or_its_process_and_no_other_is_taken_for_it() {
    let disk = rustix::fs::makedev(0xfe, 0);
    let subvolume = rustix::fs::makedev(0, 0x1b);
    assert_eq!(holder_in(LOCKS, (disk, 4711), 1), Some(82));
    assert_eq!(holder_in(LOCKS, (subvolume, 4711), 82), Some(82));
    assert_eq!(holder_in(LOCKS, (subvolume, 4711), 81), None);
    // One that waits for it, one that only shares it, one of another file.
    assert_eq!(holder_in(LOCKS, (disk, 4712), 83), None);
    assert_eq!(holder_in(LOCKS, (disk, 4713), 84), None);
    assert_eq!(holder_in(LOCKS, (disk, 471), 82), None);
    assert_eq!(holder_in("", (disk, 4711), 82), None);
}

#[test]
fn a_lock_whose_file_was_removed_or_replaced_is_not_in_place_and_another_one_can_be_taken() {
    let parent = tempfile::tempdir().unwrap();
    let dir = dir(parent.path());
    let first = LockFile::try_take(&dir, NAME).unwrap().unwrap();
    assert!(first.is_in_place(&dir));
    assert!(LockFile::try_take(&dir, NAME).unwrap().is_none());
    assert!(dir.remove(NAME).unwrap());
    assert!(!first.is_in_place(&dir));
    let second = LockFile::try_take(&dir, NAME).unwrap().unwrap();
    assert!(second.is_in_place(&dir) && !first.is_in_place(&dir));
    // The one that was removed is let go of; the one that counts stays.
    drop(first);
    assert!(LockFile::try_take(&dir, NAME).unwrap().is_none());
}

#[test]
fn a_file_that_is_removed_between_its_opening_and_its_locking_gives_no_lock() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join(NAME);
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        // A cleaner that never rests.
        threads.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = std::fs::remove_file(&path);
            }
        });
        let dir = dir(parent.path());
        for _ in 0..2_000 {
            // It may give up, but what it returns has had the name after it was locked.
            let _ = LockFile::try_take(&dir, NAME);
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(
        LockFile::try_take(&dir(parent.path()), NAME)
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_lock_that_is_waited_for_gives_an_error_that_names_its_holder() {
    let parent = tempfile::tempdir().unwrap();
    let dir = dir(parent.path());
    let lock = LockFile::try_take(&dir, NAME).unwrap().unwrap();
    let begun = Instant::now();
    let error = LockFile::wait_for(&dir, NAME, Duration::from_millis(50)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let named = format!("pid {}", crate::process::pid());
    assert!(
        error.message().contains(&named) && error.message().contains("/lock: "),
        "{error}"
    );
    drop(lock);
    assert!(LockFile::wait_for(&dir, NAME, Duration::ZERO).is_ok());
}
