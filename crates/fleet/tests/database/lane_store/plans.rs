//! How the server finds what a step changes.

use meditopia::internals::store::{Place, Store};
use meditopia_testkit::postgres_server::PostgresServer;

use super::kept::InDatabase;
use super::rows::{a_lane_with_something_of_each_kind, change_something_of_each_kind};
use crate::fleet::{connect, set_up_on};

const SETTINGS: [&str; 3] = [
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    // Only the statements and their plans, without their parameters.
    "auto_explain.log_verbose = off",
];

#[test]
fn what_a_step_and_a_read_touch_is_found_by_its_key() {
    let server = Box::leak(Box::new(PostgresServer::start_with(&SETTINGS)));
    let kept = InDatabase::of(server, set_up_on(server));
    // A backlog in every lane, so that to read it all would be worse.
    kept.sql(
        "INSERT INTO meditopia.run SELECT lane, queue, id, id, 1, repeat('x', 300)::bytea, '', ''
        FROM generate_series(0, 2) lane, generate_series(0, 1) queue, generate_series(1, 3000) id",
    );
    kept.sql("INSERT INTO meditopia.suspect SELECT 1, id::text::bytea, 1, false FROM generate_series(1, 3000) id");
    kept.sql("INSERT INTO meditopia.rejected SELECT id, 1, 'u', '', 0, false, '', '', NULL, 1, 1, 1 FROM generate_series(1, 3000) id");
    for table in ["run", "suspect", "rejected", "lane", "sorter"] {
        kept.sql(&format!("ANALYZE meditopia.{table}"));
    }
    let mut store = kept.take_over();
    let (runs, found) = a_lane_with_something_of_each_kind(&kept, &mut store);
    // Every version of these rows since then has to stay.
    let mut old_snapshot = connect(&server.url(&kept.database));
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM meditopia.lane";
    old_snapshot.run_script(begin).unwrap();
    for table in ["lane WHERE lane <> 3", "sorter"] {
        let (name, which) = table.split_once(' ').unwrap_or((table, ""));
        kept.sql(&format!("DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE meditopia.{name} SET step = step + 1 {which}; END LOOP; END $$"));
    }
    let before = server.log().len();
    change_something_of_each_kind(&mut store, &runs, &found);
    store
        .runs(Place { lane: 0, queue: 0 }, runs[1].id, 9)
        .unwrap();
    store.runs(Place { lane: 0, queue: 1 }, 0, 9).unwrap();
    let log = server.log().split_off(before);
    for scanned in ["run", "lane", "sorter", "suspect", "rejected"] {
        let lines = || {
            log.lines()
                .filter(|line| line.contains(&format!(" on {scanned} ")))
        };
        let shown: Vec<&str> = lines().collect();
        assert!(
            lines().any(|line| line.contains("Index") || line.contains("Bitmap")),
            "{scanned}: {log}"
        );
        assert!(!lines().any(|line| line.contains("Seq Scan")), "{shown:#?}");
    }
    let lines: Vec<&str> = log.lines().collect();
    let of_runs = lines
        .windows(2)
        .filter(|two| two[0].contains("using run_pkey on run"));
    let conditions: Vec<&str> = of_runs.map(|two| two[1]).collect();
    assert!(conditions.len() >= 4, "{log}");
    for condition in conditions {
        for column in ["(lane = ", "(queue = ", "(id >= "] {
            assert!(condition.contains(column), "{condition}");
        }
    }
}
