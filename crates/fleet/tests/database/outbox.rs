//! Events that an application enqueues by SQL are those that the library would write, byte for byte.

use std::cell::{Cell, RefCell};

use meditopia::internals::event::encode;
use meditopia::{Fields, Rules, UtcOffset};
use meditopia_fleet::connection::{Connection, column};
use meditopia_fleet::failure::INVALID_EVENT;
use meditopia_fleet::parcel::Parcel;
use meditopia_testkit::repository_path;
use proptest::prelude::*;
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestRunner};
use tokio_postgres::types::Type;

use crate::fleet::{connect, set_up};

/// The fields of an event, as a caller may give them. PostgreSQL's texts have no NUL.
#[derive(Debug, Clone)]
struct Given {
    token: String,
    user: String,
    event: String,
    value: Option<String>,
    received_at: Option<String>,
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{0,12}",
        "[^\\x00]{0,20}",
        // What is escaped, what looks so and is not, and the edges of each length of UTF-8.
        "[\"\\\\/\\x01-\\x1f\\x7f\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\u{2028}a']{0,12}",
        "(\u{e4}|x|\"){0,150}",
    ]
}

/// Characters that messages show in the same way: the library also escapes combining ones.
const SHOWN: &str =
    "[ -~\\t\\r\\n\\x01-\\x1f\\x7f\u{e4}\u{f6}\u{11f}\u{65e5}\u{1f600}\u{ad}\u{200b}\u{202e}]";

fn shown() -> impl Strategy<Value = String> {
    string_regex(&format!("{SHOWN}{{0,45}}")).unwrap()
}

fn kinds() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["register", "signin", "audio", "video", "content"]);
    prop_oneof![
        8 => kind.clone().prop_map(str::to_owned),
        1 => (kind, 0..8_usize, "[a-zA-Z_]?", any::<bool>()).prop_map(|(kind, at, more, swap)| {
            let mut word: Vec<_> = kind.chars().collect();
            let at = at.min(word.len() - 1);
            if swap && at > 0 { word.swap(at, at - 1); } else { word.remove(at); }
            word.splice(at..at, more.chars());
            word.into_iter().collect()
        }),
        1 => shown(),
        1 => "[a-zA-Z]{0,9}",
    ]
}

fn times() -> impl Strategy<Value = String> {
    let date = prop_oneof![
        (0..=9999_i32, 1..=12_u32, 1..=31_u32),
        (
            prop::sample::select(vec![0, 4, 100, 400, 1900, 2000, 2024, 9999]),
            1..=3_u32,
            26..=31_u32
        ),
        (0..=9999_i32, 0..=13_u32, 0..=32_u32),
        (
            prop::sample::select(vec![0, 9999]),
            prop::sample::select(vec![1_u32, 12]),
            prop::sample::select(vec![1_u32, 31])
        ),
    ];
    let clock = prop_oneof![
        (0..=23_u32, 0..=59_u32, 0..=59_u32),
        (
            prop::sample::select(vec![0, 1, 22, 23, 24]),
            prop::sample::select(vec![0, 29, 59, 60]),
            prop::sample::select(vec![0, 59, 60, 61])
        ),
    ];
    let separator = prop::sample::select(vec![" ", "T", "t", "_"]);
    let zone = prop_oneof![
        2 => Just(String::new()),
        2 => prop::sample::select(vec!["Z", "z"]).prop_map(str::to_owned),
        4 => (prop::sample::select(vec!["+", "-"]), 0..=24_u32, 0..=60_u32).prop_map(|(sign, hours, minutes)| format!("{sign}{hours:02}:{minutes:02}")),
        1 => prop::sample::select(vec!["+0300", "+3:00", "+03:0", " Z", "+03:00 ", "\n", "Z\n"]).prop_map(str::to_owned),
    ];
    let fraction = prop::sample::select(vec!["", "", ".5", ".123456789012", ".", ".x"]);
    let whole = (date, separator, clock, fraction, zone).prop_map(
        |((year, month, day), separator, (hour, minute, second), fraction, zone)| {
            format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
        },
    );
    // The last second of a day in UTC, wherever, and the minute before.
    let leap = (0..24_i32, 0..60_i32, any::<bool>(), 58..60_i32).prop_map(
        |(hours, minutes, east, minute)| {
            let (sign, seconds) = if east { ('+', 1) } else { ('-', -1) };
            let local = (23 * 60 + minute + seconds * (hours * 60 + minutes)).rem_euclid(24 * 60);
            format!(
                "2024-06-30T{:02}:{:02}:60{sign}{hours:02}:{minutes:02}",
                local / 60,
                local % 60
            )
        },
    );
    prop_oneof![8 => whole, 1 => leap, 1 => shown(), 1 => "[0-9:T -]{17,21}"]
}

fn events() -> impl Strategy<Value = Given> {
    (
        texts(),
        texts(),
        kinds(),
        prop::option::of(texts()),
        prop::option::of(times()),
    )
        .prop_map(|(token, user, event, value, received_at)| Given {
            token,
            user,
            event,
            value,
            received_at,
        })
}

/// What the database makes of an event: a fragment, or a refusal.
fn by_sql(
    connection: &mut Connection,
    given: &Given,
    rules: &Rules,
    now_ms: i64,
) -> Result<Vec<u8>, String> {
    let minutes = (rules.utc_offset.seconds() / 60) as i32;
    let max = rules.max_event_bytes as i32;
    let text = Type::TEXT;
    let answer = connection.query(
        "SELECT meditopia.fragment($1, $2, $3, $4, $5, $6, $7, 'epoch'::timestamptz + make_interval(secs => $8 / 1000.0), NULL)",
        &[
            (&given.token, text.clone()),
            (&given.user, text.clone()),
            (&given.event, text.clone()),
            (&given.value, text.clone()),
            (&given.received_at, text),
            (&minutes, Type::INT4),
            (&max, Type::INT4),
            (&now_ms, Type::INT8),
        ],
    );
    match answer {
        Ok(rows) => Ok(column(&rows[0], 0).unwrap()),
        Err(refused) => {
            assert!(refused.is_refused_with(INVALID_EVENT), "{refused}");
            let (_, message) = refused.message().split_once(": ").unwrap();
            Err(message.to_owned())
        }
    }
}

fn by_library(given: &Given, rules: &Rules, now_ms: i64) -> Result<Vec<u8>, String> {
    let fields = Fields {
        token: &given.token,
        partner_user_id: &given.user,
        event: &given.event,
        event_value: given.value.as_deref(),
        received_at: given.received_at.as_deref(),
    };
    let mut out = Vec::new();
    match encode(&fields, rules, now_ms, &mut out) {
        Ok(()) => Ok(out),
        Err(error) => Err(error.message().to_owned()),
    }
}

#[test]
fn an_event_enqueued_by_sql_is_byte_for_byte_what_the_library_writes_or_is_refused_with_its_words()
{
    let (server, database) = set_up();
    let connection = RefCell::new(connect(&server.url(&database)));
    let rules = (
        prop_oneof![Just(0), -1080..=1080_i64],
        prop_oneof![4 => Just(65_536_usize), 1 => 256..=400_usize],
    )
        .prop_map(|(minutes, max_event_bytes)| {
            let sign = if minutes < 0 { '-' } else { '+' };
            let offset = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
            let utc_offset = UtcOffset::parse(&offset).unwrap();
            Rules {
                utc_offset,
                max_event_bytes,
            }
        });
    // Years 1 to 9999, and the time of the last second of a day.
    let now = prop_oneof![
        -62_000_000_000_000..250_000_000_000_000_i64,
        Just(1_722_988_799_999)
    ];
    let cases = if std::env::var_os("MEDITOPIA_SOAK").is_some() {
        500_000
    } else {
        3_000
    };
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    TestRunner::new(config)
        .run(&(events(), rules, now), |(given, rules, now_ms)| {
            let expected = by_library(&given, &rules, now_ms);
            let found = by_sql(&mut connection.borrow_mut(), &given, &rules, now_ms);
            let counted = if expected.is_ok() {
                &accepted
            } else {
                &refused
            };
            counted.set(counted.get() + 1);
            prop_assert_eq!(
                found.as_ref().map(|bytes| String::from_utf8_lossy(bytes)),
                expected
                    .as_ref()
                    .map(|bytes| String::from_utf8_lossy(bytes))
            );
            Ok(())
        })
        .unwrap();
    // Of both sorts, or nothing was compared.
    let (accepted, refused) = (accepted.get(), refused.get());
    assert!(accepted > 100 && refused > 100, "{accepted} {refused}");
}

fn parcels(connection: &mut Connection) -> Vec<Parcel> {
    let rows = connection
        .query(
            "SELECT body, slots, checksum FROM meditopia.parcel ORDER BY id",
            &[],
        )
        .unwrap();
    let read = rows.iter().map(|row| {
        let [body, slots, checksum]: [Vec<u8>; 3] = [0, 1, 2].map(|at| column(row, at).unwrap());
        Parcel::decode(body, &slots, &checksum).unwrap()
    });
    read.collect()
}

#[test]
fn an_event_is_queued_with_its_transaction_and_leaves_nothing_when_that_is_rolled_back() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let enqueue = |user: &str| {
        format!("SELECT meditopia.enqueue('t', '{user}', 'video', NULL, '2024-08-06 15:04:05')")
    };
    server.sql(
        &database,
        &format!(
            "BEGIN; {}; ROLLBACK; BEGIN; {}; COMMIT",
            enqueue("rolled-back"),
            enqueue("committed")
        ),
    );
    // Part of a transaction, too.
    server.sql(
        &database,
        &format!(
            "BEGIN; SAVEPOINT a; {}; ROLLBACK TO a; {}; COMMIT",
            enqueue("half"),
            enqueue("other")
        ),
    );
    let found = parcels(&mut connection);
    let users: Vec<_> = found
        .iter()
        .flat_map(Parcel::events)
        .map(|(fragment, _)| {
            String::from_utf8_lossy(meditopia::internals::event::user_of(fragment)).into_owned()
        })
        .collect();
    assert_eq!(users, ["committed", "other"]);
    let expected = r#"{"token":"t","partner_user_id":"committed","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;
    assert_eq!(found[0].body(), expected.as_bytes());
}

#[test]
fn the_transaction_on_the_page_of_fleets_queues_its_event() {
    let (server, database) = set_up();
    let page = std::fs::read_to_string(repository_path("docs/fleet.md")).unwrap();
    let (_, rest) = page.split_once("```sql\n").unwrap();
    let block = rest.split("```").next().unwrap();
    server.sql(
        &database,
        &format!("CREATE TABLE shop_user (id text);\n{block}"),
    );
    let waiting = parcels(&mut connect(&server.url(&database)));
    assert_eq!(waiting.len(), 1);
    let body = String::from_utf8(waiting[0].body().to_vec()).unwrap();
    assert!(
        body.contains("\"user-1\"") && body.contains("\"register\""),
        "{body}"
    );
}

#[test]
fn the_events_of_arrays_are_queued_in_their_order_100_a_parcel_all_or_none() {
    let (server, database) = set_up();
    let mut connection = connect(&server.url(&database));
    let batch = |last: &str| {
        format!(
            "SELECT meditopia.enqueue_batch(array_agg('t'::text ORDER BY n), array_agg('u-' || n ORDER BY n),
               array_agg(CASE WHEN n = 250 THEN '{last}' ELSE 'audio' END ORDER BY n), array_agg(CASE WHEN n % 2 = 0 THEN 'x\"' END ORDER BY n))
             FROM generate_series(1, 250) AS n"
        )
    };
    let output = server.psql(&database, &batch("radio"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("event: \"radio\" is not one of")
            && said.contains("Event 249 of the array; none was queued"),
        "{said}"
    );
    assert_eq!(parcels(&mut connection), []);
    assert_eq!(server.sql(&database, &batch("video")), "250");
    let found = parcels(&mut connection);
    assert_eq!(
        found.iter().map(Parcel::len).collect::<Vec<_>>(),
        [100, 100, 50]
    );
    let users = found
        .iter()
        .flat_map(Parcel::events)
        .map(|(fragment, _)| meditopia::internals::event::user_of(fragment));
    assert!(users.eq((1..=250).map(|n| format!("u-{n}").into_bytes())));

    let uneven = server.psql(
        &database,
        "SELECT meditopia.enqueue_batch('{t,t}', '{u}', '{video,video}')",
    );
    assert!(String::from_utf8_lossy(&uneven.stderr).contains("different lengths"));
    assert_eq!(
        server.sql(
            &database,
            "SELECT meditopia.enqueue_batch('{}', '{}', '{}')"
        ),
        "0"
    );
}

#[test]
fn whatever_a_session_has_set_an_event_is_the_same() {
    let (server, database) = set_up();
    let settings = "SET search_path = public; SET standard_conforming_strings = off; SET backslash_quote = on; SET TimeZone = 'Asia/Tokyo';
      SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape'; SET IntervalStyle = 'sql_standard'; SET escape_string_warning = off;";
    let own = "CREATE FUNCTION public.octet_length(text) RETURNS int LANGUAGE sql AS 'SELECT 0';
      CREATE FUNCTION public.to_json(text) RETURNS json LANGUAGE sql AS $$SELECT '{}'::json$$;";
    let event =
        "SELECT meditopia.enqueue('t', E'a\\\\\"b', 'video', NULL, '2024-08-06T23:04:05-05:00');";
    server.sql(&database, own);
    server.sql(&database, &format!("{settings} {event}"));
    server.sql(&database, event);
    let refused = server.psql(
        &database,
        &format!("{settings} SELECT meditopia.enqueue('t', 'u', E'vi\\\\\\ndeo')"),
    );
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains(r#"event: "vi\\\ndeo" is not one of"#),
        "{said}"
    );
    let found = parcels(&mut connect(&server.url(&database)));
    assert_eq!(found[0].body(), found[1].body());
    let expected = r#"{"token":"t","partner_user_id":"a\\\"b","event":"video","event_value":null,"received_at":"2024-08-07 04:04:05"}"#;
    assert_eq!(String::from_utf8_lossy(found[0].body()), expected);
}
