//! A spool that was made when a container's image was built lies in a lower layer of an overlay.
//!
//! Every container of the image would begin with the same pending events and send them again, and what it
//! writes is gone with it. So such a spool is refused. An empty directory of the image is fine: it counts
//! as changed from the first look on, and what is created in it lies in the container's own layer.
//!
//! An overlay does not say what lies where. But a directory of which a lower layer holds a part has one link
//! there, however many directories are in it; elsewhere a directory has two at least.

use std::path::Path;

use super::dir::Dir;
use super::files::spool_name;
use crate::error::{Error, ErrorKind, Result};
use crate::process::random_u64;

/// The directories of a spool that hold events.
const WITH_EVENTS: [&str; 2] = ["journal", "ledger"];

/// Whether a [kind of file system](super::directory::file_system) is an overlay, as the disk of a container is.
pub(super) fn is_overlay(kind: u32) -> bool {
    const OVERLAY: u32 = 0x794c_7630;
    kind == OVERLAY
}

/// Has the spool's directory copied to the upper layer, so that it does not change its identity later, and
/// refuses a spool of which a lower layer holds a part.
pub(super) fn refuse_lower_layer(spool: &Path, dir: &Dir) -> Result<()> {
    copy_up(dir);
    let in_image = |name: &&&str| {
        dir.subdir(name).is_ok_and(|folder| {
            copy_up(&folder);
            has_one_link(dir, name) == Some(true)
        })
    };
    let Some(folder) = WITH_EVENTS.iter().find(in_image) else {
        return Ok(());
    };
    // Some file systems below an overlay count no links of directories at all.
    let fresh = format!("layer.{:016x}", random_u64());
    let counts_links =
        dir.ensure_subdir(&fresh).is_ok() && has_one_link(dir, &fresh) == Some(false);
    let _ = dir.remove_dir(&fresh);
    if !counts_links {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::SpoolMismatch,
        format!(
            "{}: {folder}/ is part of the container's image, so every container would send its events again; mount a volume here, or name a directory that the image does not have",
            spool_name(spool)
        ),
    ))
}

/// Setting the rights that a directory has changes nothing but its layer. Where that fails, nothing else can
/// be written either.
fn copy_up(dir: &Dir) {
    let rights = dir.metadata().map(|about| about.permissions());
    let _ = rights.and_then(|rights| dir.as_file()?.set_permissions(rights));
}

fn has_one_link(dir: &Dir, name: &str) -> Option<bool> {
    dir.about(name).ok().map(|about| about.st_nlink == 1)
}
