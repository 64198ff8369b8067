//! Small files that somebody names: a configuration, a token, certificates.
//!
//! Whoever may write to their directory may put something else there. A named pipe or a terminal would keep its
//! reader waiting.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};

use super::calls;
use super::own_descriptor::OwnDescriptor;

/// How long a named pipe or a device may keep its reader waiting: who writes to one on request is quick.
const PIPE_WAITS: Duration = Duration::from_secs(1);
/// The file system of pipes that have no name, such as those of a shell's `<(command)`.
#[cfg(target_os = "linux")]
const PIPEFS: u64 = 0x5049_5045;

/// The bytes of the file at `path`, at most `limit` of them, appended to `content`. A thread of the library may
/// read while the application closes descriptors.
///
/// Error: also for a named pipe to which nobody writes in time.
pub(crate) fn read_file(path: &Path, limit: u64, content: &mut Vec<u8>) -> io::Result<()> {
    let unwaiting = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(unwaiting.bits().cast_signed())
        .open(path)?;
    let file = OwnDescriptor::new(file);
    let kind = FileType::from_raw_mode(calls::fstat(&*file)?.st_mode);
    if kind.is_file() {
        (&*file).take(limit).read_to_end(content)?;
    } else {
        let until = is_named(&file).then(|| Instant::now() + PIPE_WAITS);
        let pipe = Pipe { file: &file, until };
        pipe.take(limit).read_to_end(content)?;
    }
    // Otherwise it may be of another file.
    file.check()
}

#[cfg(target_os = "linux")]
fn is_named(pipe: &File) -> bool {
    calls::fstatfs(pipe).map_or(true, |about| u64::try_from(about.f_type) != Ok(PIPEFS))
}

#[cfg(not(target_os = "linux"))]
fn is_named(_: &File) -> bool {
    true
}

/// A pipe or a device that is opened without waiting.
struct Pipe<'a> {
    file: &'a File,
    /// Until when its writer may begin and go on; `None`: as long as it likes.
    until: Option<Instant>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Before a writer has opened the pipe, a read says that it has ended, and `poll` waits.
            let left = self
                .until
                .map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let ready = poll(&mut [PollFd::new(self.file, PollFlags::IN)], left.as_ref());
            match ready {
                Ok(0) => {
                    let what = "is a pipe or a device that has nothing to read; name a file";
                    return Err(io::Error::new(ErrorKind::TimedOut, what));
                }
                Err(rustix::io::Errno::INTR) => continue,
                ready => ready?,
            };
            let mut file = self.file;
            match file.read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mknodat};
    use std::io::Write;
    use std::os::fd::AsRawFd;

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        read_file(path, 5, &mut content).map(|()| content)
    }

    #[test]
    fn a_named_pipe_keeps_no_reader_waiting_and_one_that_is_written_to_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let begun = Instant::now();
        let failed = read(&pipe).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() < 5 * PIPE_WAITS, "{:?}", begun.elapsed());
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, "1234567").unwrap()
        });
        assert_eq!(read(&pipe).unwrap(), b"12345");
        writer.join().unwrap();
    }

    #[test]
    fn a_pipe_of_the_shell_is_read_as_well_as_a_device_up_to_the_limit() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"123").unwrap();
        drop(writer);
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        assert_eq!(read(Path::new(&path)).unwrap(), b"123");
        assert_eq!(read(Path::new("/dev/zero")).unwrap(), [0; 5]);
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
        for bad in ["/", "/does/not/exist"] {
            assert!(read(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
