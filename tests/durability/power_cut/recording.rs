//! The recording of a workload: what its processes did to their disk and sent to the API.
//!
//! `tests/c/recorder.c` writes the log, and [`Recording::read`] turns it into steps. Paths and
//! descriptors become inodes in the order of the calls, so a step means the same if earlier steps
//! are left out. A moment of the workload is a number of steps.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::api::{Conversations, Request};

/// A file, a directory or a socket, under whichever name it has at the moment.
pub type Inode = usize;
pub const ROOT: Inode = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Socket,
}

/// A change of a file's bytes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Bytes of the log, written at an offset.
    Write { at: u64, data: Range<usize> },
    /// Zeros in a range, inside the file or after its end.
    Zero { at: u64, length: u64 },
}

/// One name in a directory gets an inode, or is removed.
#[derive(Debug, Clone)]
pub struct Entry {
    pub directory: Inode,
    pub name: Arc<str>,
    pub node: Option<Inode>,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// A change of a file's bytes, and the file's size after it.
    Data {
        file: Inode,
        change: Change,
        size: u64,
    },
    /// Changes of names, which happen together or not at all.
    Entries(Vec<Entry>),
    /// The end of a sync, which covers what was done before it began.
    Synced { node: Inode, begun: usize },
    /// These events were acknowledged.
    Acknowledged(Range<usize>),
    /// From here on, rejected events may go to the end of their queue.
    Requeue,
    /// No change of the disk: the begin of a sync, or bytes to or from the API.
    Other,
}

#[derive(Clone)]
pub struct Recording {
    pub log: Vec<u8>,
    pub steps: Vec<Step>,
    pub kinds: Vec<Kind>,
    /// The path below the recorded directory that each inode was made with.
    pub paths: Vec<Arc<str>>,
    pub requests: Vec<Request>,
}

/// How much longer a sync takes than on this machine, at least.
const SLOW_US: &str = "200";

/// The compiled recorder, and the directory of its log.
pub struct Recorder {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Recorder {
    /// Compiles the recorder. It records what happens below `root`, which is empty.
    pub fn compile(root: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = meditopia_testkit::repository_root().join("tests/c/recorder.c");
        let output = Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"])
            .args(["-O1", "-g", "-pthread", "-shared", "-fPIC", "-o"])
            .arg(dir.path().join("record.so"))
            .arg(source)
            .output()
            .expect("gcc runs");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        Self {
            root: root.canonicalize().unwrap(),
            dir,
        }
    }

    /// Has `command` run with the recorder.
    pub fn attach_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", self.dir.path().join("record.so"))
            .env("RECORD_ROOT", &self.root)
            .env("RECORD_SLOW_US", SLOW_US)
            .env("RECORD_LOG", self.dir.path().join("log"))
    }

    /// Reads what was recorded.
    pub fn recording(&self) -> Recording {
        Recording::read(std::fs::read(self.dir.path().join("log")).unwrap())
    }
}

/// The fixed part of a record, as in `recorder.c`.
struct Header {
    handle: u64,
    at: i64,
    size: u64,
    call: u32,
    data: Range<usize>,
}

const HEADER_BYTES: usize = 32;

impl Header {
    fn parse(log: &[u8], from: usize) -> Self {
        let word =
            |at: usize| u64::from_le_bytes(log[from + at..from + at + 8].try_into().unwrap());
        let half =
            |at: usize| u32::from_le_bytes(log[from + at..from + at + 4].try_into().unwrap());
        let start = from + HEADER_BYTES;
        Self {
            handle: word(0),
            at: word(8).cast_signed(),
            size: word(16),
            call: half(24),
            data: start..start + half(28) as usize,
        }
    }
}

/// The names and the sizes as the processes see them.
struct FileSystem {
    kinds: Vec<Kind>,
    paths: Vec<Arc<str>>,
    sizes: Vec<u64>,
    directories: HashMap<Inode, BTreeMap<Arc<str>, Inode>>,
    handles: HashMap<u64, Inode>,
    syncs: HashMap<u64, Vec<usize>>,
}

impl FileSystem {
    fn place(&self, path: &str) -> (Inode, Arc<str>) {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.find(above).expect("a directory that was recorded");
        (directory, name.into())
    }

    fn find(&self, path: &str) -> Option<Inode> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(ROOT, |at, name| {
                self.directories.get(&at)?.get(name).copied()
            })
    }

    fn make(&mut self, kind: Kind, path: &str) -> Inode {
        let node = self.kinds.len();
        self.kinds.push(kind);
        self.paths.push(path.into());
        self.sizes.push(0);
        if kind == Kind::Directory {
            self.directories.insert(node, BTreeMap::new());
        }
        node
    }

    fn enter(&mut self, entries: Vec<Entry>) -> Step {
        for entry in &entries {
            let names = self.directories.get_mut(&entry.directory).unwrap();
            match entry.node {
                Some(node) => names.insert(entry.name.clone(), node),
                None => names.remove(&entry.name),
            };
        }
        Step::Entries(entries)
    }

    fn create(&mut self, path: &str, kind: Kind) -> (Inode, Step) {
        let (directory, name) = self.place(path);
        let node = self.make(kind, path);
        let step = self.enter(vec![Entry {
            directory,
            name,
            node: Some(node),
        }]);
        (node, step)
    }

    fn data(&mut self, file: Inode, change: Change, size: u64) -> Step {
        self.sizes[file] = size;
        Step::Data { file, change, size }
    }

    fn truncate(&mut self, file: Inode, size: u64) -> Step {
        let (low, high) = (size.min(self.sizes[file]), size.max(self.sizes[file]));
        let change = Change::Zero {
            at: low,
            length: high - low,
        };
        self.data(file, change, size)
    }
}

/// What a file or a directory is to the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Segment,
    Journal,
    /// A ledger, under whichever name it was made.
    Ledger,
    LedgerFolder,
    Queue,
    QueueFolder,
    RejectedFile,
    RejectedFolder,
    ReceiptsFolder,
    /// The spool's other files and directories.
    Other,
}

impl Recording {
    fn read(log: Vec<u8>) -> Self {
        let mut files = FileSystem {
            kinds: Vec::new(),
            paths: Vec::new(),
            sizes: Vec::new(),
            directories: HashMap::new(),
            handles: HashMap::new(),
            syncs: HashMap::new(),
        };
        assert_eq!(files.make(Kind::Directory, ""), ROOT);
        let mut conversations = Conversations::default();
        let mut steps = Vec::new();
        let mut from = 0;
        while from < log.len() {
            let header = Header::parse(&log, from);
            from = header.data.end;
            read_record(&log, &header, &mut files, &mut conversations, &mut steps);
        }
        Self {
            kinds: files.kinds,
            paths: files.paths,
            requests: conversations.requests(),
            log,
            steps,
        }
    }

    /// What `node` was when it was made.
    pub fn role(&self, node: Inode) -> Role {
        let path = &*self.paths[node];
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = above.rsplit('/').next().unwrap_or("");
        match (folder, name, self.kinds[node]) {
            ("journal", name, Kind::File) if name.ends_with(".segment") => Role::Segment,
            ("ledger", _, Kind::File) => Role::Ledger,
            ("queues", _, Kind::File) => Role::Queue,
            ("rejected", _, Kind::File) => Role::RejectedFile,
            (_, "journal", Kind::Directory) => Role::Journal,
            (_, "ledger", Kind::Directory) => Role::LedgerFolder,
            (_, "queues", Kind::Directory) => Role::QueueFolder,
            (_, "rejected", Kind::Directory) => Role::RejectedFolder,
            (_, "receipts", Kind::Directory) => Role::ReceiptsFolder,
            _ => Role::Other,
        }
    }

    /// Whether such a file or directory is ever synced.
    pub fn has_syncs_of(&self, role: Role) -> bool {
        self.steps.iter().any(|step| self.is_sync_of(step, role))
    }

    fn is_sync_of(&self, step: &Step, role: Role) -> bool {
        matches!(step, Step::Synced { node, .. } if self.role(*node) == role)
    }

    /// The same, on a disk that reports the syncs of such files or directories without doing them.
    pub fn without_syncs_of(&self, role: Role) -> Self {
        assert!(self.has_syncs_of(role), "no {role:?} is ever synced");
        let mut ablated = self.clone();
        let syncs = ablated.steps.iter_mut();
        for step in syncs.filter(|step| self.is_sync_of(step, role)) {
            *step = Step::Other;
        }
        ablated
    }

    /// The same, but what removes bytes of a segment, as `removes` says, happens before up to `syncs`
    /// syncs of ledgers before it, yet after the last write to the segment. Says between which steps
    /// the recordings differ.
    pub fn with_removals_before_syncs(
        &self,
        syncs: usize,
        removes: impl Fn(&Self, &Step) -> Option<Inode>,
    ) -> (Self, Vec<Range<usize>>) {
        let mut ablated = self.clone();
        let mut windows = Vec::new();
        for (step, what) in self.steps.iter().enumerate() {
            let Some(segment) = removes(self, what) else {
                continue;
            };
            let is_write = |step: &Step| matches!(step, Step::Data { file, change: Change::Write { .. }, .. } if *file == segment);
            let written = self.steps[..step].iter().rposition(is_write).unwrap_or(0);
            let begun = self.steps[..step].iter().filter_map(|step| match step {
                Step::Synced { node, begun } if self.role(*node) == Role::Ledger => Some(*begun),
                _ => None,
            });
            let begun: Vec<usize> = begun.filter(|begun| *begun > written).collect();
            // The begin of a sync is a step in which nothing happens, so the two can change places.
            let to = begun.iter().rev().take(syncs).next_back();
            if let Some(to) = to.filter(|to| matches!(ablated.steps[**to], Step::Other)) {
                ablated.steps.swap(*to, step);
                windows.push(to + 1..step + 1);
            }
        }
        (ablated, windows)
    }

    /// One more than the highest number of an acknowledged event.
    pub fn event_count(&self) -> usize {
        let acknowledged = self.steps.iter().map(|step| match step {
            Step::Acknowledged(events) => events.end,
            _ => 0,
        });
        acknowledged.max().unwrap_or(0)
    }
}

fn read_record(
    log: &[u8],
    header: &Header,
    files: &mut FileSystem,
    conversations: &mut Conversations,
    steps: &mut Vec<Step>,
) {
    let data = &log[header.data.clone()];
    let text = || std::str::from_utf8(data).expect("a path or a mark is UTF-8");
    let file = files.handles.get(&header.handle).copied();
    let step = match header.call {
        // OPEN
        1 => {
            let truncated = header.at == 1;
            let node = match files.find(text()) {
                Some(node) if truncated && files.sizes[node] > 0 => {
                    steps.push(files.truncate(node, 0));
                    node
                }
                Some(node) => node,
                None => {
                    let (node, step) = files.create(text(), Kind::File);
                    steps.push(step);
                    node
                }
            };
            files.handles.insert(header.handle, node);
            Step::Other
        }
        // WRITE
        2 => {
            let (file, at) = (file.unwrap(), header.at.cast_unsigned());
            let size = files.sizes[file].max(at + data.len() as u64);
            let change = Change::Write {
                at,
                data: header.data.clone(),
            };
            files.data(file, change, size)
        }
        // TRUNCATE
        3 => files.truncate(file.unwrap(), header.at.cast_unsigned()),
        // ZERO
        4 => {
            let (file, at) = (file.unwrap(), header.at.cast_unsigned());
            let length = header.size.min(files.sizes[file].saturating_sub(at));
            files.data(file, Change::Zero { at, length }, files.sizes[file])
        }
        // EXTEND
        5 => {
            let file = file.unwrap();
            files.truncate(file, files.sizes[file].max(header.at.cast_unsigned()))
        }
        // SYNC_BEGIN
        6 => {
            files
                .syncs
                .entry(header.handle)
                .or_default()
                .push(steps.len());
            Step::Other
        }
        // SYNC_END
        7 => Step::Synced {
            node: file.unwrap(),
            begun: files.syncs.get_mut(&header.handle).unwrap().remove(0),
        },
        // RENAME
        8 => {
            let (from, to) = text().split_once('\0').unwrap();
            let node = files.find(from);
            let ((old, old_name), (new, new_name)) = (files.place(from), files.place(to));
            files.enter(vec![
                Entry {
                    directory: old,
                    name: old_name,
                    node: None,
                },
                Entry {
                    directory: new,
                    name: new_name,
                    node,
                },
            ])
        }
        // UNLINK, RMDIR
        9 | 11 => {
            let (directory, name) = files.place(text());
            files.enter(vec![Entry {
                directory,
                name,
                node: None,
            }])
        }
        // MKDIR
        10 => files.create(text(), Kind::Directory).1,
        // BIND
        12 => files.create(text(), Kind::Socket).1,
        // MARK
        13 => {
            let mut words = text().split(' ');
            let what = words.next().unwrap();
            let mut number = || words.next().unwrap().parse().unwrap();
            match what {
                "acknowledged" => Step::Acknowledged(number()..number()),
                "requeue" => Step::Requeue,
                other => panic!("unknown mark {other}"),
            }
        }
        // SEND
        14 => {
            conversations.sent(header.handle, data, steps.len());
            Step::Other
        }
        // RECEIVE
        15 => {
            conversations.received(header.handle, data, steps.len());
            Step::Other
        }
        other => panic!("unknown call {other}"),
    };
    steps.push(step);
}
