//! A spool of this version of the format, which every later version has to read.

use std::path::PathBuf;
use std::sync::Arc;

use super::sim_disk::SimDisk;
use super::world::{run_of, waiting};
use crate::error::PauseReason;
use crate::store::contract::{Change, FileStore, HostStore, Store};
use crate::store::disk::Folder;
use crate::store::log_store::LogStore;
use crate::store::next_ledger::SpareLedger;
use crate::store::receipt_files::read_receipts;
use crate::store::{
    InDoubt, LaneState, PauseState, Place, Receipt, ReceiptFilter, Rejected, RejectedFilter,
    RejectedReason, Rest, Shares, Suspect, Totals,
};

fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/store/log_tests/golden")
}

const REGULAR: Place = Place { lane: 0, queue: 0 };
const SUSPECTS: Place = Place { lane: 1, queue: 1 };

fn golden_rejected(event: u64) -> Rejected {
    Rejected {
        user: "user-1".to_owned(),
        event: run_of(&[event]).body,
        reason: RejectedReason::Refused,
        may_be_delivered: true,
        api_code: "A_2001".to_owned(),
        message: "no such user".to_owned(),
        http_status: Some(404),
        attempts: 3,
        first_ms: 1_700_000_000_000,
        last_ms: 1_700_000_001_000,
    }
}

fn golden_receipt(time_ms: i64) -> Receipt {
    Receipt {
        time_ms,
        http_status: 204,
        attempts: 2,
        events: 3,
        shares: Shares::of(
            [&br#"{"token":"t","partner_user_id":"u1","event":"video","event_value":null}"#[..]]
                .into_iter(),
        ),
    }
}

fn golden_pause() -> PauseState {
    PauseState {
        reason: PauseReason::Auth,
        since_ms: 5,
        probe_ms: Some(6),
        probe_wait_ms: 7,
        http_status: Some(401),
        api_code: Some("A_1000".to_owned()),
        message: "bad token".to_owned(),
        fingerprint: Some(vec![1, 2, 3]),
    }
}

fn golden_in_doubt() -> InDoubt {
    InDoubt {
        queue: 0,
        events: 2,
        attempts: 3,
        first_ms: 4,
        last_ms: 5,
        status: None,
    }
}

fn golden_rest() -> Rest {
    Rest {
        drawn_ms: 1,
        wait_ms: 2,
        until_ms: Some(3),
        connection_lost: true,
        server_errors: 4,
    }
}

fn golden_suspect() -> Suspect {
    Suspect {
        user: b"user-1".to_vec(),
        lane: 1,
        waiting: 2,
        accepted: true,
    }
}

#[test]
#[ignore = "writes the golden spool anew, for a new version of the format"]
fn write_the_golden_spool() {
    let disk = SimDisk::new();
    let mut store = LogStore::open_on(Arc::new(disk.clone()), 3).unwrap();
    let runs = [run_of(&[1, 2]), run_of(&[3, 4, 5]), run_of(&[6])];
    let suspects = run_of(&[7, 8]);
    let totals = Totals {
        delivered: 2,
        rejected: 2,
        ..Totals::default()
    };
    let mut changes: Vec<Change<'_>> = runs
        .iter()
        .map(|run| Change::Append {
            place: REGULAR,
            origin: None,
            run,
        })
        .collect();
    changes.extend([
        Change::Append {
            place: SUSPECTS,
            origin: Some(1),
            run: &suspects,
        },
        Change::Taken {
            segment: "00000003-1-1-1.segment",
            upto: 4711,
        },
        Change::Taken {
            segment: "00000003-2-1-1.segment",
            upto: 12,
        },
        Change::Lanes(2),
    ]);
    store.commit(&changes).unwrap();
    store.runs(REGULAR, 0, 1).unwrap();
    let (first, second) = (golden_rejected(4), golden_rejected(9));
    let mut state = LaneState {
        in_doubt: Some(golden_in_doubt()),
        ..LaneState::default()
    };
    state.queues[0].belief = vec![0.25, 0.75];
    store
        .commit(&[
            Change::Settle {
                place: REGULAR,
                upto: 1,
            },
            Change::Mark {
                place: REGULAR,
                run: 2,
                marks: 0b10,
            },
            Change::Leave {
                place: REGULAR,
                events: 3,
                bytes: 159,
            },
            Change::Reject(&first),
            Change::Reject(&second),
            Change::Receipt(&golden_receipt(1_700_000_000_000)),
            Change::Suspect(&golden_suspect()),
            Change::RefusedInARow { user: "user-1" },
            Change::Pause(Some(&golden_pause())),
            Change::Rest {
                lane: 1,
                rest: &golden_rest(),
            },
            Change::Lane {
                lane: 0,
                state: &state,
            },
            Change::Totals(&totals),
        ])
        .unwrap();
    let next = store
        .begin_next_ledger(SpareLedger::take(&disk).unwrap())
        .unwrap();
    next.publish().unwrap();
    store.use_next_ledger(next);
    store
        .commit(&[Change::Receipt(&golden_receipt(1_700_000_002_000))])
        .unwrap();
    store
        .commit(&[Change::Forget {
            rejected: 2,
            event: &second,
        }])
        .unwrap();
    drop(store);
    for (folder, name) in disk.files() {
        let dir = golden_dir().join(folder.name());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(&name), disk.content(folder, &name).unwrap()).unwrap();
    }
}

fn golden_disk() -> SimDisk {
    let disk = SimDisk::new();
    for folder in Folder::ALL {
        for file in std::fs::read_dir(golden_dir().join(folder.name())).unwrap() {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            disk.put(folder, &file.file_name().into_string().unwrap(), &bytes);
        }
    }
    disk
}

#[test]
fn the_golden_spool_is_read_back_exactly() {
    // In the boot that wrote it, and in a later one.
    for boot in [3, 4] {
        let disk = golden_disk();
        let mut store = LogStore::open_on(Arc::new(disk.clone()), boot).unwrap();
        let runs = store.runs(REGULAR, 0, 10).unwrap();
        assert_eq!(
            runs.iter()
                .map(|run| (run.id, run.origin))
                .collect::<Vec<_>>(),
            [(2, 2), (3, 3)]
        );
        assert_eq!(
            (&runs[0].run, &runs[1].run),
            (&run_of(&[3, 4, 5]), &run_of(&[6]))
        );
        assert_eq!(waiting(&runs[0]), [(0, 3), (2, 5)]);
        let suspects = store.runs(SUSPECTS, 0, 10).unwrap();
        assert_eq!((suspects[0].id, suspects[0].origin), (4, 1));
        assert_eq!(suspects[0].run, run_of(&[7, 8]));
        let offsets = [
            ("00000003-1-1-1.segment", 4711),
            ("00000003-2-1-1.segment", 12),
        ];
        assert_eq!(
            store.offsets(),
            offsets.map(|(name, upto)| (name.to_owned(), upto)).into()
        );
        assert_eq!(store.lanes(), 2);
        assert_eq!(store.lane(0).in_doubt, Some(golden_in_doubt()));
        assert_eq!(store.lane(0).queues[0].belief, [0.25, 0.75]);
        assert_eq!(store.rest(1), golden_rest());
        assert_eq!(store.suspects(), [golden_suspect()]);
        assert_eq!(store.refused_in_a_row(), ["user-1"]);
        assert_eq!(store.pause(), Some(golden_pause()));
        let totals = store.totals();
        assert_eq!((totals.delivered, totals.rejected), (2, 2));
        assert_eq!((totals.pending, totals.pending_bytes), (5, 265));
        let rejected = store
            .rejected_matching(&RejectedFilter::default(), 10)
            .unwrap();
        assert_eq!(rejected, [(1, golden_rejected(4))]);
        let receipts = read_receipts(&disk, &ReceiptFilter::default(), 0, 10).unwrap();
        let receipts: Vec<Receipt> = receipts.into_iter().map(|(_, receipt)| receipt).collect();
        let expected = [1_700_000_000_000, 1_700_000_002_000].map(golden_receipt);
        assert_eq!(receipts, expected);
    }
}
