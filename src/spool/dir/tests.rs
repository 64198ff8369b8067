//! Rights that go through no link, and renames that replace nothing.

use super::*;
use std::fs;

#[test]
fn rights_are_not_set_through_a_link_nor_on_a_file_that_is_not_the_spools_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| parent.path().join(name);
    fs::create_dir(at("spool")).unwrap();
    let dir = Dir::kept(File::open(at("spool")).unwrap(), &at("spool"));
    let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, path) in [("file", at("file")), ("dir", at("dir"))] {
        match name {
            "dir" => fs::create_dir(&path).unwrap(),
            _ => fs::write(&path, "").unwrap(),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(&path, at("spool").join(name)).unwrap();
        let refused = dir.set_rights(name, Mode::RWXU | Mode::RWXG, None);
        assert!(refused.is_err(), "{name}");
        assert_eq!(mode_of(&path), 0o700, "{name}");
    }
    fs::hard_link(at("file"), at("spool/other")).unwrap();
    assert!(
        dir.set_rights("other", Mode::RUSR | Mode::WUSR, None)
            .is_err()
    );
    fs::write(at("spool/own"), "").unwrap();
    dir.set_rights("own", Mode::RUSR, None).unwrap();
    assert_eq!(
        (mode_of(&at("spool/own")), mode_of(&at("file"))),
        (0o400, 0o700)
    );
}

#[test]
fn where_a_rename_cannot_refuse_to_replace_no_file_is_replaced_either() {
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| parent.path().join(name);
    let dir = Dir::kept(File::open(parent.path()).unwrap(), parent.path());
    fs::write(at("old"), "old").unwrap();
    dir.rename_if_free("old", &dir, "new").unwrap();
    fs::write(at("old"), "another").unwrap();
    let refused = dir.rename_if_free("old", &dir, "new").unwrap_err();
    assert_eq!(refused.kind(), IoKind::AlreadyExists);
    assert_eq!(fs::read(at("new")).unwrap(), b"old");
    assert_eq!(fs::read(at("old")).unwrap(), b"another");
    let gone = dir.rename_if_free("x", &dir, "y");
    assert_eq!(gone.unwrap_err().kind(), IoKind::NotFound);
}
