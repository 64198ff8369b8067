//! The rejected events that can be read, and the files that they can stay in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ledger::{LedgerFound, whole_file};
use super::scan::{CannotScan, Scanned, Units, scan};
use crate::error::{Error, Result};
use crate::store::disk::{Disk, Folder};
use crate::store::entry::RejectedFile;
use crate::store::failures::cannot_open;
use crate::store::fold::Fold;
use crate::store::frame::{FileHeader, Kind};
use crate::store::recovery::CannotOpen;
use crate::store::rejected_file::{self, Header, RECORD_MAGIC};
use crate::store::{Rejected, RejectedReason};

/// No record of an event is shorter.
const RECORD_LEAST: u64 = 100;

pub(super) const EVENTS: Units<(i64, Rejected)> = Units {
    kind: Kind::Rejected,
    magic: RECORD_MAGIC,
    crc_at: 32,
    read: |bytes, position| {
        let header = Header::decode(bytes, position)?;
        let event = header.decode_rest(bytes, position)?;
        Some(((header.id, event), header.length()))
    },
};

/// What can be read of a file.
#[derive(Debug)]
pub(super) struct FileFound {
    /// As the new ledger says it, but for the number of a file that has to be copied.
    pub(super) file: RejectedFile,
    pub(super) header: FileHeader,
    /// It can stay as it is; else its events are copied.
    pub(super) is_clean: bool,
}

/// All rejected events that can be read.
#[derive(Debug, Default)]
pub(super) struct RejectedFound {
    /// What is wrong with them; `None`: nothing.
    pub(super) damage: Option<String>,
    /// In the order of their ids.
    pub(super) files: Vec<FileFound>,
    pub(super) counts: BTreeMap<(RejectedReason, String), u64>,
    /// The highest id that was seen.
    pub(super) last_seen: i64,
    /// At most so many cannot be read.
    pub(super) lost: u64,
    seen: BTreeSet<i64>,
}

impl RejectedFound {
    pub(super) fn read(disk: &dyn Disk, ledger: &LedgerFound) -> Result<Self> {
        let mut found = Self::default();
        let fold = &ledger.fold;
        let mut listed: HashMap<u64, &RejectedFile> = HashMap::new();
        for file in &fold.rejected {
            found.last_seen = found.last_seen.max(file.next_id - 1);
            let is_appended_to = file.number == fold.numbers.rejected_file;
            // One that is all forgotten may be gone already.
            if file.remaining() > 0 || (is_appended_to && ledger.is_whole()) {
                listed.insert(file.number, file);
            }
        }
        let mut numbers: BTreeSet<u64> = listed.keys().copied().collect();
        if !ledger.is_whole() {
            let names = disk.list(Folder::Rejected);
            let names = names.map_err(|e| Error::io(disk.describe(None), e))?;
            let given = match ledger.has_snapshot {
                true => ledger.numbers_before.rejected_file,
                false => 0,
            };
            let parsed = names
                .iter()
                .filter_map(|name| rejected_file::parse_name(name));
            numbers.extend(parsed.filter(|number| *number > given));
        }
        // What the ledger names comes first: another file may hold copies of it.
        let mut numbers: Vec<u64> = numbers.into_iter().collect();
        numbers.sort_by_key(|number| (!listed.contains_key(number), *number));
        for number in numbers {
            found.read_file(disk, ledger, number, listed.get(&number).copied())?;
        }
        found.files.sort_by_key(|found| found.file.first_id);
        found.keep_apart();
        Ok(found)
    }

    fn read_file(
        &mut self,
        disk: &dyn Disk,
        ledger: &LedgerFound,
        number: u64,
        listed: Option<&RejectedFile>,
    ) -> Result<()> {
        let (from, all) = whole_file();
        let end = match listed {
            Some(file) if ledger.is_whole() => file.end,
            _ => all,
        };
        let Some(scanned) = self.scan(disk, number, (from, end))? else {
            self.lost += listed.map_or(0, RejectedFile::remaining);
            return Ok(());
        };
        let mut is_clean = scanned.is_clean();
        let is_copy = !scanned.units.is_empty();
        let reached = scanned.end();
        if scanned.bad.is_empty() && listed.is_some_and(|listed| reached < listed.end) {
            self.damaged(number, format!("it ends at {reached}"));
        }
        let bad_bytes = scanned.bad_bytes();
        let (header, ids) = (
            scanned.header,
            self.take_ids(&ledger.fold, scanned, &mut is_clean),
        );
        let forgotten = |id| is_forgotten(&ledger.fold, id);
        let (Some(&low), Some(&high)) = (ids.first(), ids.last()) else {
            self.lost += match listed {
                Some(listed) => listed.remaining(),
                None if is_copy => 0,
                None => bad_bytes.div_ceil(RECORD_LEAST),
            };
            // An empty file that goes on being appended to stays.
            if let Some(listed) = listed.filter(|listed| is_clean && listed.remaining() == 0) {
                self.keep(listed.clone(), header, is_clean);
            }
            return Ok(());
        };
        let first_id = listed.map_or(low, |file| file.first_id.min(low));
        let next_id = listed.map_or(high + 1, |file| file.next_id.max(high + 1));
        let mut file = RejectedFile {
            number,
            first_id,
            next_id,
            end: reached,
            forgotten: vec![0; usize::try_from(next_id - first_id).unwrap_or(0).div_ceil(8)],
        };
        let mut missing = 0;
        for id in first_id..next_id {
            if forgotten(id) || !ids.contains(&id) {
                missing += u64::from(!forgotten(id));
                let bit = (id - first_id) as usize;
                file.forgotten[bit / 8] |= 1 << (bit % 8);
            }
        }
        if missing > 0 && is_clean && listed.is_some() && ledger.is_whole() {
            self.damaged(number, format!("{missing} events are missing"));
        }
        self.lost += match listed {
            // Behind a gap of the ledger, the file may have had more than the ledger says.
            Some(_) if ledger.is_whole() => missing,
            _ => missing.max(bad_bytes.div_ceil(RECORD_LEAST)),
        };
        self.keep(file, header, is_clean);
        Ok(())
    }

    /// The ids that this file adds to those that other files hold.
    fn take_ids(
        &mut self,
        fold: &Fold,
        scanned: Scanned<(i64, Rejected)>,
        is_clean: &mut bool,
    ) -> BTreeSet<i64> {
        let mut ids = BTreeSet::new();
        let mut last = i64::MIN;
        for at in scanned.units {
            let (id, event) = at.unit;
            self.last_seen = self.last_seen.max(id);
            // Of two files whose ids overlap only one could keep this event (`keep_apart`).
            let mut kept = self.files.iter().map(|found| &found.file);
            let is_held = kept.any(|file| (file.first_id..file.next_id).contains(&id));
            let is_new = self.seen.insert(id) && !is_held;
            *is_clean &= is_new && id > last;
            last = last.max(id);
            if !is_new {
                continue;
            }
            ids.insert(id);
            if !is_forgotten(fold, id) {
                let key = (event.reason, event.api_code);
                *self.counts.entry(key).or_default() += 1;
            }
        }
        ids
    }

    fn keep(&mut self, file: RejectedFile, header: FileHeader, is_clean: bool) {
        self.files.push(FileFound {
            file,
            header,
            is_clean,
        });
    }

    /// Files whose ids overlap cannot be searched: of two, the one that is not the ledger's is cut to the
    /// ids behind the other's.
    fn keep_apart(&mut self) {
        let mut next = i64::MIN;
        self.files.retain_mut(|found| {
            let file = &mut found.file;
            if file.first_id < next {
                let cut = (next - file.first_id) as usize;
                let bits = (file.next_id - file.first_id).max(0) as usize;
                let kept: Vec<bool> = (cut..bits).map(|bit| file.is_forgotten(bit)).collect();
                file.forgotten = vec![0; kept.len().div_ceil(8)];
                for (bit, _) in kept.iter().enumerate().filter(|(_, forgotten)| **forgotten) {
                    file.forgotten[bit / 8] |= 1 << (bit % 8);
                }
                file.first_id = next;
                found.is_clean = false;
            }
            next = next.max(file.next_id);
            file.next_id > file.first_id
        });
    }

    fn scan(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        range: (u64, u64),
    ) -> Result<Option<Scanned<(i64, Rejected)>>> {
        let name = rejected_file::file_name(number);
        let expected = FileHeader {
            number,
            ..FileHeader::default()
        };
        let scanned = match scan(disk, (Folder::Rejected, &name), &EVENTS, expected, range) {
            Ok(scanned) => scanned,
            Err(CannotScan::Gone) => {
                self.damaged(number, "it is gone".to_owned());
                return Ok(None);
            }
            Err(CannotScan::Newer(version)) => {
                let what = format!("rejected/{name} has version {version}");
                return Err(cannot_open(disk, CannotOpen::Newer(what)));
            }
            Err(CannotScan::Io(e)) => {
                return Err(Error::io(disk.describe(Some((Folder::Rejected, &name))), e));
            }
        };
        if scanned.is_unused() && range == whole_file() {
            return Ok(None);
        }
        if !scanned.is_header_sound {
            self.damaged(number, "its header is damaged".to_owned());
        }
        if let Some(bad) = scanned.bad.first() {
            self.damaged(number, format!("no rejected event stands at {}", bad.start));
        }
        Ok(Some(scanned))
    }

    fn damaged(&mut self, number: u64, what: String) {
        let name = rejected_file::file_name(number);
        self.damage
            .get_or_insert_with(|| format!("rejected/{name}: {what}"));
    }

    /// How many events can be read.
    pub(super) fn events(&self) -> u64 {
        self.counts.values().sum()
    }
}

fn is_forgotten(fold: &Fold, id: i64) -> bool {
    fold.rejected_file(id)
        .is_some_and(|(at, bit)| fold.rejected[at].is_forgotten(bit))
}
