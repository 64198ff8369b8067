//! To which user and destination a spool belongs, and who may open it.

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::identity::{read_identity, write_identity};
use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Destination, LimitedFile, NetworkFileSystem, Safety, Spool, adopt};
use crate::error::{Error, ErrorKind, Result};
use crate::process::tests::in_child;

const OURS: Destination<'_> = Destination {
    endpoint: "https://api.example/events",
    account: "",
};

/// A new spool, in a directory of its own.
pub(crate) fn new_spool() -> (tempfile::TempDir, Spool) {
    let parent = tempfile::tempdir().unwrap();
    let spool = new_spool_in(parent.path());
    (parent, spool)
}

/// A new spool in `parent`.
pub(crate) fn new_spool_in(parent: &Path) -> Spool {
    open(&parent.join("spool")).unwrap()
}

fn open(dir: &Path) -> Result<Spool> {
    Spool::open(dir, OURS, NetworkFileSystem::Refuse)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_new_spool_is_private_and_opens_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b/spool");
    let first = open(&dir).unwrap();
    assert_eq!(first.boot_count(), 1);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("identity.json")), 0o600);
    assert_eq!(open(&dir).unwrap().directory_id(), first.directory_id());
}

#[test]
fn a_spool_of_another_endpoint_or_account_is_refused_and_unchanged() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("spool");
    open(&dir).unwrap();
    let before = fs::read(dir.join("identity.json")).unwrap();
    for other in [
        Destination {
            endpoint: "https://other.example/events",
            ..OURS
        },
        Destination {
            account: "staging",
            ..OURS
        },
    ] {
        let error = Spool::open(&dir, other, NetworkFileSystem::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpoolMismatch, "{error}");
    }
    assert_eq!(fs::read(dir.join("identity.json")).unwrap(), before);
}

#[test]
fn a_copied_spool_is_refused_until_an_operator_adopts_it() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, copy) = (parent.path().join("spool"), parent.path().join("copy"));
    open(&dir).unwrap();
    DirBuilder::new().mode(0o700).create(&copy).unwrap();
    fs::copy(dir.join("identity.json"), copy.join("identity.json")).unwrap();

    let error = open(&copy).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SpoolMismatch);
    assert!(error.message().contains("adopt"), "{error}");

    adopt(&copy, OURS).unwrap();
    open(&copy).unwrap();
    open(&dir).unwrap();
}

#[test]
fn a_reboot_is_counted_once_and_survives_a_changed_device_number() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("spool");
    let spool = open(&dir).unwrap();
    let held = spool.held_dir().unwrap();
    let mut identity = read_identity(&held).unwrap().unwrap();
    identity.boot_id = "an earlier boot".to_owned();
    identity.place.device += 1;
    write_identity(&held, &identity).unwrap();

    assert_eq!(open(&dir).unwrap().boot_count(), 2);
    assert_eq!(open(&dir).unwrap().boot_count(), 2);
}

#[test]
fn a_spool_of_this_user_that_others_may_write_to_is_its_owners_alone_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("spool");
    open(&dir).unwrap();
    for others in [0o2770, 0o777] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(others)).unwrap();
        let identity = fs::Permissions::from_mode(0o664);
        fs::set_permissions(dir.join("identity.json"), identity).unwrap();
        open(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("identity.json")), 0o600);
    }
}

#[test]
fn a_small_file_and_an_export_do_not_grow_beyond_the_limit_of_files_and_the_error_names_it() {
    let (_parent, spool) = new_spool();
    // With the default action of the signal, which would end the process.
    assert!(in_child(|| {
        let limit = Rlimit {
            current: Some(100),
            maximum: None,
        };
        setrlimit(Resource::Fsize, limit).unwrap();
        let dir = spool.held_dir().unwrap();
        let file = dir.create("export", OFlags::WRONLY).unwrap();
        let mut export = LimitedFile::new(file.try_clone().unwrap());
        let results = [
            dir.replace("small", &[0; 101], Safety::Process),
            export
                .write_all(&[0; 60])
                .and_then(|()| export.write_all(&[0; 60])),
        ];
        let named = |result: std::io::Result<()>| {
            let error = Error::io("it", result.unwrap_err());
            error.kind() == ErrorKind::SpoolFull && error.message().contains("RLIMIT_FSIZE")
        };
        results.into_iter().all(named)
            && dir.replace("small", &[0; 100], Safety::Process).is_ok()
            && export.write_all(&[0; 40]).is_ok()
    }));
}
