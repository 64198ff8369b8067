//! Power cuts: real lives of the real library are recorded, and each of their moments is cut.
//!
//! A recording holds every write, sync, rename and unlink of a life below its disk (`recording`).
//! `disk` knows what a disk may hold if the power goes at any moment of it, `image` makes real files
//! of that, and the library opens them (`found`). What has to be there then is the library's
//! promise (`promises`): nothing acknowledged is lost, nothing stands twice, order holds, and what
//! the API may have already is in doubt.

mod api;
mod disk;
mod found;
mod image;
mod life;
mod promises;
mod recording;

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

use disk::{Disk, Fate, Node};
use found::{As, Found};
use image::{Bench, Boot};
use life::{Durability, Life};
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use promises::{Cost, Story};
use recording::{Change, Recording, Step};

const SEED: u64 = 3;
/// Power cuts of a life in `make test`; `make soak` makes two hundred times as many.
const CUTS: u64 = 1_500;
/// How long a flush may take at most.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_service_loses_nothing_acknowledged_to_a_power_cut() {
    every_cut_keeps_the_promise("service", CUTS, life::service(Durability::Power));
}

#[test]
fn a_service_without_power_durability_loses_only_an_unsynced_tail_to_a_power_cut() {
    every_cut_keeps_the_promise("service", CUTS, life::service(Durability::Process));
}

#[test]
fn writers_and_a_sender_lose_nothing_acknowledged_to_a_power_cut() {
    every_cut_keeps_the_promise("writers", CUTS, life::writers(Durability::Power));
}

#[test]
fn writers_and_a_sender_without_power_durability_lose_only_unsynced_tails_to_a_power_cut() {
    every_cut_keeps_the_promise("writers", CUTS, life::writers(Durability::Process));
}

#[test]
fn a_rotating_writer_loses_nothing_acknowledged_to_a_power_cut() {
    every_cut_keeps_the_promise("rotation", CUTS / 5, life::rotation(Durability::Power));
}

#[test]
fn a_rotating_writer_without_power_durability_loses_only_unsynced_tails_to_a_power_cut() {
    every_cut_keeps_the_promise("rotation", CUTS / 5, life::rotation(Durability::Process));
}

#[test]
fn processes_that_make_a_spool_together_lose_nothing_acknowledged_to_a_power_cut() {
    let mut sum = Cost::default();
    for _ in 0..trial_count(8, 200) {
        let life = life::beginning(Durability::Power);
        assert_recorded_as_it_was(&life);
        let mut story = Story::of(&life);
        die_at_every_moment(&life, &mut story);
        sum += cut_on_all_cores(&life, &story, CUTS / 10);
    }
    row("beginning", "power cut", Durability::Power, sum);
}

fn every_cut_keeps_the_promise(name: &str, cuts: u64, life: Life) {
    assert_recorded_as_it_was(&life);
    let mut story = Story::of(&life);
    let deaths = die_at_every_moment(&life, &mut story);
    row(name, "death of the processes", life.durability, deaths);
    let started = Instant::now();
    let cuts = cut_on_all_cores(&life, &story, trial_count(cuts, 200 * cuts));
    let each = started.elapsed() / u32::try_from(cuts.trials).unwrap();
    println!("{name}, {}: {each:?} a cut", life.durability.name());
    row(name, "power cut", life.durability, cuts);
    deliver_the_rest(&life, &story, trial_count(4, 200));
}

fn row(name: &str, fault: &str, durability: Durability, cost: Cost) {
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
            delivered: cost.delivered + cost.standing,
            rejected: cost.rejected,
            lost: 0,
            duplicated: cost.repeated,
        },
        format!("{bound}{tail}"),
    );
}

/// The recorder has missed nothing: its steps lead to what really stands there.
fn assert_recorded_as_it_was(life: &Life) {
    let mut disk = Disk::new(&life.recording);
    disk.advance(life.recording.steps.len());
    let image = disk.cut(Fate::Kept, &mut fastrand::Rng::with_seed(SEED));
    let mut listed = BTreeSet::new();
    for (path, node) in &image {
        let really = life.root.join(path);
        match node {
            Node::Directory => assert!(really.is_dir(), "{path:?}"),
            Node::Socket => assert!(really.exists(), "{path:?}"),
            Node::File(file) => assert_same(path, &file.bytes, &fs::read(&really).unwrap()),
            Node::Synced { inode, .. } => {
                assert_same(path, disk.durable(*inode), &fs::read(&really).unwrap());
            }
        }
        listed.insert(path.clone());
    }
    assert_eq!(listed, really_there(&life.root, Path::new("")));
}

fn assert_same(path: &Path, recorded: &[u8], real: &[u8]) {
    assert!(
        recorded == real,
        "{path:?}: recorded {} bytes, really {} bytes",
        recorded.len(),
        real.len()
    );
}

fn really_there(dir: &Path, path: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            all.extend(really_there(&entry.path(), &path));
        }
        if !path.to_str().unwrap().ends_with("-shm") {
            all.insert(path);
        }
    }
    all
}

/// Kills the processes of the life at each of its moments; what is found teaches `story` what is
/// safe.
fn die_at_every_moment(life: &Life, story: &mut Story) -> Cost {
    let steps = &life.recording.steps;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut disk = Disk::new(&life.recording);
    let mut bench = Bench::new(life.spool);
    let mut found = vec![Rc::new(Found::default())];
    let mut committing = false;
    let mut sum = Cost::default();
    for step in 0..steps.len() {
        disk.advance(step + 1);
        let looked = if changes_what_is_found(&life.recording, step, &mut committing) {
            let image = disk.cut(Fate::Kept, &mut rng);
            bench.place(&disk, &image, Boot::Same);
            let looked = look(life, &mut bench, &mut rng);
            Rc::new(looked.unwrap_or_else(|e| panic!("death after step {step}: {e}")))
        } else {
            found[step].clone()
        };
        let cost = story.check(step + 1, Fate::Kept, &looked);
        sum += cost.unwrap_or_else(|e| panic!("death after step {step}: {e}"));
        found.push(looked);
        story.tell(&life.recording, step, &disk, |moment| &found[moment]);
    }
    sum
}

/// Whether the library may find something else behind this step than before it. In `make test` the
/// pages of a commit before its last one are passed over; they change nothing.
fn changes_what_is_found(recording: &Recording, step: usize, committing: &mut bool) -> bool {
    const FRAME_HEADER_BYTES: usize = 24;
    const PAGE_BYTES: usize = 4096;
    match &recording.steps[step] {
        Step::Entries(_) => true,
        Step::Data {
            file,
            change: Change::Write { data, .. },
            ..
        } if trial_count(0, 1) == 0 => {
            match (&*recording.names[*file], data.len()) {
                ("store.db-wal", FRAME_HEADER_BYTES) => {
                    // The size of the database in pages stands only in the last frame of a commit. Where
                    // pages went ahead because the cache was full, that frame's header is written again,
                    // and completes the commit by itself.
                    *committing = recording.log[data.start + 4..data.start + 8] != [0; 4];
                    *committing
                }
                ("store.db-wal", PAGE_BYTES) => std::mem::take(committing),
                ("store.db", _) => false,
                _ => true,
            }
        }
        Step::Data { .. } => true,
        _ => false,
    }
}

/// Opens the spool on the bench, as a reader and now and then as a sender.
fn look(life: &Life, bench: &mut Bench, rng: &mut fastrand::Rng) -> Result<Found, String> {
    let whom = if rng.u8(0..8) == 0 {
        As::Sender
    } else {
        As::Reader
    };
    let found = Found::at(&bench.spool(), life, whom)
        .map_err(|e| format!("the spool does not open: {e}"))?;
    bench.touched("identity.json");
    if found.store_touched {
        for name in ["store.db", "store.db-wal", "store.db-journal"] {
            bench.touched(name);
        }
    }
    Ok(found)
}

/// Cuts the power at moments that are spread over the life, so often in all.
fn cut_on_all_cores(life: &Life, story: &Story, cuts: u64) -> Cost {
    // In `make test` the cores are for the other tests.
    let cores = match trial_count(0, 1) {
        0 => 1,
        _ => std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
    };
    std::thread::scope(|scope| {
        let shares: Vec<_> = (0..cores)
            .map(|core| {
                let share = cuts * core / cores..cuts * (core + 1) / cores;
                scope.spawn(move || cut_at_moments(life, story, share, cuts))
            })
            .collect();
        let mut sum = Cost::default();
        for share in shares {
            sum += share
                .join()
                .unwrap_or_else(|e| std::panic::resume_unwind(e));
        }
        sum
    })
}

fn cut_at_moments(life: &Life, story: &Story, share: Range<u64>, cuts: u64) -> Cost {
    let steps = life.recording.steps.len();
    let mut disk = Disk::new(&life.recording);
    let mut bench = Bench::new(life.spool);
    let mut sum = Cost::default();
    for trial in share {
        let mut rng = fastrand::Rng::with_seed(SEED + trial);
        let moment = (trial as usize * steps / cuts as usize) + 1;
        disk.advance(moment);
        let fate = Fate::OF_POWER[rng.usize(0..Fate::OF_POWER.len())];
        let image = disk.cut(fate, &mut rng);
        bench.place(&disk, &image, Boot::New);
        let cost =
            look(life, &mut bench, &mut rng).and_then(|found| story.check(moment, fate, &found));
        sum += cost.unwrap_or_else(|e| panic!("cut {trial} at {moment} of {steps}, {fate:?}: {e}"));
    }
    sum
}

/// After some cuts a new process really sends what is left: each event once, in order.
fn deliver_the_rest(life: &Life, story: &Story, cuts: u64) {
    let steps = life.recording.steps.len();
    let mut disk = Disk::new(&life.recording);
    for trial in 0..cuts {
        let mut rng = fastrand::Rng::with_seed(SEED + trial);
        disk.advance((2 * trial as usize + 1) * steps / (2 * cuts as usize));
        let fate = Fate::OF_POWER[rng.usize(0..Fate::OF_POWER.len())];
        let image = disk.cut(fate, &mut rng);
        let mut bench = Bench::new(life.spool);
        bench.place(&disk, &image, Boot::New);
        if !bench.spool().join("identity.json").exists() {
            continue;
        }
        let found = Found::at(&bench.spool(), life, As::Reader).unwrap();

        let api = life::api();
        let destination = Destination {
            endpoint: api.endpoint(),
            account: "",
        };
        spool::adopt(&bench.spool(), destination).unwrap();
        let mut config = Config::new();
        for (key, value) in [
            ("spool", bench.spool().to_str().unwrap()),
            ("endpoint", api.endpoint()),
            ("bearer_token", api.token()),
            ("role", "enqueue"),
            ("lanes", &life.lanes.to_string()),
        ] {
            config.set(key, value).unwrap();
        }
        let client = Client::open(&config).unwrap();
        let next = life.recording.events();
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
        let (report, outcome) = client.flush(PATIENCE);
        outcome.unwrap();

        assert_eq!((report.pending, report.in_doubt), (0, 0), "cut {trial}");
        let arrived: Vec<usize> = api
            .events()
            .iter()
            .flat_map(|event| api::events(event.text.as_bytes()).collect::<Vec<_>>())
            .map(|(number, _)| number)
            .collect();
        let good = |user: usize| !life::UNKNOWN.contains(&user);
        let expected: Vec<_> = found
            .pending
            .iter()
            .filter(|event| good(event.user))
            .collect();
        assert_eq!(arrived.len(), expected.len() + 1, "cut {trial}, {fate:?}");
        for user in expected
            .iter()
            .map(|event| event.user)
            .collect::<BTreeSet<_>>()
        {
            let of_user = |number: &usize| story.user_of(*number) == Some(user);
            let came: Vec<usize> = arrived.iter().copied().filter(of_user).collect();
            let stood: Vec<usize> = expected
                .iter()
                .map(|event| event.number)
                .filter(of_user)
                .collect();
            assert_eq!(came, stood, "user {user} after cut {trial}, {fate:?}");
        }
        assert!(
            arrived.contains(&next),
            "what is enqueued after the cut goes too"
        );
    }
}
