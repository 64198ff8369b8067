//! What a forked child closes, and when.

use super::*;
use rustix::fs::flock;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const NAME: &str = "00000001-a-file.segment";

/// Opens a file or a directory as this library opens what it locks.
fn open_as_ours(path: &Path) -> File {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    File::from(opened.unwrap())
}

/// Runs `lock_and_fork`, which locks the file at the path and forks an idle child, in a process
/// that then ends. Returns whether the idle child has kept the lock.
fn idle_child_keeps_lock(lock_and_fork: impl FnOnce(&Path, &dyn Fn()) -> CloseOnFork) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    let other = File::create(&path).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let fork_idle = || {
        // SAFETY: the child only writes to and reads from a socket, and ends.
        if unsafe { libc::fork() } == 0 {
            let _ = (&theirs).write_all(&[1]);
            let _ = (&theirs).read(&mut [0]);
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
    };
    // SAFETY: the child only runs `lock_and_fork`, which takes no lock of another thread, and
    // ends.
    let parent = unsafe { libc::fork() };
    if parent == 0 {
        // The idle child ends when the test closes its end of the socket.
        drop(ours);
        // The file is not dropped, which would release the lock: the process ends as if killed.
        let locked = catch_unwind(AssertUnwindSafe(|| lock_and_fork(&path, &fork_idle)));
        // SAFETY: ends the child without running anything of the test harness.
        unsafe { libc::_exit(i32::from(locked.is_err())) }
    }
    drop(theirs);
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(parent, &mut status, 0) };
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
    ours.read_exact(&mut [0]).unwrap();
    flock(&other, FlockOperation::NonBlockingLockExclusive).is_err()
}

fn locked(file: CloseOnFork) -> CloseOnFork {
    flock(&*file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file
}

#[test]
fn an_idle_child_does_not_keep_the_lock_of_its_dead_parent() {
    assert!(!idle_child_keeps_lock(|path, fork_idle| {
        let announced = Announcement::new(FileKey::Name(NAME)).unwrap();
        let file = announced.opened(OwnDescriptor::new(open_as_ours(path)));
        fork_idle();
        locked(file)
    }));
}

#[test]
fn an_idle_child_does_not_keep_the_lock_of_a_file_that_was_being_opened_at_the_fork() {
    for by_name in [true, false] {
        assert!(!idle_child_keeps_lock(|path, fork_idle| {
            let about = std::fs::metadata(path).unwrap();
            let key = if by_name {
                FileKey::Name(NAME)
            } else {
                FileKey::Inode((about.dev(), about.ino()))
            };
            let announced = Announcement::new(key).unwrap();
            let file = open_as_ours(path);
            fork_idle();
            locked(announced.opened(OwnDescriptor::new(file)))
        }));
    }
}

#[test]
fn an_idle_child_without_a_free_descriptor_does_not_keep_the_lock_of_its_dead_parent() {
    assert!(!idle_child_keeps_lock(|path, fork_idle| {
        let announced = Announcement::new(FileKey::Name(NAME)).unwrap();
        let file = open_as_ours(path);
        // The file got the lowest free number, so all numbers below are in use.
        let in_use = file.as_raw_fd() as u64 + 1;
        let all_in_use = libc::rlimit {
            rlim_cur: in_use,
            rlim_max: in_use,
        };
        // SAFETY: sets a limit of this process, which ends soon.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &all_in_use) };
        assert!(File::open(path).is_err());
        fork_idle();
        locked(announced.opened(OwnDescriptor::new(file)))
    }));
}

#[test]
fn a_file_stays_announced_by_its_name_until_its_descriptor_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join(NAME)).unwrap();
    let file = open_as_ours(&dir.path().join(NAME));
    let announced = Announcement::new(FileKey::Name(NAME)).unwrap();
    assert!(is_announced(file.as_raw_fd()));
    // Another thread may fork here.
    announced.slot.set_key(words(FileId::of(&file).unwrap()));
    assert!(is_announced(file.as_raw_fd()));
}

#[test]
fn a_child_closes_only_the_files_that_were_announced_and_only_the_librarys_descriptors_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let [ours, other] = [NAME, "00000001-another.segment"].map(|name| dir.path().join(name));
    let about = std::fs::metadata(dir.path()).unwrap();
    let open = [&ours, &other].map(|path| {
        File::create(path).unwrap();
        open_as_ours(path)
    });
    let directory = open_as_ours(dir.path());
    // The application's own, one as a program opens it that waits for nothing.
    let nonblocking = rustix::fs::open(
        dir.path(),
        OFlags::NONBLOCK | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let of_application = [
        File::open("/").unwrap(),
        File::open(dir.path()).unwrap(),
        File::open(&ours).unwrap(),
        File::from(nonblocking.unwrap()),
    ];

    let _by_name = Announcement::new(FileKey::Name(NAME)).unwrap();
    let _by_inode = Announcement::new(FileKey::Inode((about.dev(), about.ino()))).unwrap();
    // SAFETY: the child only asks which descriptors are open, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_open =
            // SAFETY: asks about a number.
            |file: &File| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) } >= 0;
        let right = [&open[0], &open[1], &directory].map(is_open) == [false, true, false]
            && of_application.iter().all(is_open);
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!right)) }
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
}
