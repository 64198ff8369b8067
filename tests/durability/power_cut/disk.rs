//! What a disk may hold after a power cut.
//!
//! The model, for each recorded moment:
//! - What a file held when its last completed sync began is there. Of what was written since, any
//!   sector of 512 bytes may be there or not, in any order, for the page cache writes them out as it
//!   likes. Within one sector a later write never comes without the earlier ones of that sector.
//! - A file's size is one that it had since its last sync, whether or not its bytes came along;
//!   bytes that did not are zeros.
//! - A file that was made shorter is so or is not, as a whole: that is a change of its size and not of
//!   its sectors. What was written after it is not there without it, for it lies in other blocks.
//! - A directory holds what it held when its last completed sync began. Of the names made, changed
//!   and removed since, any subset may be there, in their order; a rename is there or not, as a whole.
//!   Syncing a file does not save its name. That is what POSIX says, and no more; or names are kept
//!   in their order up to some moment and up to the last sync of anything at least, as file systems
//!   with a log do it. Both are tried.
//! - A sync that has not ended may have done nothing.
//!
//! Nothing had to be weakened for SQLite: it syncs the directory with the first sync of a new log, and
//! with it the entry of `store.db`. Its shared memory file is left out of every image.
//!
//! Assumed as SQLite assumes it: a write does not harm the bytes beside it in the same sector.
//! Not modelled: a disk that lies about a sync, and bits that rot.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recording::{Change, Entry, Inode, Kind, ROOT, Recording, Step};

const SECTOR: u64 = 512;

/// The disk at one moment: what is safe, and what was done since.
pub struct Disk<'a> {
    recording: &'a Recording,
    /// Steps done.
    now: usize,
    files: Vec<File>,
    directories: BTreeMap<Inode, BTreeMap<Arc<str>, Inode>>,
    /// Steps that changed names and are not synced.
    entries: Vec<usize>,
    /// A file system with a log has kept the names of all steps before this one.
    logged: usize,
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    /// Counts the changes of `durable`.
    version: u64,
    /// Steps that changed it and are not synced.
    pending: Vec<usize>,
}

/// What the cut does to what is not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is there: no cut, but the death of the processes.
    Kept,
    /// Nothing of it is.
    Lost,
    /// What was done before some moment is there, and some sectors of what was done then.
    Cut,
    /// Each write is there as a whole, or some sectors of it, or not at all.
    Reordered,
    /// Each sector is as it was at some moment.
    Torn,
}

impl Fate {
    pub const OF_POWER: [Self; 4] = [Self::Lost, Self::Cut, Self::Reordered, Self::Torn];

    /// Whether nothing is there without everything that was done before it and is not synced.
    pub fn keeps_order(self) -> bool {
        matches!(self, Self::Kept | Self::Lost | Self::Cut)
    }
}

/// A file of an image: what stands in it differs from its synced bytes in a range at most.
pub struct Content {
    pub inode: Inode,
    pub version: u64,
    pub bytes: Vec<u8>,
    pub unsynced: Range<u64>,
}

pub enum Node {
    Directory,
    Socket,
    File(Content),
    /// As synced; the bytes are [`Disk::durable`].
    Synced {
        inode: Inode,
        version: u64,
    },
}

/// What stands on the disk when the power comes back, a directory before what is in it.
pub type Image = Vec<(PathBuf, Node)>;

impl<'a> Disk<'a> {
    /// The empty disk before the first step.
    pub fn new(recording: &'a Recording) -> Self {
        let mut disk = Self {
            recording,
            now: 0,
            files: Vec::new(),
            directories: BTreeMap::new(),
            entries: Vec::new(),
            logged: 0,
        };
        for (node, kind) in recording.kinds.iter().enumerate() {
            disk.files.push(File::default());
            if *kind == Kind::Directory {
                disk.directories.insert(node, BTreeMap::new());
            }
        }
        disk
    }

    /// Does the steps before `moment`.
    pub fn advance(&mut self, moment: usize) {
        let recording = self.recording;
        while self.now < moment {
            match &recording.steps[self.now] {
                Step::Data { file, .. } if recording.kinds[*file] == Kind::File => {
                    self.files[*file].pending.push(self.now);
                }
                Step::Entries(_) => self.entries.push(self.now),
                Step::Synced { node, begun } => self.sync(*node, *begun),
                _ => {}
            }
            self.now += 1;
        }
    }

    pub fn durable(&self, file: Inode) -> &[u8] {
        &self.files[file].durable
    }

    /// Whether all names on the way to `node` are synced.
    pub fn has_durable_name(&self, node: Inode) -> bool {
        node == ROOT
            || self.directories.iter().any(|(directory, names)| {
                names.values().any(|named| *named == node) && self.has_durable_name(*directory)
            })
    }

    fn sync(&mut self, node: Inode, begun: usize) {
        self.logged = self.logged.max(begun);
        if self.directories.contains_key(&node) {
            let recording = self.recording;
            let directories = &mut self.directories;
            self.entries.retain(|step| {
                let entries = names(recording, *step);
                let covered = *step < begun && entries.iter().any(|entry| entry.directory == node);
                if covered {
                    enter(directories, entries);
                }
                !covered
            });
        } else {
            let file = &mut self.files[node];
            let covered = file.pending.partition_point(|step| *step < begun);
            for step in file.pending.drain(..covered) {
                let Step::Data { change, size, .. } = &self.recording.steps[step] else {
                    unreachable!("a step of data");
                };
                apply(self.recording, change, None, &mut file.durable);
                file.durable.resize(*size as usize, 0);
                file.version += 1;
            }
        }
    }

    /// The disk after a cut here.
    pub fn cut(&self, fate: Fate, rng: &mut fastrand::Rng) -> Image {
        // In order, everything before this step is there.
        let first = self.files.iter().filter_map(|file| file.pending.first());
        let first = first.chain(self.entries.first()).min().copied();
        let upto = match fate {
            Fate::Kept => self.now,
            Fate::Cut => rng.usize(first.unwrap_or(self.now)..=self.now),
            _ => 0,
        };
        let mut directories = self.directories.clone();
        let chance = rng.f64();
        let logged = match fate {
            Fate::Cut | Fate::Kept => upto,
            Fate::Lost => 0,
            _ => rng.usize(self.logged..=self.now.max(self.logged)),
        };
        let by_log = rng.bool();
        for step in &self.entries {
            let there = match fate {
                Fate::Kept | Fate::Cut | Fate::Lost => {
                    *step < logged || (by_log && *step < self.logged)
                }
                Fate::Reordered | Fate::Torn => {
                    if by_log {
                        *step < logged
                    } else {
                        rng.f64() < chance
                    }
                }
            };
            if there {
                enter(&mut directories, names(self.recording, *step));
            }
        }
        let mut image = Vec::new();
        self.list(
            &directories,
            ROOT,
            Path::new(""),
            &mut image,
            fate,
            upto,
            rng,
        );
        image
    }

    #[allow(clippy::too_many_arguments)]
    fn list(
        &self,
        directories: &BTreeMap<Inode, BTreeMap<Arc<str>, Inode>>,
        directory: Inode,
        path: &Path,
        image: &mut Image,
        fate: Fate,
        upto: usize,
        rng: &mut fastrand::Rng,
    ) {
        for (name, node) in &directories[&directory] {
            let path = path.join(&**name);
            match self.recording.kinds[*node] {
                Kind::Directory => {
                    image.push((path.clone(), Node::Directory));
                    self.list(directories, *node, &path, image, fate, upto, rng);
                }
                Kind::File => image.push((path, self.file(*node, fate, upto, rng))),
                Kind::Socket => image.push((path, Node::Socket)),
                Kind::Volatile => {}
            }
        }
    }

    fn file(&self, inode: Inode, fate: Fate, upto: usize, rng: &mut fastrand::Rng) -> Node {
        let file = &self.files[inode];
        let version = file.version;
        if file.pending.is_empty() || fate == Fate::Lost {
            return Node::Synced { inode, version };
        }
        let changes: Vec<(usize, &Change, u64)> = file
            .pending
            .iter()
            .map(|step| match &self.recording.steps[*step] {
                Step::Data { change, size, .. } => (*step, change, *size),
                _ => unreachable!("a step of data"),
            })
            .collect();
        let mut bytes = file.durable.clone();
        let mut unsynced = Span::default();
        let mut size = file.durable.len() as u64;
        let cuts = shortenings(&changes, size);
        if fate.keeps_order() {
            for (index, (step, change, size_then)) in changes.iter().enumerate() {
                let sectors = match step.cmp(&upto) {
                    std::cmp::Ordering::Less => None,
                    std::cmp::Ordering::Equal if cuts.contains(&index) => match rng.bool() {
                        true => None,
                        false => break,
                    },
                    std::cmp::Ordering::Equal => Some(Sectors::some_of(change, rng)),
                    std::cmp::Ordering::Greater => break,
                };
                unsynced.add(range(change));
                apply(self.recording, change, sectors.as_ref(), &mut bytes);
                size = *size_then;
            }
        } else {
            // So many of the shortenings are there, and nothing that came after the next one.
            let there = rng.usize(0..=cuts.len());
            let shortened = there.checked_sub(1).map(|last| cuts[last]);
            let changes = &changes[..cuts.get(there).copied().unwrap_or(changes.len())];
            let mut known = Versions::draw(fate, changes, rng);
            for &cut in &cuts[..there] {
                known.see_all_of(cut, changes[cut].1);
            }
            for (index, (_, change, _)) in changes.iter().enumerate() {
                unsynced.add(range(change));
                let sectors = known.of(index, change);
                apply(self.recording, change, Some(&sectors), &mut bytes);
            }
            let earliest = shortened.map_or(0, |cut| cut + 1);
            let moment = rng.usize(earliest..=2 * changes.len()).min(changes.len());
            if moment > 0 {
                size = changes[moment - 1].2;
            }
        }
        let durable = file.durable.len() as u64;
        if size != durable {
            unsynced.add(size.min(durable)..size.max(durable));
        }
        bytes.resize(size as usize, 0);
        Node::File(Content {
            inode,
            version,
            bytes,
            unsynced: unsynced.0.unwrap_or(0..0),
        })
    }
}

fn names(recording: &Recording, step: usize) -> &[Entry] {
    match &recording.steps[step] {
        Step::Entries(entries) => entries,
        _ => unreachable!("a step of names"),
    }
}

fn enter(directories: &mut BTreeMap<Inode, BTreeMap<Arc<str>, Inode>>, entries: &[Entry]) {
    for entry in entries {
        let names = directories.entry(entry.directory).or_default();
        match entry.node {
            Some(node) => names.insert(entry.name.clone(), node),
            None => names.remove(&entry.name),
        };
    }
}

/// Which of the changes made the file shorter; it had `size` before them.
fn shortenings(changes: &[(usize, &Change, u64)], mut size: u64) -> Vec<usize> {
    let mut found = Vec::new();
    for (index, (_, _, size_then)) in changes.iter().enumerate() {
        if *size_then < size {
            found.push(index);
        }
        size = *size_then;
    }
    found
}

#[derive(Default)]
struct Span(Option<Range<u64>>);

impl Span {
    fn add(&mut self, more: Range<u64>) {
        self.0 = Some(match self.0.take() {
            Some(range) => range.start.min(more.start)..range.end.max(more.end),
            None => more,
        });
    }
}

fn range(change: &Change) -> Range<u64> {
    match change {
        Change::Write { at, data } => *at..at + data.len() as u64,
        Change::Zero { at, length } => *at..at + length,
    }
}

fn sectors(change: &Change) -> Range<u64> {
    let bytes = range(change);
    bytes.start / SECTOR..bytes.end.div_ceil(SECTOR)
}

/// Which sectors of a change are there, from the first one that it touches on.
struct Sectors {
    first: u64,
    there: Vec<bool>,
}

impl Sectors {
    fn some_of(change: &Change, rng: &mut fastrand::Rng) -> Self {
        let touched = sectors(change);
        let chance = rng.f64();
        Self {
            first: touched.start,
            there: touched.map(|_| rng.f64() < chance).collect(),
        }
    }
}

/// For each sector of a file, how many of its unsynced changes it has seen.
struct Versions {
    first: u64,
    seen: Vec<u32>,
}

impl Versions {
    fn draw(fate: Fate, changes: &[(usize, &Change, u64)], rng: &mut fastrand::Rng) -> Self {
        let all = changes.iter().map(|(_, change, _)| sectors(change));
        let all = all
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0);
        let mut versions = Self {
            first: all.start,
            seen: vec![0; (all.end - all.start) as usize],
        };
        if fate == Fate::Torn {
            let count = changes.len() as u32;
            versions.seen.fill_with(|| rng.u32(0..=count));
            return versions;
        }
        let chance = rng.f64();
        for (index, (_, change, _)) in changes.iter().enumerate() {
            let whole = rng.f64() < chance;
            let torn = !whole && rng.u8(0..4) == 0;
            if !whole && !torn {
                continue;
            }
            for sector in sectors(change) {
                if whole || rng.bool() {
                    versions.seen[(sector - all.start) as usize] = index as u32 + 1;
                }
            }
        }
        versions
    }

    /// Every sector of this change has seen it.
    fn see_all_of(&mut self, index: usize, change: &Change) {
        for sector in sectors(change) {
            let seen = &mut self.seen[(sector - self.first) as usize];
            *seen = (*seen).max(index as u32 + 1);
        }
    }

    fn of(&self, index: usize, change: &Change) -> Sectors {
        let touched = sectors(change);
        Sectors {
            first: touched.start,
            there: touched
                .map(|sector| self.seen[(sector - self.first) as usize] > index as u32)
                .collect(),
        }
    }
}

/// Makes a change, or only the sectors of it that are there.
fn apply(recording: &Recording, change: &Change, there: Option<&Sectors>, bytes: &mut Vec<u8>) {
    let whole = range(change);
    let mut put = |part: Range<u64>| {
        let (start, end) = (part.start as usize, part.end as usize);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        match change {
            Change::Write { at, data } => {
                let from = data.start + (part.start - at) as usize;
                let data = &recording.log[from..from + (end - start)];
                bytes[start..end].copy_from_slice(data);
            }
            Change::Zero { .. } => bytes[start..end].fill(0),
        }
    };
    match there {
        None => put(whole),
        Some(sectors) => {
            for (sector, _) in (sectors.first..)
                .zip(&sectors.there)
                .filter(|(_, there)| **there)
            {
                let start = whole.start.max(sector * SECTOR);
                put(start..whole.end.min((sector + 1) * SECTOR));
            }
        }
    }
}
