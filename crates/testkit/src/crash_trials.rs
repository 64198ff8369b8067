//! Trials in which processes are killed: a successor delivers what they left, and the promises are
//! checked against what the API received.
//!
//! Many trials share one API, each with users of its own, and are checked together at the end: by then
//! the last request of a process that was killed has arrived, too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use meditopia::Config;
use meditopia::{Client, ReceiptFilter, Row};

use crate::fault_table::Outcome;
use crate::ledger::{Event, event_number, events_of_rows};
use crate::sandbox::Sandbox;
use crate::spool::ClientExt;
use crate::wait::secs;

/// The API does not know users whose names begin with this.
pub const UNKNOWN_USER_PREFIX: &str = "unknown-";

/// The promises of one trial, and what its successor found.
#[derive(Debug)]
pub struct CrashTrial {
    /// The moment at which the process died, for messages.
    pub moment: String,
    pub users: BTreeSet<String>,
    pub acknowledged: BTreeSet<Event>,
    in_doubt: BTreeSet<Event>,
    rejected: BTreeSet<Event>,
    /// The number of its events that receipts list; `None` if a spool with receipts may be gone.
    pub in_receipts: Option<u64>,
}

/// A sandbox whose API does not know the users of [`UNKNOWN_USER_PREFIX`].
pub fn sandbox_with_unknown_users() -> Sandbox {
    let api = Sandbox::start();
    api.set_unknown(serde_json::json!([{ "prefix": UNKNOWN_USER_PREFIX }]));
    api
}

/// A directory for spools in memory, if this machine has one: a kill leaves the same there as on a
/// disk, and hundreds of trials need not wait for a disk.
pub fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

impl CrashTrial {
    /// Has a successor deliver everything that the killed processes left in `spool`.
    pub fn deliver_rest(
        api: &Sandbox,
        spool: &Path,
        options: &[(&str, &str)],
        moment: String,
        users: impl IntoIterator<Item = String>,
        acknowledged: impl IntoIterator<Item = Event>,
    ) -> Self {
        let mut config = Config::new();
        let own = [
            ("endpoint", api.endpoint()),
            ("bearer_token", api.token()),
            ("spool", spool.to_str().unwrap()),
        ];
        for (key, value) in own.iter().chain(options).chain(&[("role", "both")]) {
            config.set(key, value).unwrap();
        }
        let successor = Client::open(&config).unwrap_or_else(|e| panic!("{moment}: {e}"));
        // Opening sends nothing, so these rows are of the killed processes.
        let in_doubt = events(&successor.in_doubt_rows());
        let (report, outcome) = successor.flush(secs(30));
        outcome.unwrap_or_else(|e| panic!("{moment}: {e}"));
        assert_eq!((report.pending, report.in_doubt), (0, 0), "{moment}");
        assert!(successor.in_doubt_rows().is_empty(), "{moment}");
        let rejected = events(&successor.rejected_rows());
        let users: BTreeSet<String> = users.into_iter().collect();
        let in_receipts = count_in_receipts(&successor, &users);
        successor.close(secs(30)).unwrap();
        assert!(!spool.join("damaged").exists(), "{moment}: damage");
        Self {
            moment,
            users,
            acknowledged: acknowledged.into_iter().collect(),
            in_doubt,
            rejected,
            in_receipts: Some(in_receipts),
        }
    }
}

/// The number of these users' events that the receipts list.
fn count_in_receipts(client: &Client, users: &BTreeSet<String>) -> u64 {
    let mut receipts = client.receipts(&ReceiptFilter::default()).unwrap();
    let mut events = 0;
    while let Some(receipt) = receipts.next_receipt().unwrap() {
        let ours = receipt
            .users
            .iter()
            .filter(|share| users.contains(&share.user));
        events += ours.flat_map(|share| share.kinds).sum::<u32>();
    }
    events.into()
}

/// Checks all trials against the API's ledger. In each, `lanes` requests may have come twice.
pub fn check_trials(api: &Sandbox, trials: &[CrashTrial], lanes: usize) -> Outcome {
    let bodies: HashMap<u64, String> = api
        .requests()
        .into_iter()
        .map(|request| (request.request, request.body_hash))
        .collect();
    let mut arrived: BTreeMap<Event, Vec<u64>> = BTreeMap::new();
    let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in api.events() {
        let (user, number) = (
            event.fields.partner_user_id.clone(),
            event_number(&event.fields),
        );
        let requests = arrived.entry((user.clone(), number)).or_default();
        if requests.is_empty() {
            order.entry(user).or_default().push(number);
        }
        requests.push(event.request);
    }
    let ours: BTreeSet<&String> = trials.iter().flat_map(|trial| &trial.users).collect();
    assert!(order.keys().all(|user| ours.contains(user)), "{order:?}");
    for (user, numbers) in &order {
        assert!(numbers.is_sorted(), "{user} came in the order {numbers:?}");
    }

    let mut outcome = Outcome::default();
    for trial in trials {
        let CrashTrial { moment, .. } = trial;
        let of_trial = |user: &String| -> Vec<(&Event, &Vec<u64>)> {
            arrived
                .range((user.clone(), 0)..=(user.clone(), u64::MAX))
                .collect()
        };
        let came: BTreeMap<&Event, &Vec<u64>> = trial.users.iter().flat_map(of_trial).collect();
        let lost: Vec<_> = trial
            .acknowledged
            .iter()
            .filter(|event| !came.contains_key(event) && !trial.rejected.contains(*event))
            .collect();
        assert!(lost.is_empty(), "{moment}: {lost:?} are lost");
        for event in &trial.rejected {
            assert!(
                event.0.starts_with(UNKNOWN_USER_PREFIX),
                "{moment}: {event:?} was rejected"
            );
        }
        let mut requests = BTreeSet::new();
        for (event, by) in &came {
            requests.extend(by.iter().copied());
            let different: BTreeSet<&String> = by.iter().map(|request| &bodies[request]).collect();
            assert_eq!(
                different.len(),
                1,
                "{moment}: {event:?} came in {by:?}, which differ"
            );
            assert!(
                by.len() == 1 || trial.in_doubt.contains(*event),
                "{moment}: {event:?} came in {by:?} and was not listed as in doubt"
            );
        }
        let different: BTreeSet<&String> =
            requests.iter().map(|request| &bodies[request]).collect();
        let repeated = requests.len() - different.len();
        assert!(
            repeated <= lanes,
            "{moment}: {repeated} requests came again"
        );

        // A receipt is as durable as the delivery that it records: each event is in exactly one,
        // however often it came.
        if let Some(in_receipts) = trial.in_receipts {
            assert_eq!(in_receipts, came.len() as u64, "{moment}: receipts");
        }

        outcome.trials += 1;
        outcome.acknowledged += trial.acknowledged.len() as u64;
        outcome.delivered += came.len() as u64;
        outcome.rejected += trial.rejected.len() as u64;
        outcome.lost += lost.len() as u64;
        outcome.duplicated += repeated as u64;
    }
    outcome
}

fn events(rows: &[Row]) -> BTreeSet<Event> {
    events_of_rows(rows).into_iter().collect()
}
