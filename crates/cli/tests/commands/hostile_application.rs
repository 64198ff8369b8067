//! An application that does to its own spool, while it sends, what programs do to files that they do
//! not know: it copies them, has the library twice, and forks; beside it an operator looks at the spool.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::fault_table::{Outcome, add_row, trial_count};
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

use crate::cli::run;

/// How many events each child enqueues at most; the same number as in `hostile.c`.
const EVENTS_PER_CHILD: u64 = 3;

/// What the operator looks at, again and again.
const LOOKS: [&[&str]; 6] = [
    &["status"],
    &["pending", "list", "--limit=20"],
    &["receipts", "list", "--limit=20"],
    &["rejected", "list", "--limit=20"],
    &["in-doubt", "list"],
    &["damaged", "list"],
];

/// Which events were acknowledged, as the program has noted it.
struct Acknowledged {
    users: Vec<(String, u64)>,
    children: u64,
}

impl Acknowledged {
    fn read(file: &[u8]) -> Self {
        let mut numbers = file
            .chunks(8)
            .map(|number| u64::from_ne_bytes(number.try_into().unwrap()));
        let mut users = Vec::new();
        for user in ["app-0", "app-1", "second"] {
            users.push((user.to_owned(), numbers.next().unwrap()));
        }
        let children = numbers.next().unwrap();
        for (child, events) in (0..children).zip(numbers) {
            // Every fourth child never calls the library.
            let is_last = child + 5 >= children;
            let expected = match child % 4 {
                3 if !is_last => 0,
                _ => EVENTS_PER_CHILD,
            };
            assert_eq!(events, expected, "child {child}");
            users.push((format!("child-{child}"), events));
        }
        Self { users, children }
    }
}

#[test]
fn an_application_that_copies_its_spool_has_the_library_twice_and_forks_loses_nothing_and_gets_no_signal()
 {
    let seconds = trial_count(15, 600);
    let api = Sandbox::start();
    let program = CProgram::compile("hostile.c")
        .with_config(&api, &[("role", "both"), ("flush_interval_ms", "10")]);
    let [second, file, copy] =
        ["second.so", "acknowledged", "copy"].map(|name| program.dir().join(name));
    fs::copy(program.library(), &second).unwrap();
    fs::create_dir(&copy).unwrap();
    let spool = program.spool();
    // So that the first look finds a spool.
    drop(
        TestSpool::for_sandbox(&api)
            .with("spool", spool.to_str().unwrap())
            .client(),
    );
    let application = program
        .command(&[
            spool.to_str().unwrap(),
            second.to_str().unwrap(),
            &seconds.to_string(),
            file.to_str().unwrap(),
            copy.to_str().unwrap(),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let ended = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                for look in LOOKS {
                    run(look, &spool);
                }
            }
        });
        // Its orphans hold the pipe: this waits for them, too.
        let output = application.wait_with_output();
        ended.store(true, Ordering::Release);
        output.unwrap()
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");

    let spool = TestSpool::for_sandbox(&api).with("spool", spool.to_str().unwrap());
    let report = spool.client().flush_ok(secs(60));
    assert_eq!((report.pending, report.rejected), (0, 0));
    let acknowledged = Acknowledged::read(&fs::read(&file).unwrap());
    let arrivals = Arrivals::from_sandbox(&api);
    let arrived = arrivals.first_appearances();
    let mut outcome = Outcome {
        trials: acknowledged.children,
        delivered: arrived.values().map(Vec::len).sum::<usize>() as u64,
        duplicated: arrivals.repeats() as u64,
        ..Outcome::default()
    };
    for (user, known) in &acknowledged.users {
        let numbers = arrived.get(user).map_or(&[][..], Vec::as_slice);
        outcome.acknowledged += known;
        outcome.lost += known.saturating_sub(numbers.len() as u64);
        assert!(
            numbers.iter().copied().eq(0..numbers.len() as u64),
            "{user}"
        );
    }
    // A child ends without a close, perhaps as the sender, with a request in flight.
    let bound = acknowledged.children;
    add_row(
        "an application that copies its spool, has two libraries, and forks",
        outcome,
        format!("{bound} requests"),
    );
    assert_eq!(outcome.lost, 0);
    assert_eq!(outcome.delivered, outcome.acknowledged);
    assert!(outcome.duplicated <= bound);
    arrivals.assert_only_whole_requests_came_twice();
}
