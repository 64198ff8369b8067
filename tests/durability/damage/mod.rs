//! Damage of what is on disk: never a crash, never a silent loss.
//!
//! A spool is made once by processes in C, copied for each trial, damaged at places drawn from a seed,
//! and then delivered by the whole library. Of a segment every record whose bytes are as they were has
//! to arrive, and what did not has to lie under `damaged/`, be zero, or be counted as torn. Of a store
//! either everything arrives or delivery pauses, and `recover` says at most how much is lost.

mod segment;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use meditopia::Client;
use meditopia::internals::spool::{self, Destination};
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;
use meditopia_testkit::wait::wait_until;

const SEED: u64 = 7;

/// A spool that is copied for each trial.
struct Template {
    api: Sandbox,
    program: CProgram,
}

/// A copy of it, with a client of its own.
struct Copy {
    dir: tempfile::TempDir,
    host: TestSpool,
}

impl Template {
    fn copy(&self) -> Copy {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("spool");
        copy_dir(&self.program.spool(), &spool);
        let destination = Destination {
            endpoint: self.api.endpoint(),
            account: "",
        };
        spool::adopt(&spool, destination).unwrap();
        let host = TestSpool::for_sandbox(&self.api)
            .with("spool", spool.to_str().unwrap())
            // Nothing of this process keeps the spool once its client is closed.
            .with("role", "both");
        Copy { dir, host }
    }
}

impl Copy {
    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn client(&self) -> Client {
        self.host.client()
    }
}

fn copy_dir(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_dir(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Tries `all` times in shares at the same time, each with a template of its own: a trial mostly
/// waits. The number of a trial seeds its damage.
fn try_in_shares<T, S: Send>(
    all: u64,
    template: impl Fn() -> T + Sync,
    try_one: impl Fn(&T, u64, &mut fastrand::Rng) -> S + Sync,
) -> Vec<S> {
    const SHARES: u64 = 6;
    std::thread::scope(|scope| {
        let share = |first: u64| {
            let template = template();
            let trials = (first..all).step_by(SHARES as usize);
            trials
                .map(|trial| {
                    try_one(
                        &template,
                        trial,
                        &mut fastrand::Rng::with_seed(SEED + trial),
                    )
                })
                .collect::<Vec<S>>()
        };
        let shares: Vec<_> = (0..SHARES)
            .map(|first| scope.spawn(move || share(first)))
            .collect();
        let joined = shares.into_iter().map(|share| share.join());
        joined
            .flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
