//! What a recovery owes the store that follows: the lock, numbers that were never given, one copy of
//! everything, and files that the next sender can read.

use std::fs;
use std::path::Path;

use super::{OTHER, REGULAR, Repair, Spooled, append, contents, lane_of, run_of};
use crate::error::ErrorKind;
use crate::journal::segment;
use crate::journal::writer::{RecordDurability, Writer};
use crate::store::contract::{Change, FileStore, HostStore, Store};
use crate::store::frame::{FileHeader, Kind};
use crate::store::guards::shrink;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;
use crate::store::queue_file::encode_run;
use crate::store::recover::lanes::Users;
use crate::store::recover::queues::RUNS;
use crate::store::recover::recover;
use crate::store::recover::replace::{FILES_MARGIN, NUMBERS_MARGIN};
use crate::store::spool_disk::SpoolDisk;
use crate::store::{ReceiptFilter, StoredRun, Suspect, receipt_files, synced_mark};

pub(super) fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Damages one record of the ledger: that of the pause. Its snapshot, and the records behind it, stay.
pub(super) fn damage_a_record(spooled: &Spooled) {
    change(&spooled.ledger(), |bytes| {
        let what = b"refused";
        let found = bytes.windows(what.len()).rposition(|text| text == what);
        bytes[found.unwrap()] ^= 1;
    });
}

/// Where the second run of a file begins.
pub(super) fn second_run(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let magics = bytes.windows(4).enumerate();
    let mut runs = magics.filter(|(_, window)| *window == b"QRUN");
    runs.nth(1).unwrap().0
}

/// The same file with a number so much higher.
pub(super) fn renumbered(path: &Path, by: u64) -> std::path::PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    let (before, number) = name.split_at(name.len() - 16);
    let number = number.parse::<u64>().unwrap() + by;
    path.with_file_name(format!("{before}{number:016}"))
}

#[test]
fn a_store_that_a_sender_still_writes_to_is_not_replaced() {
    let spooled = Spooled::new();
    let sender = LogStore::open(&spooled.spool).unwrap();
    change(&spooled.names("queues")[0], |bytes| bytes[..64].fill(7));
    let before = spooled.read_files();
    let refused = recover(&spooled.spool, Repair::Replace, lane_of).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Timeout);
    assert!(spooled.read_files() == before);
    drop(sender);
    assert!(spooled.recover(Repair::Replace).kept.is_some());
}

#[test]
fn a_damaged_ledger_with_a_record_or_a_file_of_a_newer_version_is_left_alone() {
    let spooled = Spooled::new();
    let with_a_newer_record = || {
        let mut store = LogStore::open(&spooled.spool).unwrap();
        store.record.extend([200, 0]);
        store.append_record().unwrap();
        drop(store);
        damage_a_record(&spooled);
    };
    let with_a_newer_file_before = || {
        change(&spooled.ledger(), |bytes| bytes[64..128].fill(0));
        change(&spooled.names("receipts")[0], |bytes| {
            bytes[8] = 2;
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        });
    };
    for damage in [&with_a_newer_record as &dyn Fn(), &with_a_newer_file_before] {
        spooled.restore();
        damage();
        let before = spooled.read_files();
        let refused = recover(&spooled.spool, Repair::Replace, lane_of).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.pause_reason()),
            (ErrorKind::Store, None)
        );
        assert!(spooled.read_files() == before);
    }
}

#[test]
fn every_number_of_a_recovered_store_is_above_those_that_a_lost_record_may_have_given() {
    let spooled = Spooled::new();
    let (before, seq) = {
        let store = LogStore::open(&spooled.spool).unwrap();
        (store.fold.clone(), store.committed())
    };
    let (given, was) = (before.numbers, before.queue(REGULAR).position);
    for is_gone in [false, true] {
        spooled.restore();
        match is_gone {
            false => damage_a_record(&spooled),
            true => fs::remove_file(spooled.ledger()).unwrap(),
        }
        if is_gone {
            fs::remove_file(&spooled.names("receipts")[0]).unwrap();
        }
        spooled.recover(Repair::Replace);
        let store = LogStore::open(&spooled.spool).unwrap();
        let now = store.fold.numbers;
        assert!(now.run >= given.run + NUMBERS_MARGIN, "{now:?}");
        assert!(now.rejected >= given.rejected + NUMBERS_MARGIN, "{now:?}");
        assert!(now.queue_file >= given.queue_file + FILES_MARGIN, "{now:?}");
        assert!(
            now.rejected_file >= given.rejected_file + FILES_MARGIN,
            "{now:?}"
        );
        if !is_gone {
            assert!(now.receipt >= given.receipt + NUMBERS_MARGIN, "{now:?}");
            assert!(now.segment >= given.segment + FILES_MARGIN, "{now:?}");
            assert!(store.committed() >= seq - 1 + NUMBERS_MARGIN.unsigned_abs());
            let position = store.fold.queue(REGULAR).position;
            assert_eq!(
                (position.passed, position.last_run),
                (was.passed, was.last_run)
            );
        }
    }
}

#[test]
fn a_recovered_ledger_follows_the_finished_ones_and_reaches_what_was_synced() {
    let spooled = Spooled::new();
    fs::remove_file(spooled.ledger()).unwrap();
    let disk = SpoolDisk::new(&spooled.spool);
    synced_mark::write(&disk, 5 * NUMBERS_MARGIN.unsigned_abs()).unwrap();
    spooled.recover(Repair::Replace);
    let store = LogStore::open(&spooled.spool).unwrap();
    assert!(store.ledger.header.number > 1);
}

#[test]
fn what_stands_in_two_files_is_taken_once() {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let idle = Suspect {
        user: b"even-77".to_vec(),
        lane: 0,
        waiting: 3,
        accepted: false,
    };
    store.commit(&[Change::Suspect(&idle)]).unwrap();
    drop(store);
    damage_a_record(&spooled);
    for folder in ["queues", "rejected"] {
        for path in spooled.names(folder) {
            fs::copy(&path, renumbered(&path, 100)).unwrap();
        }
    }
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_rejected, 0, "{done:?}");
    assert_eq!(spooled.read(), spooled.contents);
    let store = LogStore::open(&spooled.spool).unwrap();
    for suspect in store.suspects() {
        let expected = u64::from(suspect.user != b"even-77");
        assert_eq!(suspect.waiting, expected, "{suspect:?}");
    }
}

#[test]
fn files_under_the_names_of_others_are_read_and_not_used() {
    let spooled = Spooled::new();
    fs::remove_file(spooled.ledger()).unwrap();
    for path in spooled.names("queues") {
        fs::rename(&path, renumbered(&path, 100)).unwrap();
    }
    let done = spooled.recover(Repair::Replace);
    let found = spooled.read();
    assert_eq!(found.count(), done.pending);
    assert!(spooled.contents.events().is_subset(&found.events()));
}

#[test]
fn runs_that_no_record_speaks_of_are_not_taken_while_the_ledger_is_whole() {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let end = store.ledger.end as usize;
    store
        .commit(&[append(REGULAR, &run_of("even", 450))])
        .unwrap();
    store.begin_queue_file(REGULAR).unwrap();
    store
        .commit(&[append(REGULAR, &run_of("even", 460))])
        .unwrap();
    drop(store);
    change(&spooled.ledger(), |bytes| bytes.truncate(end));
    // The file that the first of them stands in.
    let path = spooled.names("queues").remove(1);
    change(&path, |bytes| bytes[64] ^= 1);
    let done = spooled.recover(Repair::Replace);
    assert!(done.damage.unwrap().contains("queues/00.0."));
    // The journal still has the others.
    assert!(
        spooled
            .read()
            .events()
            .is_subset(&spooled.contents.events())
    );
    assert_eq!(done.lost_pending, Some(super::EVENTS as u64));
}

#[test]
fn runs_in_a_gap_of_the_ledger_wait_although_a_later_record_names_a_later_file() {
    let spooled = Spooled::new();
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let begin = store.ledger.end as usize;
    store.begin_queue_file(REGULAR).unwrap();
    store
        .commit(&[append(REGULAR, &run_of("even", 450))])
        .unwrap();
    // A file of rejected events each.
    shrink(14);
    let event = super::rejected(90);
    store.commit(&[Change::Reject(&event)]).unwrap();
    let gap = begin..store.ledger.end as usize;
    store.begin_queue_file(OTHER).unwrap();
    store.commit(&[append(OTHER, &run_of("odd", 460))]).unwrap();
    store.commit(&[Change::Reject(&event)]).unwrap();
    shrink(0);
    assert_eq!(store.fold.rejected.len(), 3);
    drop(store);
    change(&spooled.ledger(), |bytes| bytes[gap].fill(0));
    spooled.recover(Repair::Replace);
    let found = spooled.read();
    assert!(found.waiting[&REGULAR].last().unwrap().contains("even-454"));
    assert!(found.waiting[&OTHER].last().unwrap().contains("odd-464"));
    assert_eq!(found.rejected.len(), spooled.contents.rejected.len() + 2);
}

#[test]
fn runs_that_stand_in_another_order_are_damage_and_are_put_in_order() {
    let spooled = Spooled::new();
    let path = spooled.names("queues").pop().unwrap();
    change(&path, |bytes| {
        let header = FileHeader::decode(bytes, Kind::Queue).unwrap();
        let mut at = 64;
        let mut runs = Vec::new();
        while at < bytes.len() {
            let (run, length) = (RUNS.read)(&bytes[at..], header.position(at as u64)).unwrap();
            runs.push(run);
            at += length;
        }
        let (first, second) = (runs[0].id, runs[1].id);
        (runs[0].id, runs[1].id) = (second, first);
        bytes.truncate(64);
        for run in runs {
            let position = header.position(bytes.len() as u64);
            encode_run(bytes, (run.id, run.id, 1), &run.run, position);
        }
    });
    let done = spooled.recover(Repair::Replace);
    assert!(done.damage.unwrap().contains("not in order"));
    assert_eq!(done.lost_pending, Some(0));
    assert_eq!(spooled.read().events(), spooled.contents.events());
    assert_eq!(spooled.recover(Repair::Look).damage, None);
}

#[test]
fn a_file_whose_first_run_is_gone_is_not_read_from_its_beginning() {
    let spooled = Spooled::new();
    let path = spooled.names("queues").remove(1);
    assert!(path.to_str().unwrap().contains("00.0."));
    let behind = second_run(&path);
    change(&path, |bytes| bytes[64..behind].fill(0));
    let done = spooled.recover(Repair::Replace);
    assert_eq!(done.lost_pending, Some(super::EVENTS as u64));
    assert_eq!(spooled.read().count(), done.pending);
}

#[test]
fn a_segment_is_read_again_from_behind_the_blocks_that_were_given_back() {
    let spooled = Spooled::new();
    let writer = Writer::new(spooled.spool.clone(), RecordDurability::Process, 0);
    let mut sizes = Vec::new();
    let mut written = None;
    for _ in 0..2 {
        let append = writer.append(|buffer, _| {
            segment::push_fragment(buffer, |out| {
                out.extend_from_slice(b"{}");
                Ok::<_, crate::error::Error>(())
            })?;
            Ok(1)
        });
        append.unwrap();
        let names = crate::journal::round::list_segments(&spooled.spool).unwrap();
        let name = names
            .into_iter()
            .find(|name| !spooled.segments.contains(name));
        let name = name.unwrap();
        let path = spooled.spool.journal().path().join(&name);
        sizes.push(fs::metadata(&path).unwrap().len());
        written = Some((name, path));
    }
    writer.close();
    let (name, path) = written.unwrap();
    let header = 2 * sizes[0] - sizes[1];
    change(&path, |bytes| {
        bytes[header as usize..sizes[0] as usize].fill(0);
    });
    fs::remove_file(spooled.ledger()).unwrap();
    let done = spooled.recover(Repair::Replace);
    assert!(done.read_again.contains(&name));
    let store = LogStore::open(&spooled.spool).unwrap();
    assert_eq!(store.offsets()[&name], sizes[0]);
}

#[test]
fn receipts_of_a_recovered_ledger_outlast_its_last_record() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    spooled.recover(Repair::Replace);
    let mut store = LogStore::open(&spooled.spool).unwrap();
    let spare = SpareLedger::take(&*store.disk()).unwrap();
    let next = store.begin_next_ledger(spare).unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
    let disk = store.disk();
    let kept = receipt_files::read_receipts(&*disk, &ReceiptFilter::default(), 0, 9).unwrap();
    assert_eq!(kept.len(), 2);
}

#[test]
fn the_number_of_lanes_fits_the_places_of_all_users() {
    let mut users = Users::new(|user, lanes| usize::from(user[0]) % lanes);
    let run = run_of("f", 0);
    let stored = StoredRun {
        id: 1,
        origin: 1,
        run,
        marks: 0,
    };
    users.saw(super::Place { lane: 2, queue: 0 }, &stored);
    // Three lanes would do for that place, and have this user in another one.
    assert_eq!(users.lanes(), 4);
}

#[test]
fn a_store_is_recovered_as_it_is_read() {
    let spooled = Spooled::new();
    damage_a_record(&spooled);
    spooled.recover(Repair::Replace);
    let mut store = LogStore::open(&spooled.spool).unwrap();
    assert_eq!(contents(&mut store), spooled.contents);
    let mut counted = std::collections::BTreeMap::new();
    for event in spooled.contents.rejected.values() {
        *counted
            .entry((event.reason, event.api_code.clone()))
            .or_default() += 1;
    }
    assert_eq!(store.fold.rejected_counts, counted);
}
