//! One system call: its arguments, its file, and the mark that it may be.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use libc::pid_t;

/// The number for which the programs of `tests/c` call `getpriority`, before the kind of the mark
/// is added.
const MARK: u64 = 0x4d45_0000;

/// A system call that a thread stands before or after.
#[derive(Debug, Clone)]
pub struct SystemCall {
    pub pid: pid_t,
    pub tid: pid_t,
    /// 0 is the main thread; the others follow in the order of their start.
    pub thread: usize,
    pub number: i64,
    pub arguments: [u64; 6],
}

/// What a program reports to its tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The section of interest begins.
    Begin,
    /// It ends.
    End,
    /// `count` events from number `from` on were acknowledged.
    Acknowledged { from: u64, count: u64 },
    /// The enqueue of this event returned an error, negative as in C.
    Failed { number: u64, status: i32 },
}

impl SystemCall {
    /// The mark, if this call is one.
    pub fn mark(&self) -> Option<Mark> {
        if self.number != libc::SYS_getpriority {
            return None;
        }
        let (low, high) = (
            self.arguments[1] & 0xf_ffff,
            (self.arguments[1] >> 20) & 0x7ff,
        );
        match self.arguments[0].checked_sub(MARK)? {
            1 => Some(Mark::Begin),
            2 => Some(Mark::End),
            3 => Some(Mark::Acknowledged {
                from: low,
                count: high,
            }),
            4 => Some(Mark::Failed {
                number: low,
                status: -(high as i32),
            }),
            _ => None,
        }
    }

    /// Whether the call may change something that outlives the process or that another process
    /// sees. It makes no difference at which of several calls without an effect a process dies.
    pub fn has_effect(&self) -> bool {
        match self.number {
            libc::SYS_openat => self.arguments[2] as i32 & libc::O_CREAT != 0,
            libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwrite64
            | libc::SYS_ftruncate
            | libc::SYS_fallocate
            | libc::SYS_fsync
            | libc::SYS_fdatasync
            | libc::SYS_unlink
            | libc::SYS_unlinkat
            | libc::SYS_rename
            | libc::SYS_renameat
            | libc::SYS_renameat2
            | libc::SYS_mkdir
            | libc::SYS_mkdirat
            | libc::SYS_flock
            | libc::SYS_close
            | libc::SYS_connect
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_recvfrom => true,
            _ => false,
        }
    }

    /// The file that the call is about: the path in its arguments, or the file of its descriptor.
    pub fn path(&self) -> PathBuf {
        let at = match self.number {
            libc::SYS_open
            | libc::SYS_unlink
            | libc::SYS_rename
            | libc::SYS_mkdir
            | libc::SYS_stat
            | libc::SYS_lstat
            | libc::SYS_access
            | libc::SYS_readlink
            | libc::SYS_chmod
            | libc::SYS_rmdir => Some(self.arguments[0]),
            libc::SYS_openat
            | libc::SYS_unlinkat
            | libc::SYS_mkdirat
            | libc::SYS_renameat
            | libc::SYS_renameat2
            | libc::SYS_newfstatat
            | libc::SYS_statx => Some(self.arguments[1]),
            _ => None,
        };
        match at.map(|address| self.text(address)) {
            Some(path) if path.is_absolute() => path,
            // A name in the directory that the first argument is a descriptor of.
            Some(path) if !path.as_os_str().is_empty() => self.descriptor().join(path),
            _ => self.descriptor(),
        }
    }

    /// The file that the first argument is a descriptor of.
    fn descriptor(&self) -> PathBuf {
        let link = format!("/proc/{}/fd/{}", self.pid, self.arguments[0] as i32);
        fs::read_link(link).unwrap_or_default()
    }

    /// Whether the call is about a segment of a journal.
    pub fn is_of_segment(&self) -> bool {
        is_segment(&self.path())
    }

    /// The name of the call and the kind of its file, the same in every run.
    pub fn name(&self) -> String {
        let path = self.path();
        let kind = if is_segment(&path) {
            " segment"
        } else if path.ends_with("journal") {
            " journal"
        } else if let Some(folder) = store_folder(&path) {
            folder
        } else {
            match path.file_name().and_then(OsStr::to_str) {
                Some("identity.json") => " identity",
                Some(name) if name.starts_with("socket:") => " socket",
                _ => "",
            }
        };
        let name = match self.number {
            libc::SYS_openat => "openat",
            libc::SYS_read => "read",
            libc::SYS_write => "write",
            libc::SYS_writev => "writev",
            libc::SYS_pread64 => "pread",
            libc::SYS_pwrite64 => "pwrite",
            libc::SYS_close => "close",
            libc::SYS_flock => "flock",
            libc::SYS_fcntl => "fcntl",
            libc::SYS_fstat => "fstat",
            libc::SYS_newfstatat => "newfstatat",
            libc::SYS_statx => "statx",
            libc::SYS_getdents64 => "getdents",
            libc::SYS_unlink => "unlink",
            libc::SYS_unlinkat => "unlinkat",
            libc::SYS_rename => "rename",
            libc::SYS_renameat => "renameat",
            libc::SYS_renameat2 => "renameat2",
            libc::SYS_fallocate => "fallocate",
            libc::SYS_mkdir => "mkdir",
            libc::SYS_mkdirat => "mkdirat",
            libc::SYS_ftruncate => "ftruncate",
            libc::SYS_fsync => "fsync",
            libc::SYS_fdatasync => "fdatasync",
            libc::SYS_connect => "connect",
            libc::SYS_sendto => "sendto",
            libc::SYS_sendmsg => "sendmsg",
            libc::SYS_recvfrom => "recvfrom",
            other => return format!("call {other}{kind}"),
        };
        format!("{name}{kind}")
    }

    fn text(&self, address: u64) -> PathBuf {
        let Ok(memory) = File::open(format!("/proc/{}/mem", self.tid)) else {
            return PathBuf::new();
        };
        // Reads up to the end of one page at a time, because the next page may not be mapped.
        const PAGE: u64 = 4096;
        let mut bytes = Vec::new();
        while bytes.len() < libc::PATH_MAX as usize && !bytes.contains(&0) {
            let at = address + bytes.len() as u64;
            let mut page = vec![0; (PAGE - at % PAGE) as usize];
            if memory.read_exact_at(&mut page, at).is_err() {
                break;
            }
            bytes.extend(page);
        }
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(0));
        PathBuf::from(OsStr::from_bytes(&bytes))
    }
}

fn is_segment(path: &Path) -> bool {
    // The kernel adds " (deleted)" to the path of a file that was removed.
    let path = path.to_string_lossy();
    path.contains("/journal/") && path.trim_end_matches(" (deleted)").ends_with(".segment")
}

/// The folder of the store that a file is in, or that the path names.
fn store_folder(path: &Path) -> Option<&'static str> {
    const FOLDERS: [(&str, &str); 4] = [
        (" ledger", " ledger folder"),
        (" queues", " queues folder"),
        (" rejected", " rejected folder"),
        (" receipts", " receipts folder"),
    ];
    let (name, above) = (path.file_name()?, path.parent()?.file_name());
    FOLDERS.into_iter().find_map(|(of_file, of_folder)| {
        let folder = OsStr::new(&of_file[1..]);
        match above == Some(folder) {
            true => Some(of_file),
            false => (name == folder).then_some(of_folder),
        }
    })
}
