//! The HTTP endpoint of `meditopia run`: small, bounded, and right.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::{WAIT_LIMIT, wait_until};
use serde_json::json;

/// What a thousand scrapes may add to the memory: what an allocator keeps.
const GROWTH_KB: u64 = 4 * 1024;

fn running() -> (Sandbox, ConfiguredSpool, Service) {
    let api = Sandbox::start();
    let place = ConfiguredSpool::new(api.endpoint(), api.token());
    let service = place.start_service(&[]);
    service.wait_for_log("elected");
    (api, place, service)
}

fn descriptors(service: &Service) -> usize {
    fs::read_dir(format!("/proc/{}/fd", service.pid()))
        .unwrap()
        .count()
}

/// A figure of the process, in kB or by count.
fn figure(service: &Service, name: &str) -> u64 {
    let status = service.read_proc("status");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn its_metrics_are_what_prometheus_reads_and_tell_what_happened() {
    let (api, place, service) = running();
    place.client().enqueue_users(0..100);
    api.wait_for_events(100);
    service.wait_for_answer("/metrics", 200, "meditopia_events_delivered_total");
    let spool = place.spool();
    let delivered = format!(
        "meditopia_events_delivered_total{{spool=\"{}\"}} 100\n",
        spool.display()
    );
    service.wait_for_answer("/metrics", 200, &delivered);
    let (_, text) = service.get("/metrics");
    assert!(text.contains("meditopia_run_elected{"), "{text}");

    meditopia_testkit::promtool::check_metrics(&text);
}

#[test]
fn it_is_not_ready_while_delivery_is_held() {
    let (_api, place, service) = running();
    service.wait_for_answer("/readyz", 200, "sending");
    place.client().hold().unwrap();
    service.wait_for_answer("/readyz", 503, "paused (hold)");
    service.wait_for_answer("/healthz", 200, "alive");
    place.client().resume().unwrap();
    service.wait_for_answer("/readyz", 200, "sending");
}

#[test]
fn it_is_not_ready_while_the_api_is_away_for_long() {
    let (api, place, service) = running();
    api.set_fault(json!({ "fault": "status", "status": 429, "retry_after": 60 }));
    place.client().enqueue_users(0..100);
    service.wait_for_answer("/readyz", 503, "waiting for a retry: next try in ");
    service.wait_for_answer("/healthz", 200, "alive");
    api.clear_faults();
    place.client().resume().unwrap();
    service.wait_for_answer("/readyz", 200, "sending");
    api.wait_for_events(100);
}

#[test]
fn what_it_does_not_have_is_said() {
    let (_api, _place, service) = running();
    let (status, body) = service.get("/");
    assert_eq!(status, 404);
    assert!(body.contains("/metrics"));
    let mut connection = TcpStream::connect(service.address()).unwrap();
    write!(
        connection,
        "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn a_thousand_scrapes_leave_nothing_behind() {
    let (_api, _place, service) = running();
    let scrape = |times: usize| {
        for path in ["/metrics", "/readyz", "/healthz"]
            .iter()
            .cycle()
            .take(times)
        {
            assert_eq!(service.get(path).0, 200);
        }
    };
    scrape(100);
    let at_rest = descriptors(&service);
    let memory = figure(&service, "VmRSS:");
    scrape(1_000);
    wait_until("as few descriptors as before", || {
        descriptors(&service) <= at_rest
    });
    let grown = figure(&service, "VmRSS:").saturating_sub(memory);
    println!(
        "1,000 scrapes: {grown} kB more, {} threads",
        figure(&service, "Threads:")
    );
    assert!(grown < GROWTH_KB, "{grown} kB");
}

#[test]
fn connections_that_only_hold_their_place_do_not_keep_a_scrape_away() {
    let (_api, _place, service) = running();
    let before = descriptors(&service);
    let idle: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(service.address()).unwrap())
        .collect();
    wait_until("the first of them", || descriptors(&service) > before);
    assert!(descriptors(&service) < before + 20);
    let mut scrape = TcpStream::connect(service.address()).unwrap();
    scrape.set_read_timeout(Some(2 * WAIT_LIMIT)).unwrap();
    write!(
        scrape,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
}
