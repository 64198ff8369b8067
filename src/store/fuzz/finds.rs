//! What the targets have found, as small as it can be: states that no sender makes, and that a reader has
//! believed.

use super::disk::MemoryDisk;
use super::{recovered, seeds, spool};
use crate::store::disk::{Disk, Folder};
use crate::store::entry::{Entry, Numbers, QueueFile, RejectedFile};
use crate::store::fold::Fold;
use crate::store::frame::Position;
use crate::store::rejected_file::{self, Header};
use crate::store::{Place, Rejected, RejectedReason, Run, StoredRun, ledger, queue_file};

const PLACE: Place = Place { lane: 0, queue: 0 };

fn file(number: u64, first_id: i64, next_id: i64) -> RejectedFile {
    RejectedFile {
        number,
        first_id,
        next_id,
        end: 1_000,
        forgotten: vec![0; ((next_id - first_id).clamp(0, 800) as usize).div_ceil(8)],
    }
}

fn apply(entries: &[Entry<'_>]) -> Result<(), &'static str> {
    let mut fold = Fold::default();
    entries.iter().try_for_each(|entry| fold.apply(entry))
}

#[test]
fn a_queue_that_has_a_file_twice_is_refused() {
    let of = |files: &[u64]| Entry::QueueFiles {
        place: PLACE,
        files: files
            .iter()
            .map(|&number| QueueFile { number, end: 100 })
            .collect(),
    };
    assert_eq!(apply(&[of(&[2, 3, 1])]), Ok(()));
    assert!(apply(&[of(&[2, 3, 2])]).is_err());
}

#[test]
fn files_of_rejected_events_that_cannot_be_searched_are_refused() {
    let known = |file| Entry::RejectedFile(file);
    assert_eq!(apply(&[known(file(1, 1, 5)), known(file(2, 5, 9))]), Ok(()));
    assert!(apply(&[known(file(1, 1, 6)), known(file(2, 5, 9))]).is_err());
    assert!(apply(&[known(file(1, 5, 5))]).is_err());
    let with_more_bits = RejectedFile {
        forgotten: vec![0b1001_0000],
        ..file(1, 1, 5)
    };
    assert!(apply(&[known(with_more_bits)]).is_err());
}

#[test]
fn no_end_of_a_file_of_rejected_events_makes_a_bitmap_of_gigabytes() {
    let far = 1_i64 << 40;
    let tail = Entry::RejectedTail {
        number: 1,
        first_id: far - 1,
        next_id: far,
        end: u64::MAX,
    };
    assert!(apply(&[Entry::RejectedFile(file(1, 1, 5)), tail]).is_err());
    assert!(apply(&[Entry::RejectedFile(file(1, 1, far))]).is_err());
}

#[test]
fn numbers_that_leave_none_for_what_follows_are_refused() {
    let numbers = Numbers {
        queue_file: u64::MAX,
        ..Numbers::default()
    };
    assert!(apply(&[Entry::Numbers(numbers)]).is_err());
    let (last, name) = (u64::MAX, ledger::file_name(u64::MAX));
    assert_eq!(ledger::parse_name(&name), None);
    assert_eq!(rejected_file::parse_name(&name), None);
    assert_eq!(
        queue_file::parse_name(&queue_file::file_name(PLACE, last)),
        None
    );
}

#[test]
fn a_mark_for_a_place_without_an_event_is_not_counted() {
    let mut run = Run::default();
    run.push(b"{}", 1);
    let stored = StoredRun {
        id: 1,
        origin: 1,
        run,
        marks: u128::MAX << 1,
    };
    assert_eq!((stored.waiting_count(), stored.waiting().count()), (1, 1));
}

#[test]
fn a_rejected_event_whose_header_names_another_user_is_none() {
    let event = Rejected {
        user: "user-1".to_owned(),
        event: b"{}".to_vec(),
        reason: RejectedReason::Refused,
        may_be_delivered: false,
        api_code: "A_1".to_owned(),
        message: String::new(),
        http_status: None,
        attempts: 1,
        first_ms: 1,
        last_ms: 2,
    };
    let position = Position {
        nonce: 1,
        offset: 64,
    };
    let mut bytes = Vec::new();
    rejected_file::encode(&mut bytes, (1, 7), &event, position);
    let header = Header::decode(&bytes, position).unwrap();
    assert!(header.decode_rest(&bytes, position).is_some());
    bytes[16] ^= 1;
    let crc = position.checksum(&bytes[..32]);
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    let header = Header::decode(&bytes, position).unwrap();
    assert_eq!(header.decode_rest(&bytes, position), None);
}

#[test]
fn a_ledger_that_no_other_could_follow_is_refused_and_not_replaced() {
    let disk = golden();
    let (first, last) = (ledger::file_name(2), ledger::file_name((1 << 62) - 1));
    disk.rename((Folder::Ledger, &first), (Folder::Ledger, &last))
        .unwrap();
    assert!(recovered::read(&disk, recovered::BOOT).is_none());
    recovered::check(&disk, None);
    assert!(disk.contents().contains_key(&(Folder::Ledger, last)));
}

/// The golden spool, in the boot of its sender.
fn golden() -> MemoryDisk {
    spool::unpack(&seeds::spools()[1])
}

#[test]
fn a_ledger_that_was_copied_before_and_behind_its_move_is_no_obstacle() {
    let disk = golden();
    let name = ledger::file_name(1);
    let finished = disk.contents()[&(Folder::Receipts, name.clone())].clone();
    disk.put(Folder::Ledger, &name, finished);
    let seen = recovered::read(&disk, recovered::BOOT).unwrap();
    assert_eq!(
        Some(&seen),
        recovered::read(&golden(), recovered::BOOT).as_ref()
    );
    assert_eq!(ledger::numbers(&disk, Folder::Ledger).unwrap(), [2]);
    assert_eq!(ledger::numbers(&disk, Folder::Receipts).unwrap(), [1]);
}

#[test]
fn a_strangers_file_with_the_highest_number_there_is_does_no_harm() {
    let disk = golden();
    let seen = recovered::read(&disk, recovered::BOOT);
    disk.put(Folder::Rejected, &format!("{:016}", u64::MAX), vec![1]);
    let queue = format!("00.0.{:016}", u64::MAX);
    disk.put(Folder::Queues, &queue, vec![1]);
    disk.put(Folder::Ledger, &format!("synced.{:016}", u64::MAX), vec![]);
    assert!(seen.is_some());
    assert_eq!(recovered::read(&disk, recovered::BOOT), seen);
    recovered::check(&disk, seen.as_ref());
    assert!(disk.list(Folder::Queues).unwrap().contains(&queue));
}
