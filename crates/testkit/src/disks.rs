//! Disks of a test's own: one that is small, one that cannot be written to, one over FUSE, one like a
//! container's, and one that is attached and detached.
//!
//! Only root can mount them. Each is unmounted when its value is dropped.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::privileges::{is_root, report_skip};
use crate::process::stdout_of;
use crate::wait::wait_until;

/// A directory that something was mounted on.
struct MountPoint(PathBuf);

impl Drop for MountPoint {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], paths: &[&Path]) {
    stdout_of(Command::new("mount").args(arguments).args(paths));
}

/// Whether this process may mount; says so if not.
fn can_mount(what: &str) -> bool {
    if !is_root() {
        report_skip(&format!("only root can mount {what}"));
    }
    is_root()
}

/// A file system in memory of a few mebibytes.
pub struct SmallDisk {
    // Unmounted before the directory is removed.
    _mounted: MountPoint,
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` if this process may not mount.
    pub fn mount(mebibytes: u64) -> Option<Self> {
        if !can_mount("a small disk") {
            return None;
        }
        Some(Self::mounted(&format!("size={mebibytes}m,mode=0700")))
    }

    /// One on which only so many files can be made.
    pub fn mount_with_inodes(mebibytes: u64, inodes: u64) -> Option<Self> {
        if !can_mount("a small disk") {
            return None;
        }
        let options = format!("size={mebibytes}m,nr_inodes={inodes},mode=0700");
        Some(Self::mounted(&options))
    }

    fn mounted(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", size, "none"], &[dir.path()]);
        Self {
            _mounted: MountPoint(dir.path().to_owned()),
            dir,
        }
    }

    /// Uses all inodes up with empty files.
    pub fn fill_inodes(&self) {
        fs::create_dir(self.ballast()).unwrap();
        let used_up =
            (0..).map(|number: u64| File::create(self.ballast().join(number.to_string())));
        assert!(used_up.take_while(Result::is_ok).count() > 0);
    }

    /// Removes the files that [`SmallDisk::fill_inodes`] made.
    pub fn free_inodes(&self) {
        fs::remove_dir_all(self.ballast()).unwrap();
    }

    /// The path for a spool on it.
    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// Fills all free space with another file.
    pub fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let block = [1; 4096];
        while file.write_all(&block).is_ok() {}
    }

    /// Removes the file that [`SmallDisk::fill`] made.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Mounts it again with another option, such as `ro`.
    pub fn remount(&self, option: &str) {
        let mut mount = Command::new("mount");
        mount
            .arg("-o")
            .arg(format!("remount,{option}"))
            .arg(self.dir.path());
        // The kernel refuses `ro` while a process writes to the disk.
        wait_until(option, || mount.output().unwrap().status.success());
    }
}

/// A second path to a directory, under which it cannot be written to.
pub struct ReadOnlyView {
    _mounted: MountPoint,
    view: tempfile::TempDir,
}

impl ReadOnlyView {
    /// `None` if this process may not mount.
    pub fn mount(dir: &Path) -> Option<Self> {
        if !can_mount("a directory read-only") {
            return None;
        }
        let view = tempfile::tempdir().unwrap();
        mount(&["--bind"], &[dir, view.path()]);
        let mounted = MountPoint(view.path().to_owned());
        mount(&["-o", "remount,bind,ro"], &[view.path()]);
        Some(Self {
            _mounted: mounted,
            view,
        })
    }

    pub fn path(&self) -> &Path {
        self.view.path()
    }
}

/// A file system over FUSE. The library treats it as a network file system, because other hosts may
/// see it, too.
pub struct FuseDisk {
    _mounted: MountPoint,
    dir: tempfile::TempDir,
}

impl FuseDisk {
    /// `None` if this process may not mount it.
    pub fn mount() -> Option<Self> {
        if !can_mount("a file system over FUSE") {
            return None;
        }
        if !Path::new("/dev/fuse").exists() {
            report_skip("this machine has no /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for name in ["behind", "mounted"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut bindfs = Command::new("bindfs");
        stdout_of(bindfs.args(["behind", "mounted"]).current_dir(dir.path()));
        Some(Self {
            _mounted: MountPoint(dir.path().join("mounted")),
            dir,
        })
    }

    /// The path for a spool on it.
    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("mounted/spool")
    }
}

/// What a [`LoopDisk`] is formatted as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Formatted {
    Ext4,
    /// Its id is its device number, and its root directory has one handle on all disks.
    Xfs,
}

impl Formatted {
    /// The program that makes it, with its arguments, and the least size of a disk in mebibytes.
    fn maker(self) -> (Command, u64) {
        let (name, arguments, mebibytes): (_, &[&str], _) = match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"], 24),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"], 304),
        };
        let mut make = Command::new(name);
        let path = std::env::var("PATH").unwrap_or_default();
        make.args(arguments)
            .env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/bin:/bin"));
        (make, mebibytes)
    }

    /// What mounts a disk also beside one with its bytes.
    fn mount_options(self) -> &'static str {
        match self {
            Self::Ext4 => "rw",
            Self::Xfs => "nouuid",
        }
    }
}

/// A disk in a file, which gets another device number each time that it is attached.
pub struct LoopDisk {
    dir: tempfile::TempDir,
    formatted: Formatted,
    device: Option<String>,
    /// Devices that others have, so that this disk does not get its number again.
    taken: Vec<String>,
}

impl LoopDisk {
    /// A new disk, attached; `None` if this process may not attach it.
    pub fn attach_new() -> Option<Self> {
        Self::attach_formatted(Formatted::Ext4)
    }

    /// The same with another file system; `None` also where nothing can make that.
    pub fn attach_formatted(formatted: Formatted) -> Option<Self> {
        if !can_mount("a disk in a file") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        let (mut make, mebibytes) = formatted.maker();
        let file = File::create(&image).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        match make.arg(&image).output() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let program = make.get_program().display();
                report_skip(&format!("{program} is not installed"));
                return None;
            }
            made => assert!(made.unwrap().status.success()),
        }
        fs::create_dir(dir.path().join("mounted")).unwrap();
        let mut disk = Self {
            dir,
            formatted,
            device: None,
            taken: Vec::new(),
        };
        disk.attach();
        Some(disk)
    }

    /// A second disk with the bytes of this one, as a snapshot has them.
    pub fn attach_clone(&self) -> Self {
        stdout_of(Command::new("sync").arg("-f").arg(self.path()));
        let dir = tempfile::tempdir().unwrap();
        fs::copy(self.dir.path().join("image"), dir.path().join("image")).unwrap();
        fs::create_dir(dir.path().join("mounted")).unwrap();
        let mut cloned = Self {
            dir,
            formatted: self.formatted,
            device: None,
            taken: Vec::new(),
        };
        cloned.attach();
        cloned
    }

    /// Its directory, while it is attached.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    pub fn attach(&mut self) {
        let device = loop_device(&self.dir.path().join("image"));
        let options = self.formatted.mount_options();
        mount(&["-o", options, &device], &[&self.path()]);
        self.device = Some(device);
    }

    /// Unmounts it, and gives its number to another disk.
    pub fn detach(&mut self) {
        let device = self.device.take().unwrap();
        let mut umount = Command::new("umount");
        umount.arg(self.path());
        wait_until("nobody uses the disk", || {
            umount.output().unwrap().status.success()
        });
        stdout_of(Command::new("/sbin/losetup").args(["-d", &device]));
        let other = self.dir.path().join("other");
        File::create(&other).unwrap().set_len(1 << 20).unwrap();
        while self.taken.last() != Some(&device) && self.taken.len() < 8 {
            self.taken.push(loop_device(&other));
        }
    }
}

fn loop_device(file: &Path) -> String {
    let mut losetup = Command::new("/sbin/losetup");
    let printed = stdout_of(losetup.args(["-f", "--show"]).arg(file));
    printed.trim().to_owned()
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.device.is_some() {
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
        for device in self.device.iter().chain(&self.taken) {
            let _ = Command::new("/sbin/losetup").args(["-d", device]).status();
        }
    }
}

/// A second path to a directory.
pub struct BoundView {
    _mounted: MountPoint,
    view: tempfile::TempDir,
}

impl BoundView {
    /// `None` if this process may not mount.
    pub fn mount(dir: &Path) -> Option<Self> {
        if !can_mount("a directory at a second path") {
            return None;
        }
        let view = tempfile::tempdir().unwrap();
        mount(&["--bind"], &[dir, view.path()]);
        Some(Self {
            _mounted: MountPoint(view.path().to_owned()),
            view,
        })
    }

    pub fn path(&self) -> &Path {
        self.view.path()
    }
}

/// A disk like a container's: a directory as its image, and above it what the container writes.
pub struct Overlay {
    _mounted: [MountPoint; 2],
    dir: tempfile::TempDir,
}

impl Overlay {
    /// Calls `build` with the directory of the image; `None` if this process may not mount an overlay.
    pub fn mount(build: impl FnOnce(&Path)) -> Option<Self> {
        if !can_mount("an overlay") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        // An overlay may not lie on another one, which a test's own directory may be on.
        mount(&["-t", "tmpfs", "-o", "mode=0700", "none"], &[dir.path()]);
        let below = MountPoint(dir.path().to_owned());
        let [image, upper, work, merged] =
            ["image", "upper", "work", "merged"].map(|name| dir.path().join(name));
        for path in [&image, &upper, &work, &merged] {
            fs::create_dir(path).unwrap();
        }
        build(&image);
        if !mount_overlay(dir.path()) {
            report_skip("this machine mounts no overlay");
            return None;
        }
        Some(Self {
            _mounted: [MountPoint(merged), below],
            dir,
        })
    }

    /// Ends the container and starts it again: its disk is mounted anew.
    pub fn restart(&self) {
        let merged = self.dir.path().join("merged");
        let before = device_of(&merged);
        let mut umount = Command::new("umount");
        umount.arg(&merged);
        wait_until("nobody uses the disk", || {
            umount.output().unwrap().status.success()
        });
        // Its device number goes to another mount meanwhile, at most the last of these.
        let mut others = Vec::new();
        while others.len() < 50 {
            let other = self.dir.path().join(format!("other-{}", others.len()));
            fs::create_dir_all(&other).unwrap();
            mount(&["-t", "tmpfs", "none"], &[&other]);
            others.push(MountPoint(other));
            if others
                .last()
                .is_some_and(|other| device_of(&other.0) == before)
            {
                break;
            }
        }
        assert!(mount_overlay(self.dir.path()));
    }

    /// A path as the container sees it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("merged").join(name)
    }
}

fn device_of(path: &Path) -> u64 {
    fs::metadata(path).unwrap().dev()
}

/// Mounts the layers in a directory of an [`Overlay`]; `false`: this machine cannot.
fn mount_overlay(dir: &Path) -> bool {
    let at = |name: &str| dir.join(name).display().to_string();
    let (lower, upper, work) = (at("image"), at("upper"), at("work"));
    let layers = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let mut overlay = Command::new("mount");
    overlay.args(["-t", "overlay", "-o", &layers, "none"]);
    let mounted = overlay.arg(at("merged")).output().unwrap();
    mounted.status.success()
}
