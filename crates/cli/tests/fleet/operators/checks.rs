//! What monitoring and `doctor` say of a fleet.

use super::rows::Fleet;

/// The names of the findings, and the exit status.
#[track_caller]
fn check(fleet: &Fleet, status: i32) -> Vec<String> {
    let said = fleet.ends(
        &["status", "--check", "--json", "--crit-age", "90000 days"],
        status,
    );
    let checked: serde_json::Value = serde_json::from_str(&said).unwrap();
    let findings = checked["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_check_of_a_fleet_finds_what_stops_it_and_ends_as_nagios_expects() {
    let fleet = Fleet::new();
    let well = fleet.done(&["status", "--check"]);
    assert!(
        well.starts_with("MEDITOPIA OK - 0 events pending, 0 rejected | pending=0;;;0"),
        "{well}"
    );
    fleet.sorted("u-1", 7, 2);
    let old = fleet.ends(&["status", "--check"], 2);
    assert!(
        old.contains("the oldest event has been pending for"),
        "{old}"
    );
    assert!(
        old.contains("no relay was ever seen, and 2 events pending"),
        "{old}"
    );
    assert_eq!(check(&fleet, 2), ["no_relay", "age"]);
    fleet.relay(None);
    assert_eq!(check(&fleet, 1), ["age"]);
    fleet.host_behind();
    fleet.in_doubt("u-1", 1);
    fleet.done(&["hold"]);
    assert_eq!(check(&fleet, 1), ["held", "in_doubt", "host_behind", "age"]);
    fleet.sql("UPDATE meditopia.relay SET blocked = 'A_1004'");
    let blocked = fleet.ends(&["status", "--check", "--crit-age", "90000 days"], 2);
    assert!(
        blocked.contains("refuses the address of every relay: relay-1 (A_1004)"),
        "{blocked}"
    );

    fleet.rejected(1, "u-1", "A_1104");
    let rejected = fleet.ends(&["status", "--check", "--warn-rejected", "1"], 2);
    assert!(rejected.contains("1 event rejected"), "{rejected}");
    let usage = fleet.ends(&["status", "--check", "--warn-free", "9"], 3);
    assert!(usage.contains("--warn-free and --crit-free"), "{usage}");
    let away = meditopia_testkit::meditopia()
        .args(["status", "--check", "--store", "postgres://u@127.0.0.1:9/x"])
        .output()
        .unwrap();
    assert_eq!(away.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&away.stdout).starts_with("MEDITOPIA UNKNOWN"));
}

#[test]
fn the_status_of_a_fleet_says_what_waits_who_delivers_it_and_what_to_do() {
    let fleet = Fleet::new();
    let text = fleet.done(&["status"]);
    for part in [
        "nothing is pending",
        "no relay was ever seen",
        "4 lanes, 4 without a relay",
        "in all    0 delivered",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    fleet.sorted("u-1", 7, 2);
    fleet.sql("SELECT meditopia.enqueue('t', 'u-1', 'audio')");
    fleet.relay(None);
    fleet.host_behind();
    let text = fleet.done(&["status"]);
    for part in [
        "sending",
        "1 alive: relay-1 (4 lanes)",
        "3 events, 1 of them not sorted",
        "1, 1 behind: web-7",
        "next      see that meditopia forward runs there",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = &fleet.json(&["status"])[0];
    assert_eq!(
        (&json["pending"], &json["not_sorted"]),
        (&3.into(), &1.into())
    );
    assert_eq!(json["oldest_pending_ms"], super::rows::LONG_AGO_MS);
    assert_eq!(json["relays"][0]["lanes"], 4);
}

#[test]
fn doctor_checks_a_fleet_from_the_way_to_its_database_to_its_hosts() {
    let fleet = Fleet::new();
    let well = fleet.done(&["doctor"]);
    for part in [
        "ok    store: PostgreSQL",
        "ok    database: version 1",
        "ok    roles: postgres has",
        "ok    receipts: partitions for the next 8 days",
        "ok    relays: none is alive",
        "ok    hosts: 0 known",
    ] {
        assert!(well.contains(part), "{part}: {well}");
    }
    fleet.host_behind();
    fleet.sql("INSERT INTO meditopia.receipt VALUES (0, 1, 5, 204, 1, 1, '')");
    let warned = fleet.ends(&["doctor"], 1);
    for part in [
        "warn  hosts: a host is behind: web-7",
        "warn  receipts: some are in meditopia.receipt_other",
    ] {
        assert!(warned.contains(part), "{part}: {warned}");
    }
    fleet.sorted("u-1", 7, 1);
    let failed = fleet.ends(&["doctor"], 2);
    assert!(
        failed.contains("FAIL  relays: no relay was ever seen"),
        "{failed}"
    );
    let user = format!("host_{}", fleet.database);
    fleet.sql(&format!(
        "CREATE ROLE {user} LOGIN IN ROLE meditopia_forward"
    ));
    let url = fleet.server.url_as(&user, &fleet.database);
    let as_host = meditopia_testkit::meditopia()
        .args(["doctor", "--store", &url])
        .output()
        .unwrap();
    let said = crate::host::said(&as_host);
    assert_eq!(as_host.status.code(), Some(1), "{said}");
    assert!(
        said.contains("has meditopia_forward") && said.contains("nothing more can be seen"),
        "{said}"
    );
}

#[test]
fn after_a_restore_what_the_database_knows_of_the_time_since_is_told_before_relays_start() {
    let fleet = Fleet::new();
    fleet.sorted("u-1", 7, 2);
    fleet.host_behind();
    fleet.sql("INSERT INTO meditopia.receipt VALUES (0, 1, 1722956645000, 204, 1, 3, '')");
    let said = fleet.done(&[
        "fleet",
        "restored",
        "--since",
        "2024-08-06T15:00:00Z",
        "--utc",
    ]);
    for part in [
        "3 events in 1 requests; to list them: meditopia receipts list --store",
        "--since 2024-08-06T15:00:00Z",
        "pending now: 2 events",
        "host web-7",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("alive already"), "{said}");
    fleet.relay(None);
    let said = fleet.done(&["fleet", "restored", "--since", "2024-08-06"]);
    assert!(
        said.contains("1 relay is alive already") && said.contains("meditopia hold --store"),
        "{said}"
    );
    let json = &fleet.json(&["fleet", "restored", "--since", "2024-08-06T15:10:46Z"])[0];
    assert_eq!(
        (&json["requests_since"], &json["pending"]),
        (&0.into(), &2.into())
    );
}
