//! A reader that is stopped at any of its steps, while the sender goes on, rotates its files and removes
//! them.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use super::readers::{look, send};
use super::spool;
use crate::mutex::lock;
use crate::store::contract::Store;
use crate::store::disk::{Access, Disk, DiskFile, Folder};
use crate::store::guards::shrink;
use crate::store::log_store::LogStore;
use crate::store::reader::Reader;
use crate::store::spool_disk::SpoolDisk;

/// Rounds of the sender before the reader looks, and while it stands still: among them is a sync point.
const ROUNDS: usize = 17;

#[derive(Debug)]
struct Sender {
    store: LogStore,
    round: usize,
}

impl Sender {
    fn send(&mut self) {
        // Ledgers of 4 KiB, and files of queues and rejected events of 8.
        shrink(10);
        for _ in 0..ROUNDS {
            send(&mut self.store, self.round);
            self.round += 1;
        }
        shrink(0);
    }
}

/// What of the reader and its sender each file of the reader knows.
#[derive(Debug, Clone)]
struct Stop {
    left: Arc<AtomicI64>,
    sender: Arc<Mutex<Sender>>,
}

impl Stop {
    /// A step of the reader. Before the one at which it stops, the sender does all that it does.
    fn step(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 0 {
            return;
        }
        lock(&self.sender).send();
    }
}

#[derive(Debug)]
struct StoppingDisk(SpoolDisk, Stop);

impl Disk for StoppingDisk {
    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        self.1.step();
        self.0.list(folder)
    }

    fn open(&self, folder: Folder, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.1.step();
        let file = self.0.open(folder, name, access)?;
        Ok(Box::new(StoppingFile(file, self.1.clone())))
    }

    fn rename(&self, _: (Folder, &str), _: (Folder, &str)) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn replace(&self, _: Folder, _: &str, _: &str) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn remove(&self, _: Folder, _: &str) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn sync(&self, _: Folder) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn describe(&self, file: Option<(Folder, &str)>) -> String {
        self.0.describe(file)
    }
}

#[derive(Debug)]
struct StoppingFile(Box<dyn DiskFile>, Stop);

impl DiskFile for StoppingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.step();
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn size(&self) -> io::Result<u64> {
        self.1.step();
        self.0.size()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn sync(&self) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }

    fn try_lock(&self) -> io::Result<bool> {
        unreachable!("a reader takes no lock")
    }

    fn check_open(&self) -> io::Result<()> {
        self.0.check_open()
    }
}

#[test]
fn a_reader_may_be_stopped_at_any_step_while_the_sender_goes_on() {
    for stop_at in 0.. {
        let (_parent, spool) = spool();
        let store = LogStore::open(&spool).unwrap();
        let sender = Arc::new(Mutex::new(Sender { store, round: 0 }));
        lock(&sender).send();
        let left = Arc::new(AtomicI64::new(stop_at));
        let stop = Stop {
            left: left.clone(),
            sender: sender.clone(),
        };
        let requests = lock(&sender).store.totals().requests;
        let disk = Arc::new(StoppingDisk(SpoolDisk::new(&spool), stop));
        let mut reader = Reader::open_on(disk, spool.boot_count()).unwrap().unwrap();
        look(&mut reader, requests);
        if left.load(Ordering::Relaxed) >= 0 {
            assert!(stop_at > 20, "{stop_at}");
            break;
        }
    }
}
