//! What mutations start from: the golden spool, as it is and with one thing wrong.

use super::{SEALED, seal, spool};
use crate::store::disk::Folder;
use crate::store::frame::{HEADER_LEN, RECORD_HEADER_LEN, RECORD_MAGIC, u32_at};

type File = (Folder, &'static str, &'static [u8]);

/// A file that a change may alter.
type Changed = (Folder, String, Vec<u8>);

macro_rules! golden {
    ($folder:ident, $dir:literal, $name:literal) => {
        (
            Folder::$folder,
            $name,
            include_bytes!(concat!("../log_tests/golden/", $dir, "/", $name)),
        )
    };
}

const GOLDEN: [File; 5] = [
    golden!(Receipts, "receipts", "0000000000000001"),
    golden!(Ledger, "ledger", "0000000000000002"),
    golden!(Queues, "queues", "00.0.0000000000000001"),
    golden!(Queues, "queues", "01.1.0000000000000002"),
    golden!(Rejected, "rejected", "0000000000000001"),
];

fn files(folders: &[Folder]) -> impl Iterator<Item = &'static [u8]> {
    let known = GOLDEN.iter();
    known
        .filter(|(folder, _, _)| folders.contains(folder))
        .map(|(_, _, bytes)| *bytes)
}

fn inputs(folders: &[Folder]) -> Vec<Vec<u8>> {
    files(folders)
        .map(|bytes| [&[SEALED], bytes].concat())
        .collect()
}

/// Ledgers.
pub(super) fn ledgers() -> Vec<Vec<u8>> {
    inputs(&[Folder::Receipts, Folder::Ledger])
}

/// Files of queues.
pub(super) fn queues() -> Vec<Vec<u8>> {
    inputs(&[Folder::Queues])
}

/// Files of rejected events.
pub(super) fn rejected() -> Vec<Vec<u8>> {
    inputs(&[Folder::Rejected])
}

/// The payloads of the records of all ledgers, one by one and together.
pub(super) fn payloads() -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut all = Vec::new();
    for bytes in files(&[Folder::Receipts, Folder::Ledger]) {
        let mut at = HEADER_LEN;
        while at < bytes.len() {
            let payload = at + RECORD_HEADER_LEN;
            at = payload + u32_at(bytes, at + 4) as usize;
            payloads.push(bytes[payload..at].to_vec());
            all.extend_from_slice(&bytes[payload..at]);
        }
    }
    payloads.push(all);
    payloads
}

/// Whole stores.
pub(super) fn spools() -> Vec<Vec<u8>> {
    let golden: Vec<Changed> = GOLDEN
        .iter()
        .map(|(folder, name, bytes)| (*folder, (*name).to_owned(), bytes.to_vec()))
        .collect();
    let mut stores = vec![golden.clone()];
    let mut change = |change: fn(&mut Vec<Changed>)| {
        let mut store = golden.clone();
        change(&mut store);
        stores.push(store);
    };
    // The sender died in this boot, and not in an earlier one.
    change(|store| seal::set_boot(&mut store[1].2, super::recovered::BOOT));
    // A snapshot that is damaged, so that the ledger before it is needed.
    change(|store| store[1].2[HEADER_LEN] ^= 1);
    // No ledger at all.
    change(|store| drop(store.drain(..2)));
    // A record that is damaged, and copies of a queue's file and of the rejected events.
    change(|store| {
        let ledger = &mut store[1].2;
        let mut records = ledger.windows(RECORD_MAGIC.len());
        let last = records.rposition(|bytes| bytes == RECORD_MAGIC).unwrap();
        ledger[last] ^= 1;
        seal::set_boot(ledger, super::recovered::BOOT);
        let mut copies = store[2..].to_vec();
        copies[0].1 = "00.0.0000000000000009".to_owned();
        copies[2].1 = "0000000000000009".to_owned();
        store.extend([copies[0].clone(), copies[2].clone()]);
    });
    // The first ledger, before there was a second one.
    change(|store| {
        store.remove(1);
        store[0].0 = Folder::Ledger;
        seal::set_boot(&mut store[0].2, super::recovered::BOOT);
    });
    stores.iter().map(|store| spool::pack(store)).collect()
}
