//! The model of a disk: what it may hold after a power cut.
//!
//! For each recorded moment:
//! - A file has what it had when its last completed sync began. Of what was written since, each
//!   sector of 512 bytes may be written or not, in any order, because the page cache writes sectors
//!   as it likes. Within one sector, a later write is never there without the earlier writes.
//! - The size of a file is one that it had since its last sync, whether or not its bytes were
//!   written, too; bytes that were not are zeros.
//! - A truncation happens as a whole or not at all, because it changes the size and no sectors.
//!   What was written after it is not there without it, because that is in other blocks.
//! - A directory has what it had when its last completed sync began. Of the names that were made,
//!   changed and removed since, any subset may be there, in their order; a rename happens as a
//!   whole or not at all. A sync of a file does not save its name. This is all that POSIX promises.
//!   File systems with a log keep names in their order up to some moment, which is not before the
//!   last sync of any file. The model tries both.
//! - A sync that has not ended may have had no effect.
//!
//! The model assumes that a write does not damage other bytes of its sector. It
//! has no disks that report a sync without doing it, and no bits that change by themselves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recording::{Change, Entry, Inode, Kind, ROOT, Recording, Step};

const SECTOR: u64 = 512;

/// The disk at one moment: what is synced, and what was done since.
pub struct Disk<'a> {
    recording: &'a Recording,
    /// The number of steps done.
    now: usize,
    files: Vec<File>,
    directories: BTreeMap<Inode, BTreeMap<Arc<str>, Inode>>,
    /// The steps that changed names and are not synced.
    entries: Vec<usize>,
    /// A file system with a log has saved the names of all steps before this one.
    logged: usize,
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    /// The number of changes of `durable`.
    version: u64,
    /// The steps that changed it and are not synced.
    pending: Vec<usize>,
}

/// What a cut does to changes that are not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutEffect {
    /// All are on the disk: the processes were killed, and the power stayed on.
    Kept,
    /// None is on the disk.
    Lost,
    /// All changes before some moment are on the disk, and some sectors of the change at that moment.
    Cut,
    /// Each write is on the disk as a whole, in some sectors, or not at all.
    Reordered,
    /// Each sector has what it had at some moment.
    Torn,
}

impl CutEffect {
    pub const OF_POWER: [Self; 4] = [Self::Lost, Self::Cut, Self::Reordered, Self::Torn];

    /// Whether a change is on the disk only if all unsynced changes before it are on it, too.
    pub fn keeps_order(self) -> bool {
        matches!(self, Self::Kept | Self::Lost | Self::Cut)
    }
}

/// A file of an image. It differs from its synced bytes in one range at most.
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
    /// A file with its synced bytes, which are [`Disk::durable`].
    Synced {
        inode: Inode,
        version: u64,
    },
}

/// What is on the disk when the power comes back. A directory is before its contents.
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

    /// Does all steps before `moment`.
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

    /// The name of `node`, if it and all names of the directories above are synced.
    pub fn durable_name(&self, node: Inode) -> Option<&str> {
        self.directories.iter().find_map(|(directory, names)| {
            let (name, _) = names.iter().find(|(_, named)| **named == node)?;
            let is_durable = *directory == ROOT || self.durable_name(*directory).is_some();
            is_durable.then_some(&**name)
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
                    apply_names(directories, entries);
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

    /// What the disk may hold after a cut at this moment.
    pub fn cut(&self, effect: CutEffect, rng: &mut fastrand::Rng) -> Image {
        // For the effects that keep the order: all changes before `upto` are on the disk.
        let first = self.files.iter().filter_map(|file| file.pending.first());
        let first = first.chain(self.entries.first()).min().copied();
        let upto = match effect {
            CutEffect::Kept => self.now,
            CutEffect::Cut => rng.usize(first.unwrap_or(self.now)..=self.now),
            _ => 0,
        };
        let mut directories = self.directories.clone();
        let chance = rng.f64();
        let logged = match effect {
            CutEffect::Cut | CutEffect::Kept => upto,
            CutEffect::Lost => 0,
            _ => rng.usize(self.logged..=self.now.max(self.logged)),
        };
        let by_log = rng.bool();
        for step in &self.entries {
            let is_there = match effect {
                CutEffect::Kept | CutEffect::Cut | CutEffect::Lost => {
                    *step < logged || (by_log && *step < self.logged)
                }
                CutEffect::Reordered | CutEffect::Torn => {
                    if by_log {
                        *step < logged
                    } else {
                        rng.f64() < chance
                    }
                }
            };
            if is_there {
                apply_names(&mut directories, names(self.recording, *step));
            }
        }
        let mut image = Vec::new();
        self.list(
            &directories,
            ROOT,
            Path::new(""),
            &mut image,
            effect,
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
        effect: CutEffect,
        upto: usize,
        rng: &mut fastrand::Rng,
    ) {
        for (name, node) in &directories[&directory] {
            let path = path.join(&**name);
            match self.recording.kinds[*node] {
                Kind::Directory => {
                    image.push((path.clone(), Node::Directory));
                    self.list(directories, *node, &path, image, effect, upto, rng);
                }
                Kind::File => image.push((path, self.file(*node, effect, upto, rng))),
                Kind::Socket => image.push((path, Node::Socket)),
            }
        }
    }

    fn file(&self, inode: Inode, effect: CutEffect, upto: usize, rng: &mut fastrand::Rng) -> Node {
        let file = &self.files[inode];
        let version = file.version;
        if file.pending.is_empty() || effect == CutEffect::Lost {
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
        let cuts = truncations(&changes, size);
        if effect.keeps_order() {
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
            // The first `done` truncations are there, and nothing that was done after the next one.
            let done = rng.usize(0..=cuts.len());
            let last_cut = done.checked_sub(1).map(|last| cuts[last]);
            let changes = &changes[..cuts.get(done).copied().unwrap_or(changes.len())];
            let mut versions = Versions::draw(effect, changes, rng);
            for &cut in &cuts[..done] {
                versions.add_whole_change(cut, changes[cut].1);
            }
            for (index, (_, change, _)) in changes.iter().enumerate() {
                unsynced.add(range(change));
                let sectors = versions.sectors_with(index, change);
                apply(self.recording, change, Some(&sectors), &mut bytes);
            }
            let earliest = last_cut.map_or(0, |cut| cut + 1);
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

fn apply_names(directories: &mut BTreeMap<Inode, BTreeMap<Arc<str>, Inode>>, entries: &[Entry]) {
    for entry in entries {
        let names = directories.entry(entry.directory).or_default();
        match entry.node {
            Some(node) => names.insert(entry.name.clone(), node),
            None => names.remove(&entry.name),
        };
    }
}

/// The indices of the changes that made the file shorter. It had `size` before them.
fn truncations(changes: &[(usize, &Change, u64)], mut size: u64) -> Vec<usize> {
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

/// Which sectors of a change are there, starting with the first sector that it touches.
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

/// For each sector of a file, how many of the file's unsynced changes it has.
struct Versions {
    first: u64,
    changes: Vec<u32>,
}

impl Versions {
    fn draw(effect: CutEffect, changes: &[(usize, &Change, u64)], rng: &mut fastrand::Rng) -> Self {
        let all = changes.iter().map(|(_, change, _)| sectors(change));
        let all = all
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0);
        let mut versions = Self {
            first: all.start,
            changes: vec![0; (all.end - all.start) as usize],
        };
        if effect == CutEffect::Torn {
            let count = changes.len() as u32;
            versions.changes.fill_with(|| rng.u32(0..=count));
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
                    versions.changes[(sector - all.start) as usize] = index as u32 + 1;
                }
            }
        }
        versions
    }

    /// Gives every sector of this change the change.
    fn add_whole_change(&mut self, index: usize, change: &Change) {
        for sector in sectors(change) {
            let has = &mut self.changes[(sector - self.first) as usize];
            *has = (*has).max(index as u32 + 1);
        }
    }

    fn sectors_with(&self, index: usize, change: &Change) -> Sectors {
        let touched = sectors(change);
        Sectors {
            first: touched.start,
            there: touched
                .map(|sector| self.changes[(sector - self.first) as usize] > index as u32)
                .collect(),
        }
    }
}

/// Makes a change, or only its sectors that are there.
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
