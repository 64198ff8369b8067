//! Where a spool is: which directory of which file system, however that is attached.
//!
//! A device number tells file systems apart only as long as both are mounted: a volume that is attached again,
//! a disk that moves, and the overlay of a container that starts again get others. So a directory is known
//! by what its file system keeps on disk:
//!
//! - the id of the file system or, where that is the device number in other words (XFS), its UUID;
//! - the file handle, which has the inode and the generation of it: a new directory does not get the handle of
//!   a removed one, though it may get the inode. The root directories of two file systems may have one handle.
//!
//! An overlay has no handles before Linux 6.6, and one of the directory in the image where the container has
//! only changed it. There, where a sandbox forbids the call, and where nothing tells the file system from another
//! one, the time of birth is noted as well.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::directory::is_network;
use super::layers::is_overlay;
use crate::process::calls;

/// Where a directory is. What is `None` its file system does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// In hexadecimal, as all that has no meaning but to be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file_system: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    /// In nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<u64>,
}

/// When a place was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// In this boot of the host.
    InThisBoot,
    /// In an earlier one, or on another host.
    Earlier,
}

impl Place {
    /// The place of an open directory on a [kind of file system](super::directory::file_system).
    pub(super) fn of(dir: &Dir, about: &Metadata, kind: u32) -> Self {
        let place = Self {
            device: about.dev(),
            inode: about.ino(),
            ..Self::default()
        };
        // What a server or a program in user space says of it may change with each mount.
        if is_network(kind) {
            return place;
        }
        let handle = handle_of(dir);
        let file_system = dir.as_file().ok().and_then(|dir| id_of(dir, about.dev()));
        let needs_birth = handle.is_none() || file_system.is_none() || is_overlay(kind);
        let since = about
            .created()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let nanoseconds = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self {
            file_system,
            handle,
            born: nanoseconds.filter(|_| needs_birth),
            ..place
        }
    }

    /// Whether the directory that is at `now` is the one that was noted.
    pub(super) fn is_at(&self, now: &Self, noted: Noted) -> bool {
        let same_file_system = agree(&self.file_system, &now.file_system);
        if same_file_system == Some(false) || agree(&self.born, &now.born) == Some(false) {
            return false;
        }
        if let Some(same_handle) = agree(&self.handle, &now.handle) {
            return same_handle;
        }
        let same_device = self.device == now.device || noted == Noted::Earlier;
        self.inode == now.inode && (same_file_system == Some(true) || same_device)
    }

    /// Whether all that `now` says is noted.
    pub(super) fn has_all_of(&self, now: &Self) -> bool {
        let known = |noted: Option<bool>, says: bool| noted == Some(true) || !says;
        (self.device, self.inode) == (now.device, now.inode)
            && known(
                agree(&self.file_system, &now.file_system),
                now.file_system.is_some(),
            )
            && known(agree(&self.handle, &now.handle), now.handle.is_some())
            && known(agree(&self.born, &now.born), now.born.is_some())
    }

    /// Notes what `now` says, and keeps what it does not say: it is the same directory.
    pub(super) fn follow(&mut self, now: &Self) {
        let before = std::mem::replace(self, now.clone());
        self.file_system = self.file_system.take().or(before.file_system);
        self.handle = self.handle.take().or(before.handle);
        self.born = self.born.or(before.born);
    }

    /// Whether the disk that was noted is mounted beside this one, which has its id: then one is a copy of
    /// the other, inode by inode.
    pub(super) fn is_beside_its_original(&self, now: &Self, noted: Noted) -> bool {
        self.device != now.device
            && noted == Noted::InThisBoot
            // Other mounts without a disk, such as overlays of one disk, may have one id.
            && rustix::fs::major(self.device) != 0
            && self.file_system.is_some()
            && mounted_id(self.device) == self.file_system
    }
}

/// Whether two sayings are the same; `None`: one is missing.
fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> Option<bool> {
    Some(one.as_ref()? == other.as_ref()?)
}

/// The id of the file system that an open file or directory is on.
fn id_of(file: &File, device: u64) -> Option<String> {
    let id = calls::fstatvfs(file).ok()?.f_fsid;
    id_that_says_more_than(device, id).or_else(|| uuid_of(file))
}

/// The id of a file system, unless it says no more than the device.
fn id_that_says_more_than(device: u64, id: u64) -> Option<String> {
    // As the kernel packs a device number.
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let packed = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    (id != 0 && id != u64::from(packed)).then(|| format!("{id:016x}"))
}

/// The id of the file system that is mounted from a device.
fn mounted_id(device: u64) -> Option<String> {
    let wanted = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let point = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let (found, _, point) = (words.next()?, words.next()?, words.next()?);
        (found == wanted).then(|| unescape(point))
    })?;
    let mut options = File::options();
    let point = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(point)
        .ok()?;
    // Another one may be mounted over it.
    let is_it = point.metadata().is_ok_and(|about| about.dev() == device);
    is_it.then(|| id_of(&point, device)).flatten()
}

/// The UUID of the file system that an open file or directory is on.
#[cfg(target_os = "linux")]
fn uuid_of(file: &File) -> Option<String> {
    use std::os::fd::AsRawFd;

    /// What a call fills, and where the UUID is in it.
    struct Call {
        request: u32,
        uuid: std::ops::Range<usize>,
        /// How long the UUID is, if that is said.
        length: Option<usize>,
    }

    // FS_IOC_GETFSUUID, from Linux 6.9 on: a byte with the length, and sixteen.
    let of_any = Call {
        request: 0x8011_1500,
        uuid: 1..17,
        length: Some(0),
    };
    // XFS_IOC_FSGEOMETRY_V1: 112 bytes.
    let of_xfs = Call {
        request: 0x8070_5864,
        uuid: 64..80,
        length: None,
    };
    [of_any, of_xfs].into_iter().find_map(|call| {
        let mut said = [0_u8; 128];
        // SAFETY: the kernel writes as many bytes as the request's number says, which are fewer than 128.
        let failed = unsafe { libc::ioctl(file.as_raw_fd(), call.request as _, said.as_mut_ptr()) };
        let has_length = call
            .length
            .is_none_or(|at| usize::from(said[at]) == call.uuid.len());
        let uuid = &said[call.uuid];
        let is_one = failed == 0 && has_length && uuid.iter().any(|byte| *byte != 0);
        is_one.then(|| hex(uuid))
    })
}

#[cfg(not(target_os = "linux"))]
fn uuid_of(_: &File) -> Option<String> {
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path of `/proc/self/mountinfo`, which has blanks as `\040`.
fn unescape(path: &str) -> String {
    ["\\040 ", "\\011\t", "\\012\n", "\\134\\"]
        .iter()
        .fold(path.to_owned(), |path, pair| {
            path.replace(&pair[..4], &pair[4..])
        })
}

/// The handle of an open directory, with its kind.
#[cfg(target_os = "linux")]
fn handle_of(dir: &Dir) -> Option<String> {
    use std::os::fd::AsRawFd;

    /// A handle with room for the longest one.
    #[repr(C)]
    struct Handle {
        bytes: libc::c_uint,
        kind: libc::c_int,
        content: [u8; libc::MAX_HANDLE_SZ as usize],
    }

    let file = dir.as_file().ok()?;
    // The second is for file systems that cannot find a file by its handle.
    [0, libc::AT_HANDLE_FID].into_iter().find_map(|more| {
        let mut handle = Handle {
            bytes: libc::MAX_HANDLE_SZ as libc::c_uint,
            kind: 0,
            content: [0; libc::MAX_HANDLE_SZ as usize],
        };
        let mut mount = 0;
        // SAFETY: the path is a NUL-terminated string. `Handle` begins as `file_handle` does, and has room for
        // as many bytes behind it as `bytes` says.
        let failed = unsafe {
            libc::name_to_handle_at(
                file.as_raw_fd(),
                c"".as_ptr(),
                std::ptr::from_mut(&mut handle).cast(),
                &mut mount,
                libc::AT_EMPTY_PATH | more,
            )
        };
        let content = handle.content.get(..handle.bytes as usize)?;
        (failed == 0).then(|| format!("{:x}-{}", handle.kind, hex(content)))
    })
}

#[cfg(not(target_os = "linux"))]
fn handle_of(_: &Dir) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::Noted::{Earlier, InThisBoot};
    use super::*;

    fn place(device: u64, inode: u64, id: &str, handle: &str, born: u64) -> Place {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Place {
            device,
            inode,
            file_system: text(id),
            handle: text(handle),
            born: (born != 0).then_some(born),
        }
    }

    #[test]
    fn a_directory_is_known_again_by_whatever_its_file_system_keeps() {
        // File system by file system: what was noted, what is there, and whether it is the same in this boot
        // and after another one.
        let ext4 = place(1, 12, "a", "1-0c01", 0);
        let xfs = place(1, 12, "", "81-0c01", 0);
        let overlay = place(1, 12, "a", "", 500);
        let merged = place(1, 12, "a", "f8-01", 500);
        let old = place(1, 12, "", "", 0);
        let cases = [
            (
                "ext4 again",
                &ext4,
                place(2, 12, "a", "1-0c01", 0),
                [true; 2],
            ),
            (
                "ext4, new inode",
                &ext4,
                place(1, 13, "a", "1-0d07", 0),
                [false; 2],
            ),
            (
                "ext4, inode used again",
                &ext4,
                place(1, 12, "a", "1-0c02", 0),
                [false; 2],
            ),
            (
                "another ext4",
                &ext4,
                place(1, 12, "b", "1-0c01", 0),
                [false; 2],
            ),
            (
                "ext4 in a sandbox",
                &ext4,
                place(2, 12, "a", "", 500),
                [true; 2],
            ),
            ("XFS again", &xfs, place(2, 12, "", "81-0c01", 0), [true; 2]),
            (
                "another XFS",
                &xfs,
                place(2, 12, "", "81-0c02", 0),
                [false; 2],
            ),
            (
                "overlay again",
                &overlay,
                place(2, 12, "a", "", 500),
                [true; 2],
            ),
            (
                "overlay, inode used again",
                &overlay,
                place(2, 12, "a", "", 501),
                [false; 2],
            ),
            (
                "another container's",
                &merged,
                place(2, 12, "a", "f8-01", 501),
                [false; 2],
            ),
            (
                "another kernel",
                &overlay,
                place(2, 12, "a", "f8-01", 500),
                [true; 2],
            ),
            (
                "new inode numbers",
                &merged,
                place(2, 99, "a", "f8-01", 500),
                [true; 2],
            ),
            (
                "an older build's",
                &old,
                place(1, 12, "a", "1-0c01", 0),
                [true; 2],
            ),
            (
                "an older build's, again",
                &old,
                place(2, 12, "a", "1-0c01", 0),
                [false, true],
            ),
            (
                "an older build's, copied",
                &old,
                place(1, 13, "a", "1-0d01", 0),
                [false; 2],
            ),
            (
                "a network's, again",
                &old,
                place(2, 12, "", "", 0),
                [false, true],
            ),
        ];
        for (what, noted, now, expected) in cases {
            let said = [InThisBoot, Earlier].map(|when| noted.is_at(&now, when));
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn what_a_sandbox_hides_stays_noted_and_is_not_written_again() {
        let mut noted = place(1, 12, "a", "1-0c01", 0);
        let in_sandbox = place(1, 12, "a", "", 0);
        assert!(noted.has_all_of(&noted.clone()) && noted.has_all_of(&in_sandbox));
        assert!(!in_sandbox.has_all_of(&noted));
        let elsewhere = place(2, 12, "a", "", 500);
        assert!(!noted.has_all_of(&elsewhere));
        noted.follow(&elsewhere);
        assert_eq!(noted, place(2, 12, "a", "1-0c01", 500));
    }

    #[test]
    fn an_id_that_is_the_device_number_is_none() {
        let device = rustix::fs::makedev(0x103, 0x12345);
        let packed = 0x45 | 0x103 << 8 | 0x12300 << 12;
        assert_eq!(id_that_says_more_than(device, packed), None);
        assert_eq!(id_that_says_more_than(device, 0), None);
        assert!(id_that_says_more_than(device, packed + 1).is_some());
    }

    #[test]
    fn a_mount_point_with_blanks_is_read_from_the_kernels_list() {
        assert_eq!(unescape(r"/a\040b\134c\011d"), "/a b\\c\td");
    }
}
