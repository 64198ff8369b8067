//! Receipts: found by time, numbered for ever, forgotten by age.

use super::*;
use crate::event::EventKind;

fn store_with(opened: &Opened, times: impl IntoIterator<Item = i64>) -> SqliteStore {
    let mut store = SqliteStore::open(&opened.spool).unwrap();
    let receipts: Vec<Receipt> = times.into_iter().map(receipt).collect();
    let changes: Vec<_> = receipts.iter().map(Change::Receipt).collect();
    store.commit(&changes, CommitSafety::Process).unwrap();
    store
}

fn times(opened: &Opened, filter: &ReceiptFilter) -> Vec<i64> {
    let reader = Reader::open(&opened.spool).unwrap().unwrap();
    let rows = reader.receipts(filter, 100).unwrap();
    rows.iter().map(|(_, receipt)| receipt.time_ms).collect()
}

fn of_time(from_ms: i64, until_ms: i64) -> ReceiptFilter {
    ReceiptFilter {
        from_ms: Some(from_ms),
        until_ms: Some(until_ms),
        ..ReceiptFilter::default()
    }
}

#[test]
fn a_receipt_is_found_by_its_time_also_where_the_clock_went_back() {
    let opened = spool();
    let _store = store_with(&opened, [100, 100, 300, 200, 200, 400]);
    let all = ReceiptFilter::default();
    assert_eq!(times(&opened, &all), [100, 100, 300, 200, 200, 400]);
    assert_eq!(times(&opened, &of_time(100, 200)), [100, 100]);
    assert_eq!(times(&opened, &of_time(200, 300)), [200, 200]);
    assert_eq!(times(&opened, &of_time(201, 401)), [300, 400]);
    assert_eq!(times(&opened, &of_time(401, i64::MAX)), [0; 0]);
}

#[test]
fn a_receipts_number_is_not_given_again_when_all_are_forgotten() {
    let opened = spool();
    let mut store = store_with(&opened, [100, 101]);
    let last = |opened: &Opened| {
        let reader = Reader::open(&opened.spool).unwrap().unwrap();
        let rows = reader.receipts(&ReceiptFilter::default(), 100).unwrap();
        rows.last().unwrap().0
    };
    let before = last(&opened);
    assert_eq!(store.forget_receipts(i64::MAX, 200, 10).unwrap(), 2);
    assert_eq!(times(&opened, &ReceiptFilter::default()), [0; 0]);
    drop(store);
    let _store = store_with(&opened, [102]);
    assert!(last(&opened) > before);
}

#[test]
fn the_oldest_receipts_go_first_and_no_more_than_asked_for() {
    const DAY_MS: i64 = 24 * 3_600_000;
    let opened = spool();
    let all = ReceiptFilter::default();
    let mut store = store_with(&opened, 0..50);
    assert_eq!(store.forget_receipts(30, 50, 20).unwrap(), 20);
    assert_eq!(times(&opened, &all), Vec::from_iter(20..50));
    assert_eq!(store.forget_receipts(30, 50, 20).unwrap(), 10);
    assert_eq!(store.forget_receipts(30, 50, 20).unwrap(), 0);
    assert_eq!(times(&opened, &all), Vec::from_iter(30..50));
    drop(store);

    // A clock that was a year ahead for a while does not keep later ones for a year.
    let mut store = store_with(&opened, [365 * DAY_MS, 60]);
    assert_eq!(store.forget_receipts(55, 70, 100).unwrap(), 21);
    assert_eq!(times(&opened, &all), [60]);
}

#[test]
fn the_shares_tell_whose_events_and_of_which_kinds() {
    let fragment = |user: &str, kind: EventKind| {
        format!(r#"{{"token":"t","partner_user_id":"{user}","event":"{kind}","event_value":null}}"#)
            .into_bytes()
    };
    let mut fragments = Vec::new();
    for user in ["a", r#"with \" é"#, "a"] {
        for kind in EventKind::ALL {
            fragments.push(fragment(user, kind));
        }
    }
    fragments.push(fragment("b", EventKind::Content));
    let shares = Shares::of(fragments.iter().map(Vec::as_slice));
    let found: Vec<_> = shares
        .iter()
        .map(|share| (share.user, share.kinds))
        .collect();
    let quoted = br#"with \" "#.iter().chain("é".as_bytes()).copied();
    let quoted = Vec::from_iter(quoted);
    let expected = [
        (b"a".as_slice(), [2; 5]),
        (&quoted, [1; 5]),
        (b"b", [0, 0, 0, 0, 1]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_hundred_users_are_each_named_once_however_their_events_lie() {
    let fragment = |number: usize| {
        let user = number % 100;
        format!(
            r#"{{"token":"t","partner_user_id":"user-{user}","event":"audio","event_value":null}}"#
        )
        .into_bytes()
    };
    let fragments: Vec<_> = (0..300).map(|number| fragment(number * 7)).collect();
    let shares = Shares::of(fragments.iter().map(Vec::as_slice));
    let mut users: Vec<_> = shares.iter().map(|share| share.user.to_vec()).collect();
    users.sort_unstable();
    users.dedup();
    assert_eq!((users.len(), shares.iter().count()), (100, 100));
    assert!(shares.iter().all(|share| share.kinds == [0, 0, 3, 0, 0]));
}

#[test]
fn no_receipt_is_written_while_the_disk_is_full() {
    let opened = spool();
    let mut store = store_with(&opened, [100]);
    store.set_disk_use(DiskUse::Tight).unwrap();
    let (during, after) = (receipt(101), receipt(102));
    store
        .commit(&[Change::Receipt(&during)], CommitSafety::Process)
        .unwrap();
    store.set_disk_use(DiskUse::Roomy).unwrap();
    store
        .commit(&[Change::Receipt(&after)], CommitSafety::Process)
        .unwrap();
    assert_eq!(times(&opened, &ReceiptFilter::default()), [100, 102]);
}
