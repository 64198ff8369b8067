//! A recorded life: what C hosts of the real library did to their disk and said to the API.
//!
//! `tests/c/record.c` writes the log, [`Recording::read`] turns it into steps. Paths and descriptors
//! become inodes here, in the order in which things happened, so a step means the same whatever is
//! dropped before it. A moment in the life is a number of steps.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::api::{Conversations, Request};

/// A file, a directory or a socket, whatever it is called at the moment.
pub type Inode = usize;
pub const ROOT: Inode = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    /// SQLite's shared memory: mapped, never synced, made anew after a boot.
    Volatile,
    Directory,
    Socket,
}

/// A change of a file's bytes.
#[derive(Debug, Clone)]
pub enum Change {
    /// Bytes of the log, written at an offset.
    Write { at: u64, data: Range<usize> },
    /// Zeros, where there was something or nothing.
    Zero { at: u64, length: u64 },
}

/// One name in a directory gets a meaning, or loses it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub directory: Inode,
    pub name: Arc<str>,
    pub node: Option<Inode>,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// Bytes of a file, and its size behind it.
    Data {
        file: Inode,
        change: Change,
        size: u64,
    },
    /// Names, changed together or not at all.
    Entries(Vec<Entry>),
    /// A sync has ended that covers what was done before it began.
    Synced { node: Inode, begun: usize },
    /// These events were acknowledged.
    Acknowledged(Range<usize>),
    /// From here on rejected events may go to the end of their lane.
    Requeue,
    /// Nothing for the disk: the begin of a sync, a word to the API.
    Other,
}

pub struct Recording {
    pub log: Vec<u8>,
    pub steps: Vec<Step>,
    pub kinds: Vec<Kind>,
    /// What each inode was called when it was made.
    pub names: Vec<Arc<str>>,
    pub requests: Vec<Request>,
}

/// How much longer than here a sync takes on a slow disk, at least.
const SLOW_US: &str = "200";

/// The preloaded recorder, and where it writes.
pub struct Recorder {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Recorder {
    /// Compiles it. What happens below `root`, which is empty, will be recorded.
    pub fn of(root: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = meditopia_testkit::repository_root().join("tests/c/record.c");
        let output = Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"])
            .args(["-O1", "-g", "-pthread", "-shared", "-fPIC", "-o"])
            .arg(dir.path().join("record.so"))
            .arg(source)
            .output()
            .expect("gcc runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        Self {
            root: root.canonicalize().unwrap(),
            dir,
        }
    }

    /// Has `command` recorded.
    pub fn records<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", self.dir.path().join("record.so"))
            .env("RECORD_ROOT", &self.root)
            .env("RECORD_SLOW_US", SLOW_US)
            .env("RECORD_LOG", self.dir.path().join("log"))
    }

    /// What was recorded.
    pub fn recording(&self) -> Recording {
        Recording::read(std::fs::read(self.dir.path().join("log")).unwrap())
    }
}

/// The fixed part of a record, as in record.c.
struct Header {
    handle: u64,
    at: i64,
    size: u64,
    act: u32,
    data: Range<usize>,
}

const HEADER_BYTES: usize = 32;

impl Header {
    fn at(log: &[u8], from: usize) -> Self {
        let word =
            |at: usize| u64::from_le_bytes(log[from + at..from + at + 8].try_into().unwrap());
        let half =
            |at: usize| u32::from_le_bytes(log[from + at..from + at + 4].try_into().unwrap());
        let start = from + HEADER_BYTES;
        Self {
            handle: word(0),
            at: word(8).cast_signed(),
            size: word(16),
            act: half(24),
            data: start..start + half(28) as usize,
        }
    }
}

/// The name space and the sizes as the processes see them.
struct Live {
    kinds: Vec<Kind>,
    names: Vec<Arc<str>>,
    sizes: Vec<u64>,
    directories: HashMap<Inode, BTreeMap<Arc<str>, Inode>>,
    handles: HashMap<u64, Inode>,
    syncs: HashMap<u64, Vec<usize>>,
}

impl Live {
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

    fn make(&mut self, kind: Kind, name: Arc<str>) -> Inode {
        let node = self.kinds.len();
        self.kinds.push(kind);
        self.names.push(name);
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
        let node = self.make(kind, name.clone());
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

impl Recording {
    fn read(log: Vec<u8>) -> Self {
        let mut live = Live {
            kinds: Vec::new(),
            names: Vec::new(),
            sizes: Vec::new(),
            directories: HashMap::new(),
            handles: HashMap::new(),
            syncs: HashMap::new(),
        };
        assert_eq!(live.make(Kind::Directory, "".into()), ROOT);
        let mut conversations = Conversations::default();
        let mut steps = Vec::new();
        let mut from = 0;
        while from < log.len() {
            let header = Header::at(&log, from);
            from = header.data.end;
            read_record(&log, &header, &mut live, &mut conversations, &mut steps);
        }
        Self {
            kinds: live.kinds,
            names: live.names,
            requests: conversations.requests(),
            log,
            steps,
        }
    }

    /// How many events it tells of, acknowledged or not.
    pub fn events(&self) -> usize {
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
    live: &mut Live,
    conversations: &mut Conversations,
    steps: &mut Vec<Step>,
) {
    let data = &log[header.data.clone()];
    let text = || std::str::from_utf8(data).expect("a path or a mark is UTF-8");
    let file = live.handles.get(&header.handle).copied();
    let step = match header.act {
        // OPEN
        1 => {
            let truncated = header.at == 1;
            let node = match live.find(text()) {
                Some(node) if truncated && live.sizes[node] > 0 => {
                    steps.push(live.truncate(node, 0));
                    node
                }
                Some(node) => node,
                None => {
                    let kind = match text().ends_with("-shm") {
                        true => Kind::Volatile,
                        false => Kind::File,
                    };
                    let (node, step) = live.create(text(), kind);
                    steps.push(step);
                    node
                }
            };
            live.handles.insert(header.handle, node);
            Step::Other
        }
        // WRITE
        2 => {
            let (file, at) = (file.unwrap(), header.at.cast_unsigned());
            let size = live.sizes[file].max(at + data.len() as u64);
            let change = Change::Write {
                at,
                data: header.data.clone(),
            };
            live.data(file, change, size)
        }
        // TRUNCATE
        3 => live.truncate(file.unwrap(), header.at.cast_unsigned()),
        // ZERO
        4 => {
            let (file, at) = (file.unwrap(), header.at.cast_unsigned());
            let length = header.size.min(live.sizes[file].saturating_sub(at));
            live.data(file, Change::Zero { at, length }, live.sizes[file])
        }
        // EXTEND
        5 => {
            let file = file.unwrap();
            live.truncate(file, live.sizes[file].max(header.at.cast_unsigned()))
        }
        // SYNC_BEGIN
        6 => {
            live.syncs
                .entry(header.handle)
                .or_default()
                .push(steps.len());
            Step::Other
        }
        // SYNC_END
        7 => Step::Synced {
            node: file.unwrap(),
            begun: live.syncs.get_mut(&header.handle).unwrap().remove(0),
        },
        // RENAME
        8 => {
            let (from, to) = text().split_once('\0').unwrap();
            let node = live.find(from);
            let ((old, old_name), (new, new_name)) = (live.place(from), live.place(to));
            live.enter(vec![
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
            let (directory, name) = live.place(text());
            live.enter(vec![Entry {
                directory,
                name,
                node: None,
            }])
        }
        // MKDIR
        10 => live.create(text(), Kind::Directory).1,
        // BIND
        12 => live.create(text(), Kind::Socket).1,
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
        other => panic!("unknown act {other}"),
    };
    steps.push(step);
}
