//! The rights that Kubernetes and OpenShift give to volumes, set by hand: which spools work there, which are
//! refused, and what a refusal advises. `docs/kubernetes.md` has the same table.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Output;

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::privileges::{is_root, report_skip};
use meditopia_testkit::sandbox::Sandbox;

/// `runAsUser` of a pod, and of a later one.
const USER: u32 = 54_321;
const ANOTHER_USER: u32 = 54_322;
/// `fsGroup`.
const FS_GROUP: u32 = 54_400;
/// What a project of OpenShift runs as.
const RANDOM_USER: u32 = 1_000_650_000;
const ROOT_GROUP: u32 = 0;
/// What a program enqueues.
const EVENTS: u64 = 11;

/// A volume, and a program that opens a spool on it, as a pod would.
struct Cluster {
    api: Sandbox,
    program: CProgram,
}

/// As whom the program runs.
#[derive(Clone, Copy)]
struct Pod<'a> {
    uid: u32,
    gid: u32,
    groups: &'a [u32],
    umask: &'a str,
    options: &'a [(&'a str, &'a str)],
}

const TRUSTING: &[(&str, &str)] = &[("trust_group", "true")];

impl Pod<'_> {
    const fn of(uid: u32, gid: u32, groups: &[u32]) -> Pod<'_> {
        Pod {
            uid,
            gid,
            groups,
            umask: "022",
            options: &[],
        }
    }

    fn trusting(self) -> Self {
        Self {
            options: TRUSTING,
            ..self
        }
    }
}

/// With `fsGroup`, as the kubelet starts it.
const WITH_GROUP: Pod<'_> = Pod::of(USER, USER, &[FS_GROUP]);

impl Cluster {
    /// `None` without root.
    fn start() -> Option<Self> {
        if !is_root() {
            report_skip("only root can set owners and groups as the kubelet does");
            return None;
        }
        Some(Self {
            api: Sandbox::start(),
            program: CProgram::compile_for_any_user("linger.c"),
        })
    }

    /// A new volume with this owner, group and mode of its root.
    fn volume(&self, name: &str, uid: u32, gid: u32, mode: u32) -> PathBuf {
        let volume = self.program.dir().join(name);
        fs::create_dir(&volume).unwrap();
        chown(&volume, Some(uid), Some(gid)).unwrap();
        set_mode(&volume, mode);
        volume
    }

    /// Starts the pod and waits for its end.
    fn run(&mut self, pod: Pod<'_>, spool: &Path) -> Output {
        let mut words = vec![
            "setpriv".to_owned(),
            format!("--reuid={}", pod.uid),
            format!("--regid={}", pod.gid),
        ];
        let groups: Vec<String> = pod.groups.iter().map(u32::to_string).collect();
        words.push(match &*groups {
            [] => "--clear-groups".to_owned(),
            _ => format!("--groups={}", groups.join(",")),
        });
        let umask = format!("umask {}; exec \"$@\"", pod.umask);
        words.extend(["sh", "-c", &umask, "sh"].map(str::to_owned));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut options = vec![("spool", spool.to_str().unwrap()), ("role", "both")];
        options.extend(pod.options);
        self.program.configure(&self.api, &options);
        self.program.command_under(&words, &[]).output().unwrap()
    }

    fn works(&mut self, pod: Pod<'_>, spool: &Path) {
        let before = self.api.ledger().accepted_events;
        let output = self.run(pod, spool);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", spool.display());
        // What was enqueued after the flush is delivered by the next start.
        let delivered = self.api.ledger().accepted_events - before;
        assert!(delivered >= EVENTS - 1, "{delivered} events");
    }

    /// Every refusal says what happened, in these words, and what to do in an orchestrator.
    fn is_refused(&mut self, pod: Pod<'_>, spool: &Path, words: &[&str]) {
        let output = self.run(pod, spool);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{}", spool.display());
        let advice = [
            "MEDITOPIA_ERROR_SPOOL_MISMATCH",
            "fsGroup",
            "fsGroupChangePolicy: OnRootMismatch",
            "subPath",
            "a directory below the mount",
            "docs/kubernetes.md",
        ];
        for word in advice.iter().chain(words) {
            assert!(stderr.contains(word), "no {word:?} in {stderr}");
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What the kubelet does at the start of a pod with `fsGroup`.
fn apply_fs_group(path: &Path) {
    let about = path.symlink_metadata().unwrap();
    chown(path, None, Some(FS_GROUP)).unwrap();
    let mask = if about.is_dir() { 0o2770 } else { 0o660 };
    set_mode(path, about.mode() & 0o7777 | mask);
    if about.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            apply_fs_group(&entry.unwrap().path());
        }
    }
}

/// The modes of everything in a spool, which has to be `dir` or `file`.
fn assert_modes(spool: &Path, dir: u32, file: u32) {
    let about = spool.symlink_metadata().unwrap();
    let wanted = if about.is_dir() { dir } else { file };
    let mode = about.mode() & 0o7777;
    assert_eq!(mode, wanted, "{} has {mode:04o}", spool.display());
    if about.is_dir() {
        for entry in fs::read_dir(spool).unwrap() {
            assert_modes(&entry.unwrap().path(), dir, file);
        }
    }
}

#[test]
fn a_spool_below_a_volume_works_at_each_start_of_a_pod_although_fs_group_opens_it_to_the_group() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let volume = cluster.volume("volume", 0, 0, 0o755);
    let spool = volume.join("spool");
    for _ in 0..3 {
        apply_fs_group(&volume);
        cluster.works(WITH_GROUP, &spool);
        assert_modes(&spool, 0o700, 0o600);
    }
    // With fsGroupChangePolicy: OnRootMismatch nothing changes at the next start.
    cluster.works(WITH_GROUP, &spool);
    assert_modes(&spool, 0o700, 0o600);
}

#[test]
fn the_root_of_an_empty_dir_is_refused_and_a_directory_below_it_works() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let plain = cluster.volume("plain", 0, 0, 0o777);
    let with_group = cluster.volume("with_group", 0, FS_GROUP, 0o2777);
    for (volume, pod) in [
        (&plain, Pod::of(USER, USER, &[])),
        (&with_group, WITH_GROUP),
    ] {
        for pod in [pod, pod.trusting()] {
            cluster.is_refused(pod, volume, &["belongs to uid 0", "mode"]);
        }
        cluster.works(pod, &volume.join("spool"));
        assert_modes(&volume.join("spool"), 0o700, 0o600);
    }
    // A container that runs as root owns it.
    let of_root = cluster.volume("of_root", 0, 0, 0o777);
    cluster.works(Pod::of(0, 0, &[]), &of_root);
    assert_modes(&of_root, 0o700, 0o600);
}

#[test]
fn a_directory_of_other_files_or_with_the_sticky_bit_is_not_closed_to_others() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let root = Pod::of(0, 0, &[]);
    let shared = cluster.volume("shared", 0, 0, 0o1777);
    cluster.is_refused(root, &shared, &["a directory below it"]);
    let used = cluster.volume("used", 0, 0, 0o777);
    fs::write(used.join("data"), "").unwrap();
    cluster.is_refused(root, &used, &["\"data\" in it is no spool's"]);
    // Another user may have written what is in this one.
    let spool = cluster.volume("spool", 0, 0, 0o777);
    cluster.works(root, &spool);
    set_mode(&spool, 0o777);
    fs::write(spool.join("journal/planted"), "").unwrap();
    chown(spool.join("journal/planted"), Some(USER), Some(USER)).unwrap();
    for _ in 0..2 {
        cluster.is_refused(root, &spool, &["journal/planted in it belongs to uid"]);
    }
    for (dir, mode) in [(&shared, 0o1777), (&used, 0o777), (&spool, 0o777)] {
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o7777, mode);
    }
}

#[test]
fn the_root_of_a_volume_with_fs_group_works_only_if_the_group_is_trusted() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let volume = cluster.volume("volume", 0, 0, 0o750);
    apply_fs_group(&volume);
    let words = ["belongs to uid 0", "trust_group = true"];
    cluster.is_refused(WITH_GROUP, &volume, &words);
    cluster.works(WITH_GROUP.trusting(), &volume);
    // A later pod has another uid, and the kubelet has nothing to change.
    let later = Pod::of(ANOTHER_USER, ANOTHER_USER, &[FS_GROUP]);
    cluster.works(later.trusting(), &volume);
    cluster.works(WITH_GROUP.trusting(), &volume);
    assert_modes(&volume, 0o2770, 0o660);
    let stranger = Pod::of(ANOTHER_USER, ANOTHER_USER, &[]);
    cluster.is_refused(stranger.trusting(), &volume, &["belongs to uid 0"]);
}

#[test]
fn a_random_user_of_open_shift_uses_a_directory_of_group_0_if_that_is_trusted() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let pod = Pod::of(RANDOM_USER, ROOT_GROUP, &[]);
    // What an image prepares: chgrp 0 DIR && chmod g=u DIR.
    for mode in [0o770, 0o775] {
        let volume = cluster.volume(&format!("image-{mode:o}"), 0, ROOT_GROUP, mode);
        cluster.is_refused(pod, &volume, &["trust_group = true"]);
        cluster.works(pod.trusting(), &volume);
        // Another project has another uid.
        let other = Pod::of(RANDOM_USER + 10_000, ROOT_GROUP, &[]);
        cluster.works(other.trusting(), &volume);
        cluster.works(pod.trusting(), &volume);
        // A spool that it makes itself is its own.
        let below = volume.join("below");
        cluster.works(pod, &below);
        assert_modes(&below, 0o700, 0o600);
        cluster.is_refused(other, &below, &["belongs to uid 1000650000"]);
    }
}

#[test]
fn a_new_uid_is_refused_on_an_old_spool_unless_its_group_is_trusted() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let (old, new) = (USER, ANOTHER_USER);
    let volume = cluster.volume("volume", 0, FS_GROUP, 0o2775);
    let spool = volume.join("spool");
    cluster.works(Pod::of(old, old, &[FS_GROUP]), &spool);
    let pod = Pod::of(new, new, &[FS_GROUP]);
    for pod in [pod, pod.trusting()] {
        cluster.is_refused(pod, &spool, &[&format!("belongs to uid {old}")]);
    }
    // The kubelet opens it to the group.
    apply_fs_group(&volume);
    cluster.is_refused(pod, &spool, &["trust_group = true"]);
    cluster.works(pod.trusting(), &spool);
    // From then on also without the kubelet.
    cluster.works(Pod::of(old, old, &[FS_GROUP]).trusting(), &spool);
    cluster.works(pod.trusting(), &spool);
}

#[test]
fn a_spool_that_a_group_shares_from_the_start_works_for_each_user_of_it() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let volume = cluster.volume("volume", 0, FS_GROUP, 0o2775);
    let spool = volume.join("path/spool");
    for uid in [USER, ANOTHER_USER, USER] {
        cluster.works(Pod::of(uid, uid, &[FS_GROUP]).trusting(), &spool);
        assert_modes(&volume.join("path"), 0o2770, 0o660);
        assert_eq!(fs::metadata(&spool).unwrap().gid(), FS_GROUP);
    }
}

#[test]
fn a_spool_is_made_with_all_its_rights_under_a_umask_that_takes_them() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    for umask in ["0777", "0277", "0177", "0000"] {
        let volume = cluster.volume(&format!("umask-{umask}"), USER, USER, 0o755);
        for options in [&[][..], TRUSTING] {
            let home = volume.join(format!("home-{}", options.len()));
            let pod = Pod {
                umask,
                options,
                ..Pod::of(USER, USER, &[])
            };
            for _ in 0..2 {
                cluster.works(pod, &home.join("spool"));
            }
            match options {
                [] => assert_modes(&home, 0o700, 0o600),
                _ => assert_modes(&home, 0o2770, 0o660),
            }
        }
    }
}
