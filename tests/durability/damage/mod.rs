//! Damage to the files of a spool: the library never crashes, and loses nothing without a report.
//!
//! Processes in C make a spool once. Each trial copies it, damages it at places drawn from a seed,
//! and has the library deliver it. From a damaged segment, every record whose bytes did not change
//! must arrive; the other records must be under `damaged/`, be zeros, or be counted as torn. From a
//! damaged store, either all events arrive or delivery pauses, and `recover` says how much is lost
//! at most.

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

/// A copy of the template, for clients of this process.
struct Copy {
    dir: tempfile::TempDir,
    test_spool: TestSpool,
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
        let test_spool = TestSpool::for_sandbox(&self.api)
            .with("spool", spool.to_str().unwrap())
            // With this role the process keeps nothing of the spool open after a close.
            .with("role", "both");
        Copy { dir, test_spool }
    }
}

impl Copy {
    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn client(&self) -> Client {
        self.test_spool.client()
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

/// Runs `all` trials on several threads, each with its own template: a trial waits most of the
/// time. The number of a trial is the seed of its damage.
fn run_trials<T, S: Send>(
    all: u64,
    template: impl Fn() -> T + Sync,
    run_one: impl Fn(&T, u64, &mut fastrand::Rng) -> S + Sync,
) -> Vec<S> {
    const SHARES: u64 = 6;
    std::thread::scope(|scope| {
        let share = |first: u64| {
            let template = template();
            let trials = (first..all).step_by(SHARES as usize);
            trials
                .map(|trial| {
                    run_one(
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
