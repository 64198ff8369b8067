//! After a death: a successor delivers what is left, and what was promised is held against what came.
//!
//! Many trials share one API, each with users of its own, and are settled together at the end: by then
//! the last request of a process that was killed has come in too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use meditopia::Config;
use meditopia::{Client, ReceiptFilter, Row};

use crate::host::{Story, secs};
use crate::ledger::number;
use crate::sandbox::{Fields, Sandbox};
use crate::trials::Outcome;

/// User and number.
pub type Event = (String, u64);

/// The API does not know users whose names begin so.
pub const UNKNOWN: &str = "unknown-";

/// What one trial has promised, and what its successor found.
#[derive(Debug)]
pub struct Trial {
    /// Where the process died, for messages.
    pub moment: String,
    pub users: BTreeSet<String>,
    pub acknowledged: BTreeSet<Event>,
    in_doubt: BTreeSet<Event>,
    rejected: BTreeSet<Event>,
    /// Events of its users that receipts tell of; `None` where those may have gone with their spool.
    pub receipted: Option<u64>,
}

/// A sandbox whose API does not know the users of [`UNKNOWN`].
pub fn sandbox() -> Sandbox {
    let api = Sandbox::start();
    api.set_unknown(serde_json::json!([{ "prefix": UNKNOWN }]));
    api
}

/// A directory for spools in memory where there is one: what a kill leaves is the kernel's, and
/// hundreds of trials need not wait for a disk.
pub fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

impl Trial {
    /// A successor delivers everything that the dead have left in `spool`, which is empty then.
    pub fn inherit(
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
        // Opening sends nothing: this is what the dead have listed.
        let in_doubt = events(&successor.in_doubt_rows());
        let (report, outcome) = successor.flush(secs(30));
        outcome.unwrap_or_else(|e| panic!("{moment}: {e}"));
        assert_eq!((report.pending, report.in_doubt), (0, 0), "{moment}");
        assert!(successor.in_doubt_rows().is_empty(), "{moment}");
        let rejected = events(&successor.rejected_rows());
        let users: BTreeSet<String> = users.into_iter().collect();
        let receipted = receipted(&successor, &users);
        successor.close(secs(30)).unwrap();
        assert!(!spool.join("damaged").exists(), "{moment}: damage");
        Self {
            moment,
            users,
            acknowledged: acknowledged.into_iter().collect(),
            in_doubt,
            rejected,
            receipted: Some(receipted),
        }
    }
}

/// How many events of these users the receipts tell of.
fn receipted(client: &Client, users: &BTreeSet<String>) -> u64 {
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

/// Holds all trials against the API's ledger. `lanes` requests of each may have come twice.
pub fn settle(api: &Sandbox, trials: &[Trial], lanes: usize) -> Outcome {
    let bodies: HashMap<u64, String> = api
        .requests()
        .into_iter()
        .map(|request| (request.request, request.body_hash))
        .collect();
    let mut arrived: BTreeMap<Event, Vec<u64>> = BTreeMap::new();
    let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in api.events() {
        let (user, number) = (event.fields.partner_user_id.clone(), number(&event.fields));
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
        let Trial { moment, .. } = trial;
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
                event.0.starts_with(UNKNOWN),
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

        // A receipt is exactly as durable as what it tells of: each event has one, however often it came.
        if let Some(receipted) = trial.receipted {
            assert_eq!(receipted, came.len() as u64, "{moment}: receipts");
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
    rows.iter()
        .map(|row| {
            let event: Fields = serde_json::from_str(&row.event_json).unwrap();
            (event.partner_user_id.clone(), number(&event))
        })
        .collect()
}
