//! Power cuts, simulated at every moment of recorded workloads of the real library.
//!
//! A recording has every write, sync, rename and unlink of a workload below one directory
//! (`recording`). `disk` computes what a disk may hold if the power goes at a moment of the
//! workload, `image` makes real files of that, and the library opens them (`found`). `expectations`
//! checks what the library then finds: no acknowledged event is lost, no event is there twice, the
//! order holds, and every event that the API may have already is in doubt.

mod ablations;
mod api;
mod disk;
mod expectations;
mod found;
mod image;
mod recording;
mod workload;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia::Config;
use meditopia::Fields;
use meditopia::internals::spool::{self, Destination};

use disk::{CutEffect, Disk, Node};
use expectations::{Cost, Expectations};
use found::{Access, Found};
use image::{Boot, ImageDir};
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use recording::{Recording, Role, Step};
use workload::{Durability, Workload};

const SEED: u64 = 3;
/// How many power cuts of a workload `make test` simulates; `make soak` simulates two hundred times
/// as many.
const CUTS: u64 = 1_500;
/// The most time that a flush may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_service_loses_nothing_acknowledged_to_a_power_cut() {
    cut_everywhere("service", CUTS, workload::service(Durability::Power));
}

#[test]
fn a_service_without_power_durability_loses_only_an_unsynced_tail_to_a_power_cut() {
    cut_everywhere("service", CUTS, workload::service(Durability::Process));
}

#[test]
fn writers_and_a_sender_lose_nothing_acknowledged_to_a_power_cut() {
    cut_everywhere("writers", CUTS, workload::writers(Durability::Power));
}

#[test]
fn writers_and_a_sender_without_power_durability_lose_only_unsynced_tails_to_a_power_cut() {
    cut_everywhere("writers", CUTS, workload::writers(Durability::Process));
}

#[test]
fn a_rotating_writer_loses_nothing_acknowledged_to_a_power_cut() {
    cut_everywhere("rotation", CUTS / 5, workload::rotation(Durability::Power));
}

#[test]
fn a_rotating_writer_without_power_durability_loses_only_unsynced_tails_to_a_power_cut() {
    cut_everywhere(
        "rotation",
        CUTS / 5,
        workload::rotation(Durability::Process),
    );
}

#[test]
fn a_living_writer_whose_blocks_are_given_back_loses_nothing_acknowledged_to_a_power_cut() {
    for durability in [Durability::Power, Durability::Process] {
        cut_everywhere(
            "living writer",
            CUTS / 5,
            workload::living_writer(durability),
        );
    }
}

#[test]
fn processes_that_make_a_spool_together_lose_nothing_acknowledged_to_a_power_cut() {
    let mut sum = Cost::default();
    for _ in 0..trial_count(8, 200) {
        let workload = workload::creation(Durability::Power);
        assert_recording_is_complete(&workload);
        let mut expectations = Expectations::new(&workload);
        kill_at_every_moment(&workload, &mut expectations);
        sum += cut_on_all_cores(&workload, &expectations, CUTS / 10);
    }
    add_fault_row("beginning", "power cut", Durability::Power, sum);
}

fn cut_everywhere(name: &str, cuts: u64, workload: Workload) {
    assert_recording_is_complete(&workload);
    let mut expectations = Expectations::new(&workload);
    let deaths = kill_at_every_moment(&workload, &mut expectations);
    add_fault_row(name, "death of the processes", workload.durability, deaths);
    let started = Instant::now();
    let cuts = cut_on_all_cores(&workload, &expectations, trial_count(cuts, 200 * cuts));
    let each = started.elapsed() / u32::try_from(cuts.trials).unwrap();
    println!("{name}, {}: {each:?} a cut", workload.durability.name());
    add_fault_row(name, "power cut", workload.durability, cuts);
    deliver_the_rest(&workload, &expectations, trial_count(25, 2_000));
}

fn add_fault_row(name: &str, fault: &str, durability: Durability, cost: Cost) {
    let tail = match cost.missing {
        0 => String::new(),
        events => format!("; {events} in unsynced tails"),
    };
    let bound = match (fault, durability) {
        ("power cut", Durability::Process) => "since the last sync",
        _ => "a batch a lane",
    };
    add_row(
        &format!("{fault}, durability = {} ({name})", durability.name()),
        Outcome {
            trials: cost.trials,
            acknowledged: cost.acknowledged,
            delivered: cost.delivered + cost.pending,
            rejected: cost.rejected,
            lost: 0,
            duplicated: cost.repeated,
        },
        format!("{bound}{tail}"),
    );
}

/// Checks that the recorder has missed nothing: its steps lead to the files that are really there.
fn assert_recording_is_complete(workload: &Workload) {
    let mut disk = Disk::new(&workload.recording);
    disk.advance(workload.recording.steps.len());
    let image = disk.cut(CutEffect::Kept, &mut fastrand::Rng::with_seed(SEED));
    let mut listed = BTreeSet::new();
    for (path, node) in &image {
        let real = workload.root.join(path);
        match node {
            Node::Directory => assert!(real.is_dir(), "{path:?}"),
            Node::Socket => assert!(real.exists(), "{path:?}"),
            Node::File(file) => assert_same(path, &file.bytes, &fs::read(&real).unwrap()),
            Node::Synced { inode, .. } => {
                assert_same(path, disk.durable(*inode), &fs::read(&real).unwrap());
            }
        }
        listed.insert(path.clone());
    }
    assert_eq!(listed, list_files(&workload.root, Path::new("")));
}

fn assert_same(path: &Path, recorded: &[u8], real: &[u8]) {
    assert!(
        recorded == real,
        "{path:?}: recorded {} bytes, really {} bytes",
        recorded.len(),
        real.len()
    );
}

fn list_files(dir: &Path, path: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            all.extend(list_files(&entry.path(), &path));
        }
        all.insert(path);
    }
    all
}

/// Simulates a kill of the processes at each moment of the workload. `expectations` learns from
/// what is found what is safe on the disk.
fn kill_at_every_moment(workload: &Workload, expectations: &mut Expectations) -> Cost {
    let steps = &workload.recording.steps;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut disk = Disk::new(&workload.recording);
    let mut dir = ImageDir::new(workload.spool);
    let mut found = vec![Rc::new(Found::default())];
    let mut sum = Cost::default();
    for step in 0..steps.len() {
        disk.advance(step + 1);
        let opened = if changes_what_is_found(&workload.recording, step) {
            let image = disk.cut(CutEffect::Kept, &mut rng);
            dir.place(&disk, &image, Boot::Same);
            let opened = open_spool(workload, &mut dir, &mut rng);
            Rc::new(opened.unwrap_or_else(|e| panic!("death after step {step}: {e}")))
        } else {
            found[step].clone()
        };
        let cost = expectations.check(step + 1, CutEffect::Kept, &opened);
        sum += cost.unwrap_or_else(|e| panic!("death after step {step}: {e}"));
        found.push(opened);
        expectations.learn(&workload.recording, step, &disk, |moment| &found[moment]);
    }
    sum
}

/// Whether the library may find something else after this step than before it. `make test` skips
/// what no record of the ledger speaks of yet.
fn changes_what_is_found(recording: &Recording, step: usize) -> bool {
    match &recording.steps[step] {
        Step::Entries(_) => true,
        Step::Data { file, .. } => {
            let waits_for_a_record = [Role::Queue, Role::RejectedFile];
            trial_count(0, 1) == 1 || !waits_for_a_record.contains(&recording.role(*file))
        }
        _ => false,
    }
}

/// Opens the spool in `dir` as a reader, and by chance as a sender before that.
fn open_spool(
    workload: &Workload,
    dir: &mut ImageDir,
    rng: &mut fastrand::Rng,
) -> Result<Found, String> {
    let failed = |e| format!("the spool does not open: {e}");
    let read = Found::read(&dir.spool(), workload, Access::Reader).map_err(failed)?;
    dir.mark_changed("identity.json");
    if read.counted != read.in_store as u64 {
        return Err(format!("{} events are counted in {read:?}", read.counted));
    }
    if rng.u8(0..8) == 0 {
        let sent = Found::read(&dir.spool(), workload, Access::Sender).map_err(failed)?;
        if sent != read {
            return Err(format!("a sender finds {sent:?}, and a reader {read:?}"));
        }
        // What a sender makes of it is the same to everybody who comes after it.
        let again = Found::read(&dir.spool(), workload, Access::Reader).map_err(failed)?;
        if again != read {
            return Err(format!("found {read:?}, and after a sender {again:?}"));
        }
        for folder in ["ledger", "receipts", "queues", "rejected"] {
            dir.mark_changed(folder);
        }
    }
    Ok(read)
}

/// Simulates `cuts` power cuts at moments that are spread over the workload.
fn cut_on_all_cores(workload: &Workload, expectations: &Expectations, cuts: u64) -> Cost {
    // In `make test` the other tests use the other cores.
    let cores = match trial_count(0, 1) {
        0 => 1,
        _ => std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
    };
    std::thread::scope(|scope| {
        let shares: Vec<_> = (0..cores)
            .map(|core| {
                let share = cuts * core / cores..cuts * (core + 1) / cores;
                let recording = &workload.recording;
                scope.spawn(move || cut_at_moments(workload, recording, expectations, share, cuts))
            })
            .collect();
        let mut sum = Cost::default();
        for share in shares {
            let cost = share
                .join()
                .unwrap_or_else(|e| std::panic::resume_unwind(e));
            sum += cost.unwrap_or_else(|e| panic!("{e}"));
        }
        sum
    })
}

/// Cuts the power of `recording`: the workload's, or one that lacks something.
fn cut_at_moments(
    workload: &Workload,
    recording: &Recording,
    expectations: &Expectations,
    share: Range<u64>,
    cuts: u64,
) -> Result<Cost, String> {
    let steps = recording.steps.len();
    let moments = share.map(|trial| (trial, (trial as usize * steps / cuts as usize) + 1));
    cut_each(workload, recording, expectations, moments)
}

/// Cuts the power at these moments, which come in their order, each with the number of its trial.
fn cut_each(
    workload: &Workload,
    recording: &Recording,
    expectations: &Expectations,
    moments: impl Iterator<Item = (u64, usize)>,
) -> Result<Cost, String> {
    let mut disk = Disk::new(recording);
    let mut dir = ImageDir::new(workload.spool);
    let mut sum = Cost::default();
    for (trial, moment) in moments {
        let mut rng = fastrand::Rng::with_seed(SEED + trial);
        disk.advance(moment);
        let effect = CutEffect::OF_POWER[rng.usize(0..CutEffect::OF_POWER.len())];
        let image = disk.cut(effect, &mut rng);
        dir.place(&disk, &image, Boot::New);
        let cost = open_spool(workload, &mut dir, &mut rng)
            .and_then(|found| expectations.check(moment, effect, &found));
        sum += cost.map_err(|e| format!("cut {trial} at step {moment}, {effect:?}: {e}"))?;
    }
    Ok(sum)
}

/// After some cuts, has a client really deliver what is left: each event must arrive once and in
/// order.
fn deliver_the_rest(workload: &Workload, expectations: &Expectations, cuts: u64) {
    let steps = workload.recording.steps.len();
    let mut disk = Disk::new(&workload.recording);
    for trial in 0..cuts {
        let mut rng = fastrand::Rng::with_seed(SEED + trial);
        disk.advance((2 * trial as usize + 1) * steps / (2 * cuts as usize));
        let effect = CutEffect::OF_POWER[rng.usize(0..CutEffect::OF_POWER.len())];
        let image = disk.cut(effect, &mut rng);
        let mut dir = ImageDir::new(workload.spool);
        dir.place(&disk, &image, Boot::New);
        if !dir.spool().join("identity.json").exists() {
            continue;
        }
        let found = Found::read(&dir.spool(), workload, Access::Reader).unwrap();

        let api = workload::api();
        let destination = Destination {
            endpoint: api.endpoint(),
            account: "",
        };
        spool::adopt(&dir.spool(), destination).unwrap();
        let mut config = Config::new();
        for (key, value) in [
            ("spool", dir.spool().to_str().unwrap()),
            ("endpoint", api.endpoint()),
            ("bearer_token", api.token()),
            ("role", "enqueue"),
            ("lanes", &workload.lanes.to_string()),
        ] {
            config.set(key, value).unwrap();
        }
        let client = Client::open(&config).unwrap();
        let next = workload.recording.event_count();
        let user = "u-0";
        client
            .enqueue(&Fields {
                token: "token",
                partner_user_id: user,
                event: "video",
                event_value: Some(&format!("{next}:0:")),
                received_at: None,
            })
            .unwrap();
        let (report, outcome) = client.flush(FLUSH_LIMIT);
        outcome.unwrap();

        assert_eq!((report.pending, report.in_doubt), (0, 0), "cut {trial}");
        let arrived: Vec<usize> = api
            .events()
            .iter()
            .flat_map(|event| api::events(event.text.as_bytes()).collect::<Vec<_>>())
            .map(|(number, _)| number)
            .collect();
        let good = |user: usize| !workload::UNKNOWN.contains(&user);
        let expected: Vec<_> = found
            .pending
            .iter()
            .filter(|event| good(event.user))
            .collect();
        assert_eq!(arrived.len(), expected.len() + 1, "cut {trial}, {effect:?}");
        for user in expected
            .iter()
            .map(|event| event.user)
            .collect::<BTreeSet<_>>()
        {
            let of_user = |number: &usize| expectations.user_of(*number) == Some(user);
            let came: Vec<usize> = arrived.iter().copied().filter(of_user).collect();
            let were_pending: Vec<usize> = expected
                .iter()
                .map(|event| event.number)
                .filter(of_user)
                .collect();
            assert_eq!(
                came, were_pending,
                "user {user} after cut {trial}, {effect:?}"
            );
        }
        assert!(
            arrived.contains(&next),
            "the event that was enqueued after the cut did not arrive"
        );
    }
}
