//! The rejected events that can be read, and the files that they can stay in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::ledger::{LedgerFound, whole_file};
use super::scan::{At, CannotScan, Scanned, Units, scan};
use crate::error::{Error, Result};
use crate::store::disk::{Disk, Folder};
use crate::store::entry::RejectedFile;
use crate::store::failures::cannot_open;
use crate::store::fold::{FILE_IDS_MAX, Fold};
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

/// An event that can be read, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventAt {
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A file that holds whole events in their order and nothing else.
#[derive(Debug)]
struct CleanFile {
    number: u64,
    ids: Range<i64>,
    end: u64,
}

/// All rejected events that can be read.
#[derive(Debug, Default)]
pub(super) struct RejectedFound {
    /// What is wrong with them; `None`: nothing.
    pub(super) damage: Option<String>,
    /// By id. Of an event that stands twice, the one in a file that the ledger names.
    pub(super) events: BTreeMap<i64, EventAt>,
    /// How the files have to be read: one whose header is damaged has one that was found.
    pub(super) headers: HashMap<u64, FileHeader>,
    pub(super) counts: BTreeMap<(RejectedReason, String), u64>,
    /// The highest id that was seen.
    pub(super) last_seen: i64,
    /// At most so many cannot be read.
    pub(super) lost: u64,
    clean: Vec<CleanFile>,
}

impl RejectedFound {
    pub(super) fn read(disk: &dyn Disk, ledger: &LedgerFound) -> Result<Self> {
        let mut found = Self::default();
        let fold = &ledger.fold;
        let mut listed: BTreeMap<u64, &RejectedFile> = BTreeMap::new();
        for file in &fold.rejected {
            found.last_seen = found.last_seen.max(file.next_id - 1);
            // One that is all forgotten may be gone already, unless it was still appended to: then a record that
            // is missing may have put an event there.
            let is_appended_to = file.number >= ledger.numbers_before.rejected_file;
            if file.remaining() > 0 || is_appended_to {
                listed.insert(file.number, file);
            }
        }
        // What the ledger names comes first: another file may hold copies of it.
        for (number, file) in &listed {
            found.read_file(disk, ledger, *number, Some(file))?;
        }
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
            let unnamed: BTreeSet<u64> = parsed
                .filter(|number| *number > given && !listed.contains_key(number))
                .collect();
            for number in unnamed {
                found.read_file(disk, ledger, number, None)?;
            }
        }
        for (number, file) in &listed {
            found.count_missing(ledger, *number, file);
        }
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
            return Ok(());
        };
        self.headers.insert(number, scanned.header);
        let reached = scanned.end();
        if scanned.bad.is_empty() && listed.is_some_and(|listed| reached < listed.end) {
            self.damaged(number, format!("it ends at {reached}"));
        }
        // Behind the end that a gap of the ledger may have moved, bytes that are no event may have been some.
        let known_end = listed.map_or(0, |listed| listed.end);
        let unknown = scanned.bad.iter().map(|bad| {
            let from = bad.start.max(known_end);
            bad.end.saturating_sub(from)
        });
        let unknown: u64 = unknown.sum();
        let (is_clean, units) = (scanned.is_clean(), scanned.units);
        let of_another = |at: &&At<(i64, Rejected)>| {
            let id = at.unit.0;
            listed.is_some_and(|file| !(file.first_id..file.next_id).contains(&id))
        };
        if ledger.is_whole()
            && let Some(at) = units.iter().find(of_another)
        {
            let what = format!("rejected event {} is not one of the file's", at.unit.0);
            self.damaged(number, what);
        }
        let had_units = !units.is_empty();
        let taken = self.take_events(&ledger.fold, number, units);
        // Of a copy of events that are all known, what cannot be read is known elsewhere too, or is missed there.
        let is_copy = listed.is_none() && had_units && taken.count == 0;
        if !ledger.is_whole() && !is_copy {
            self.lost += unknown.div_ceil(RECORD_LEAST);
        }
        let of_ledger = listed.map(|listed| listed.first_id..listed.next_id);
        let ids = of_ledger.into_iter().chain(taken.ids);
        let ids = ids.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
        if let Some(ids) = ids
            && is_clean
            && taken.is_in_order
            && ids.end - ids.start <= FILE_IDS_MAX
        {
            let end = reached;
            self.clean.push(CleanFile { number, ids, end });
        }
        Ok(())
    }

    /// Takes the events of a file that no other one has given.
    fn take_events(&mut self, fold: &Fold, number: u64, units: Vec<At<(i64, Rejected)>>) -> Taken {
        let mut taken = Taken {
            ids: None,
            count: 0,
            is_in_order: true,
        };
        let mut last = i64::MIN;
        for at in units {
            let (id, event) = at.unit;
            self.last_seen = self.last_seen.max(id);
            taken.is_in_order &= id > last;
            last = last.max(id);
            taken.add(id);
            if is_forgotten(fold, id) {
                continue;
            }
            if self.events.contains_key(&id) {
                taken.is_in_order = false;
                continue;
            }
            taken.count += 1;
            let key = (event.reason, event.api_code);
            *self.counts.entry(key).or_default() += 1;
            let event = EventAt {
                file: number,
                offset: at.offset,
                length: at.end - at.offset,
            };
            self.events.insert(id, event);
        }
        taken
    }

    fn count_missing(&mut self, ledger: &LedgerFound, number: u64, listed: &RejectedFile) {
        let there = self.events.range(listed.first_id..listed.next_id).count();
        let missing = listed.remaining().saturating_sub(there as u64);
        if missing > 0 && ledger.is_whole() {
            self.damaged(number, format!("{missing} events are missing"));
        }
        self.lost += missing;
    }

    /// Where the new store finds the events, in the order of their ids. A file stays as it is if no other file
    /// has an event among its ids; files whose ids overlap could not be searched. All else is copied.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts: BTreeMap<i64, Part> = BTreeMap::new();
        let mut kept: BTreeMap<i64, i64> = BTreeMap::new();
        for file in &self.clean {
            let mut among = self.events.range(file.ids.clone());
            let before = kept.range(..file.ids.end).next_back();
            let overlaps = before.is_some_and(|(_, end)| *end > file.ids.start);
            if file.ids.is_empty() || overlaps || among.any(|(_, at)| at.file != file.number) {
                continue;
            }
            kept.insert(file.ids.start, file.ids.end);
            parts.insert(file.ids.start, Part::Kept(self.described(file)));
        }
        let is_kept = |id: i64| {
            let before = kept.range(..=id).next_back();
            before.is_some_and(|(_, end)| *end > id)
        };
        let mut copied: Vec<(i64, EventAt)> = Vec::new();
        let mut bytes = 0;
        for (&id, &at) in self.events.iter().filter(|(id, _)| !is_kept(**id)) {
            let first = copied.first().map_or(id, |(first, _)| *first);
            let is_apart = kept.range(first..id).next().is_some();
            let is_full = bytes >= rejected_file::FILE_BYTES || id - first >= FILE_IDS_MAX;
            if is_apart || is_full {
                parts.insert(first, Part::Copied(std::mem::take(&mut copied)));
                bytes = 0;
            }
            bytes += at.length;
            copied.push((id, at));
        }
        if let Some((first, _)) = copied.first() {
            parts.insert(*first, Part::Copied(copied));
        }
        parts.into_values().collect()
    }

    fn described(&self, file: &CleanFile) -> RejectedFile {
        let ids = self.events.range(file.ids.clone()).map(|(id, _)| *id);
        file_of(file.number, file.ids.clone(), file.end, ids)
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

/// What a file adds to the events that are known.
struct Taken {
    /// From its first event to its last one, forgotten ones included.
    ids: Option<Range<i64>>,
    count: u64,
    is_in_order: bool,
}

impl Taken {
    fn add(&mut self, id: i64) {
        let known = self.ids.take().unwrap_or(id..id);
        self.ids = Some(known.start.min(id)..known.end.max(id + 1));
    }
}

/// Events of the new store that stand in one file.
#[derive(Debug)]
pub(super) enum Part {
    /// In a file that stays.
    Kept(RejectedFile),
    /// In a file that is yet to be written.
    Copied(Vec<(i64, EventAt)>),
}

/// What the ledger says of a file: all of `ids` are forgotten but those that are `there`.
pub(super) fn file_of(
    number: u64,
    ids: Range<i64>,
    end: u64,
    there: impl Iterator<Item = i64>,
) -> RejectedFile {
    let bits = usize::try_from(ids.end - ids.start).unwrap_or(0);
    let mut forgotten: Vec<u8> = (0..bits.div_ceil(8))
        .map(|byte| u8::MAX >> (8 - (bits - byte * 8).min(8)))
        .collect();
    for id in there {
        let bit = (id - ids.start) as usize;
        forgotten[bit / 8] &= !(1 << (bit % 8));
    }
    RejectedFile {
        number,
        first_id: ids.start,
        next_id: ids.end,
        end,
        forgotten,
    }
}
