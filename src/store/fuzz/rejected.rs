//! The target of a file of rejected events.

use super::disk::MemoryDisk;
use super::{READ_AHEAD, SEALED, choices, seal};
use crate::store::disk::Folder;
use crate::store::entry::RejectedFile;
use crate::store::frame::{FileHeader, HEADER_LEN, Kind, Position};
use crate::store::recover::units_found;
use crate::store::rejected_file::{
    self, Header, RejectedReader, read_matching, rejected_matching, rejected_with_ids,
};
use crate::store::{Rejected, RejectedFilter};

/// The choice that events end where the file says nothing of it.
const WITHOUT_END: u8 = 2;

pub(super) fn run(data: &[u8]) {
    let Some((choices, mut bytes)) = choices(data) else {
        return;
    };
    if choices & SEALED != 0 {
        seal::seal(Folder::Rejected, &mut bytes);
    }
    let header = FileHeader::decode(&bytes, Kind::Rejected);
    let number = header.unwrap_or_default().number;
    let name = rejected_file::file_name(number);
    let disk = MemoryDisk::default();
    disk.put(Folder::Rejected, &name, bytes.clone());
    let end = match choices & WITHOUT_END {
        0 => bytes.len() as u64,
        _ => u64::MAX,
    };
    let (read, events) = read_events(&disk, number, end);
    let expected = FileHeader {
        number,
        ..FileHeader::default()
    };
    let found = units_found(&disk, (Folder::Rejected, &name), expected);
    assert!(found.starts_with(&read), "{read:?} {found:?}");
    search(&disk, number, end, &events);
    assert!(disk.largest_read() <= READ_AHEAD + bytes.len());
}

/// Where an event begins and ends.
type Range = (u64, u64);

/// The events that a sender reads, one by one, and where they stand.
fn read_events(disk: &MemoryDisk, number: u64, end: u64) -> (Vec<Range>, Vec<(i64, Rejected)>) {
    let (mut places, mut events) = (Vec::new(), Vec::new());
    let Ok(mut reader) = RejectedReader::open(disk, number, end) else {
        return (places, events);
    };
    let mut at = HEADER_LEN as u64;
    while let Ok(Some(header)) = reader.peek() {
        let Ok(event) = reader.read(&header) else {
            break;
        };
        check_written_back(header.id, &event);
        let behind = at + header.length() as u64;
        places.push((at, behind));
        events.push((header.id, event));
        at = behind;
    }
    (places, events)
}

/// The number of bytes that its numbers take may differ; what they say may not.
fn check_written_back(id: i64, event: &Rejected) {
    let position = Position {
        nonce: 1,
        offset: 2,
    };
    let mut bytes = Vec::new();
    rejected_file::encode(&mut bytes, (id, 7), event, position);
    let header = Header::decode(&bytes, position).unwrap();
    assert_eq!((header.id, header.session), (id, 7));
    assert_eq!(header.decode_rest(&bytes, position).as_ref(), Some(event));
}

/// Searches by the ledger's view of the file: every event is found by its id and by what it is.
fn search(disk: &MemoryDisk, number: u64, end: u64, events: &[(i64, Rejected)]) {
    let known = [RejectedFile {
        number,
        first_id: 0,
        next_id: 1 << 62,
        end,
        forgotten: vec![0b1010_0000],
    }];
    let _ = read_matching(disk, &known, &RejectedFilter::default(), |_, _| true);
    let ids: Vec<i64> = events.iter().map(|(id, _)| *id).collect();
    let _ = rejected_with_ids(disk, &known, &ids);
    let Some((id, event)) = events.first() else {
        return;
    };
    if !(0..1 << 62).contains(id) || known[0].is_forgotten(*id as usize) {
        return;
    }
    let filter = RejectedFilter {
        user: Some(event.user.clone()),
        api_code: Some(event.api_code.clone()),
        reason: Some(event.reason),
        may_be_delivered: Some(event.may_be_delivered),
        ..RejectedFilter::default()
    };
    // Row 0 is behind no other one: nothing is listed from it on.
    if *id > filter.after_id {
        let found = rejected_matching(disk, &known, &filter, 1).unwrap();
        assert_eq!(found, [(*id, event.clone())]);
    }
}
