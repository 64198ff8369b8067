//! Which spool is the same one: its files decide, wherever their disk is attached. A copy is refused, also one
//! that has the path, the inode or the disk's id of its original.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use meditopia::internals::spool::{self, Destination};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::disks::{BoundView, Formatted, LoopDisk, Overlay, SmallDisk};
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;

/// A program that opens a spool, enqueues, delivers, and leaves one event for the next time.
struct Application {
    api: Sandbox,
    program: CProgram,
    delivered: u64,
    left: u64,
}

/// What the program enqueues before and after its flush.
const DELIVERED: u64 = 10;
const LEFT: u64 = 1;

impl Application {
    fn new() -> Self {
        Self {
            api: Sandbox::start(),
            program: CProgram::compile("linger.c"),
            delivered: 0,
            left: 0,
        }
    }

    /// Runs the program: it knows the spool, and delivers what the last run has left there.
    #[track_caller]
    fn finds_its_spool(&mut self, spool: &Path) {
        self.delivered += self.left + DELIVERED;
        self.left = LEFT;
        let (succeeded, stderr) = self.run(spool);
        assert!(succeeded, "{}: {stderr}", spool.display());
        assert!(
            self.api.ledger().accepted_events >= self.delivered,
            "{}",
            spool.display()
        );
    }

    /// Runs the program: the spool is refused, in these words, and nothing is sent.
    #[track_caller]
    fn is_refused(&mut self, spool: &Path, why: &str) {
        let before = self.api.ledger().requests;
        let (succeeded, stderr) = self.run(spool);
        assert!(!succeeded, "{} was opened", spool.display());
        for word in ["MEDITOPIA_ERROR_SPOOL_MISMATCH", why, "meditopia adopt"] {
            assert!(stderr.contains(word), "no {word:?} in {stderr}");
        }
        assert_eq!(self.api.ledger().requests, before);
    }

    fn adopt(&self, spool: &Path) {
        let destination = Destination {
            endpoint: self.api.endpoint(),
            account: "",
        };
        spool::adopt(spool, destination).unwrap();
    }

    fn run(&self, spool: &Path) -> (bool, String) {
        let options = [("spool", spool.to_str().unwrap()), ("role", "both")];
        self.program.configure(&self.api, &options);
        let output = self.program.command(&[]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), stderr)
    }
}

fn device_of(path: &Path) -> u64 {
    fs::metadata(path).unwrap().dev()
}

fn copy(spool: &Path, to: &Path) {
    stdout_of(Command::new("cp").arg("-a").arg(spool).arg(to));
}

const COPY: &str = "is a copy of another spool";

#[test]
fn a_spool_on_a_volume_that_is_attached_as_another_device_is_the_same_one() {
    let Some(mut disk) = LoopDisk::attach_new() else {
        return;
    };
    let mut application = Application::new();
    let spool = disk.path().join("spool");
    application.finds_its_spool(&spool);
    for _ in 0..2 {
        let before = device_of(&spool);
        disk.detach();
        disk.attach();
        assert_ne!(device_of(&spool), before);
        application.finds_its_spool(&spool);
    }
}

#[test]
fn a_spool_in_a_container_that_is_started_again_is_the_same_one() {
    let Some(container) = Overlay::mount(|image| fs::create_dir(image.join("empty")).unwrap())
    else {
        return;
    };
    let mut application = Application::new();
    for name in ["empty/spool", "fresh"] {
        let spool = container.path(name);
        application.left = 0;
        application.finds_its_spool(&spool);
        for _ in 0..2 {
            let before = device_of(&spool);
            container.restart();
            assert_ne!(device_of(&spool), before, "the test needs another number");
            application.finds_its_spool(&spool);
        }
    }
}

#[test]
fn a_spool_that_was_made_with_a_containers_image_is_refused_by_its_name_also_without_events() {
    let mut application = Application::new();
    let mounted = Overlay::mount(|image| {
        let built = image.join("spool");
        application.finds_its_spool(&built);
        // What a clean-up at the end of a build leaves.
        for folder in ["journal", "ledger", "queues"] {
            fs::remove_dir_all(built.join(folder)).unwrap();
        }
    });
    let Some(container) = mounted else {
        return;
    };
    for _ in 0..2 {
        application.is_refused(
            &container.path("spool"),
            "with the container's image or in another container: mount a volume",
        );
    }
}

#[test]
fn a_spool_at_a_second_path_is_the_same_one() {
    let parent = tempfile::tempdir().unwrap();
    let spool = parent.path().join("spool");
    let mut application = Application::new();
    application.finds_its_spool(&spool);
    let Some(view) = BoundView::mount(&spool) else {
        return;
    };
    application.finds_its_spool(view.path());
    application.finds_its_spool(&spool);
}

#[test]
fn a_spool_in_memory_is_the_same_one_until_its_copy_is_looked_at() {
    let (Some(disk), Some(other)) = (SmallDisk::mount(16), SmallDisk::mount(16)) else {
        return;
    };
    let mut application = Application::new();
    for _ in 0..2 {
        application.finds_its_spool(&disk.spool());
    }
    // Two file systems in memory give the same inodes.
    copy(&disk.spool(), &other.spool());
    application.is_refused(&other.spool(), COPY);
}

#[test]
fn a_renamed_spool_is_the_same_one_and_a_copied_or_restored_one_is_not() {
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { parent.path().join(name) };
    let mut application = Application::new();
    application.finds_its_spool(&at("spool"));
    fs::rename(at("spool"), at("renamed")).unwrap();
    application.finds_its_spool(&at("renamed"));

    copy(&at("renamed"), &at("copy"));
    application.is_refused(&at("copy"), COPY);
    fs::remove_dir_all(at("copy")).unwrap();
    application.finds_its_spool(&at("renamed"));

    // To the same path.
    let archive = at("archive.tar");
    let tar = |flag: &str| {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(parent.path()).arg(flag).arg(&archive);
        tar
    };
    // It complains of the socket.
    assert!(tar("-cf").arg("renamed").output().unwrap().status.success());
    fs::remove_dir_all(at("renamed")).unwrap();
    stdout_of(&mut tar("-xf"));
    application.is_refused(&at("renamed"), COPY);
    application.adopt(&at("renamed"));
    application.finds_its_spool(&at("renamed"));
}

#[test]
fn a_spool_on_a_disk_that_was_copied_is_refused_while_the_original_is_mounted_beside_it() {
    let Some(disk) = LoopDisk::attach_new() else {
        return;
    };
    let mut application = Application::new();
    application.finds_its_spool(&disk.path().join("spool"));
    let cloned = disk.attach_clone();
    application.is_refused(&cloned.path().join("spool"), COPY);
    application.finds_its_spool(&disk.path().join("spool"));
}

#[test]
fn a_spool_on_a_disk_whose_file_system_has_no_id_is_known_by_its_uuid() {
    let attach = || LoopDisk::attach_formatted(Formatted::Xfs);
    let (Some(mut disk), Some(other)) = (attach(), attach()) else {
        return;
    };
    let mut application = Application::new();
    // The roots of all disks have one inode and one handle.
    let spool = disk.path();
    let make_private = |dir: &Path| {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir, private).unwrap();
    };
    make_private(&spool);
    application.finds_its_spool(&spool);
    stdout_of(
        Command::new("cp")
            .arg("-a")
            .arg(spool.join("."))
            .arg(other.path()),
    );
    make_private(&other.path());
    application.is_refused(&other.path(), COPY);
    let cloned = disk.attach_clone();
    application.is_refused(&cloned.path(), COPY);
    drop((cloned, other));

    let before = device_of(&spool);
    disk.detach();
    disk.attach();
    assert_ne!(device_of(&spool), before);
    application.finds_its_spool(&spool);
}
