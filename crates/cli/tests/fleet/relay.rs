//! What a relay does while nothing fails.

use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::Service;
use meditopia_testkit::wait::wait_until;

use super::host::{ENDPOINT, new_fleet_for, said};
use super::relays::{Fleet, LANES, Numbers, relay_command};

#[test]
fn a_relay_delivers_what_hosts_forward_and_what_sql_enqueues_each_once_and_in_order() {
    let fleet = Fleet::new();
    let mut relay = fleet.relay("one");
    let (first, second) = (fleet.host(), fleet.host());
    let mut numbers = Numbers::default();
    for _ in 0..5 {
        numbers.enqueue(&first, 130);
        first.forward_once();
        numbers.enqueue(&second, 70);
        second.forward_once();
        numbers.enqueue_by_sql(&fleet, 30);
    }
    fleet.api.wait_for_events(numbers.count());
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&numbers.enqueued);
    assert_eq!(arrivals.duplicates(), 0);
    let (status, metrics) = relay.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        format!(
            "meditopia_relay_delivered_total{{relay=\"one\"}} {}",
            numbers.count()
        ),
        format!("meditopia_relay_lanes{{relay=\"one\"}} {LANES}"),
        "meditopia_relay_sorts{relay=\"one\"} 1".to_owned(),
        "meditopia_fleet_pending{relay=\"one\"} 0".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    relay.wait_for_answer("/readyz", 200, "owns 4 of 4 lanes, sorts");
    assert_eq!(relay.get("/healthz").0, 200);

    assert_eq!(relay.terminate().code(), Some(0), "{}", relay.log());
    // So that the next relay need not wait.
    assert_eq!(
        fleet.sql("SELECT count(*) FROM meditopia.lane WHERE lease_until > clock_timestamp()"),
        "0"
    );
}

#[test]
fn relays_share_the_lanes_evenly_as_they_come_and_go_and_each_event_arrives_once() {
    let fleet = Fleet::new();
    let host = fleet.host();
    let forwarder = host.start();
    let mut numbers = Numbers::default();
    let mut one = fleet.relay("one");
    fleet.wait_for_lanes(&[("one", 4)]);
    numbers.enqueue(&host, 200);
    let mut two = fleet.relay("two");
    wait_until("both own half of the lanes", || {
        numbers.enqueue(&host, 1);
        fleet.lanes_owned() == [("one".to_owned(), 2), ("two".to_owned(), 2)]
    });
    assert_eq!(one.terminate().code(), Some(0), "{}", one.log());
    wait_until("the other one owns all", || {
        numbers.enqueue(&host, 1);
        fleet.lanes_owned() == [("two".to_owned(), 4)]
    });
    fleet.api.wait_for_events(numbers.count());
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&numbers.enqueued);
    assert_eq!(arrivals.duplicates(), 0);
    assert_eq!(two.terminate().code(), Some(0));
    assert_eq!(forwarder.terminate(), Some(0));
}

#[test]
fn a_bad_event_is_rejected_alone_and_kept_with_the_reason_of_the_api() {
    let api = Sandbox::builder().unknown_user("u7").start();
    let fleet = Fleet::with_api(api);
    let host = fleet.host();
    let mut numbers = Numbers::default();
    numbers.enqueue(&host, 100);
    host.forward_once();
    let _relay = fleet.relay("one");
    let (bad, good): (Vec<_>, Vec<_>) = numbers
        .enqueued
        .into_iter()
        .partition(|(user, _)| user == "u7");
    fleet.api.wait_for_events(good.len() as u64);
    wait_until("all of the bad user's events are rejected", || {
        fleet.sql("SELECT count(*) FROM meditopia.rejected") == bad.len().to_string()
    });
    fleet.wait_until_drained();
    let arrivals = fleet.assert_delivered(&good);
    assert_eq!(arrivals.duplicates(), 0);
    let rejected = fleet.sql(
        "SELECT string_agg(DISTINCT concat_ws(' ', \"user\", api_code, http_status), ',') FROM meditopia.rejected",
    );
    assert_eq!(rejected, "u7 A_1104 404");
}

#[test]
fn a_relay_refuses_a_spool_beside_its_store_and_a_fleet_of_another_endpoint() {
    let server = PostgresServer::shared();
    let database = new_fleet_for(server, ENDPOINT, LANES);
    let api = Sandbox::start();
    let url = server.url(&database);
    let both = relay_command(&url, &api, "one")
        .arg("/var/spool/shop")
        .output()
        .unwrap();
    assert_eq!(both.status.code(), Some(2));
    assert!(said(&both).contains("a store is named as well"), "{both:?}");
    let mut elsewhere = Service::start(relay_command(&url, &api, "one"));
    assert_eq!(elsewhere.wait_for_end().code(), Some(2));
    let said = elsewhere.log();
    assert!(
        said.contains(ENDPOINT) && said.contains(api.endpoint()),
        "{said}"
    );
}

#[test]
fn a_relay_waits_for_its_database_and_says_so() {
    let mut server = PostgresServer::start();
    let api = Sandbox::start();
    let database = new_fleet_for(&server, api.endpoint(), LANES);
    let url = server.url(&database);
    server.crash();
    let relay = Service::start(relay_command(&url, &api, "one"));
    relay.wait_for_log("the database cannot be reached");
    relay.wait_for_answer("/readyz", 503, "the database cannot be reached");
    relay.wait_for_answer(
        "/metrics",
        200,
        "meditopia_relay_database_away{relay=\"one\"} 1",
    );
    assert_eq!(relay.get("/healthz").0, 200);
    server.run();
    relay.wait_for_log("the database can be reached again");
    relay.wait_for_answer("/readyz", 200, "owns 4 of 4 lanes");
}
