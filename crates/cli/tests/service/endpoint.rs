//! The HTTP endpoint of `meditopia run`: its answers, and the limits on its clients.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::{ConfiguredSpool, Service};
use meditopia_testkit::spool::ClientExt;
use meditopia_testkit::wait::{WAIT_LIMIT, wait_until};
use serde_json::json;

use crate::fixtures::configured;

/// The memory that a thousand scrapes may add, which the allocator keeps.
const GROWTH_KB: u64 = 4 * 1024;

fn start_service() -> (Sandbox, ConfiguredSpool, Service) {
    let api = Sandbox::start();
    let spool = configured(&api);
    let service = spool.start_service(&[]);
    service.wait_for_log("elected");
    (api, spool, service)
}

fn descriptors(service: &Service) -> usize {
    fs::read_dir(format!("/proc/{}/fd", service.pid()))
        .unwrap()
        .count()
}

/// A figure in `/proc/<pid>/status`.
fn figure(service: &Service, name: &str) -> u64 {
    let status = service.read_proc("status");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_metrics_of_a_service_are_valid_for_prometheus_and_count_deliveries() {
    let (api, spool, service) = start_service();
    spool.client().enqueue_users(0..100);
    api.wait_for_events(100);
    service.wait_for_answer("/metrics", 200, "meditopia_events_delivered_total");
    let path = spool.spool();
    let delivered = format!(
        "meditopia_events_delivered_total{{spool=\"{}\"}} 100\n",
        path.display()
    );
    service.wait_for_answer("/metrics", 200, &delivered);
    let (_, text) = service.get("/metrics");
    assert!(text.contains("meditopia_run_elected{"), "{text}");

    meditopia_testkit::promtool::check_metrics(&text);
}

#[test]
fn a_service_is_not_ready_while_delivery_is_held() {
    let (_api, spool, service) = start_service();
    service.wait_for_answer("/readyz", 200, "sending");
    spool.client().hold().unwrap();
    service.wait_for_answer("/readyz", 503, "paused (hold)");
    service.wait_for_answer("/healthz", 200, "alive");
    spool.client().resume().unwrap();
    service.wait_for_answer("/readyz", 200, "sending");
}

#[test]
fn a_service_is_not_ready_while_the_api_is_unavailable() {
    let (api, spool, service) = start_service();
    api.set_fault(json!({ "fault": "status", "status": 429, "retry_after": 60 }));
    spool.client().enqueue_users(0..100);
    service.wait_for_answer("/readyz", 503, "waiting for a retry: next try in ");
    service.wait_for_answer("/healthz", 200, "alive");
    api.clear_faults();
    spool.client().resume().unwrap();
    service.wait_for_answer("/readyz", 200, "sending");
    api.wait_for_events(100);
}

#[test]
fn the_endpoint_of_a_service_refuses_unknown_paths_and_methods() {
    let (_api, _spool, service) = start_service();
    let (status, body) = service.get("/");
    assert_eq!(status, 404);
    assert!(body.contains("/metrics"));
    let mut connection = TcpStream::connect(service.address()).unwrap();
    write!(
        connection,
        "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn a_thousand_scrapes_leave_no_descriptors_and_little_memory() {
    let (_api, _spool, service) = start_service();
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

/// Sends a request and returns the first line of the answer.
fn status_line(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(2 * WAIT_LIMIT)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n")
}

#[test]
fn a_service_answers_by_names_of_this_host_with_its_port_and_by_no_other_name() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let service = spool.start_service(&[
        "--allow-host",
        "shop.internal",
        "--allow-host",
        "proxy.internal:80",
    ]);
    service.wait_for_log("elected");
    let address = service.address();
    let port = address.rsplit_once(':').unwrap().1;
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (host, status) in [
        (format!("Host: {address}\r\n"), "200 OK"),
        (format!("Host: localhost:{port}\r\n"), "200 OK"),
        (format!("Host: {}:{port}\r\n", host_name.trim()), "200 OK"),
        // The address of a pod.
        (format!("Host: 10.244.1.7:{port}\r\n"), "200 OK"),
        (format!("Host: [fd00::7]:{port}\r\n"), "200 OK"),
        ("Host: shop.internal:9000\r\n".to_owned(), "200 OK"),
        ("Host: proxy.internal:80\r\n".to_owned(), "200 OK"),
        (
            format!("Host: evil.example:{port}\r\n"),
            "421 Misdirected Request",
        ),
        (format!("Host: evil:{port}\r\n"), "421 Misdirected Request"),
        (
            format!("Host: localhost.evil.example:{port}\r\n"),
            "421 Misdirected Request",
        ),
        (
            "Host: localhost:1\r\n".to_owned(),
            "421 Misdirected Request",
        ),
        ("Host: \r\n".to_owned(), "421 Misdirected Request"),
        ("Host: a b\r\n".to_owned(), "421 Misdirected Request"),
        (
            format!("Host: localhost:{port}\r\nHost: evil:{port}\r\n"),
            "421 Misdirected Request",
        ),
    ] {
        for path in ["/healthz", "/metrics", "/readyz"] {
            let line = status_line(&address, &get(path, &host));
            assert_eq!(line, format!("HTTP/1.1 {status}"), "{path} {host}");
        }
    }
    let absolute = get(
        &format!("http://evil:{port}/metrics"),
        &format!("Host: localhost:{port}\r\n"),
    );
    assert!(status_line(&address, &absolute).contains(" 421 "));
    assert!(status_line(&address, "GET /healthz HTTP/1.0\r\n\r\n").contains(" 200 "));
}

#[test]
fn two_hundred_half_sent_requests_delay_no_probe() {
    let (_api, _spool, service) = start_service();
    let address = service.address();
    let half_sent: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut connection = TcpStream::connect(&address).unwrap();
            let half = ["", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "GE"][number % 3];
            // Earlier connections may have made room already.
            let _ = connection.write_all(half.as_bytes());
            connection
        })
        .collect();
    let begun = std::time::Instant::now();
    let line = status_line(&address, &get("/healthz", "Host: localhost\r\n"));
    assert_eq!(line, "HTTP/1.1 200 OK");
    // Far less than the deadline of a head.
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    drop(half_sent);
}

#[test]
fn a_request_whose_head_does_not_end_is_closed_at_its_deadline_also_if_it_goes_on() {
    let (_api, _spool, service) = start_service();
    let mut slow = TcpStream::connect(service.address()).unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let took = wait_until("the connection is closed", || {
        slow.write_all(b"x: y\r\n").is_err()
    });
    assert!((5..20).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn idle_connections_do_not_prevent_a_scrape() {
    let (_api, _spool, service) = start_service();
    let before = descriptors(&service);
    let idle: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(service.address()).unwrap())
        .collect();
    wait_until("the first connection is accepted", || {
        descriptors(&service) > before
    });
    assert!(descriptors(&service) < before + 20);
    let mut scrape = TcpStream::connect(service.address()).unwrap();
    scrape.set_read_timeout(Some(2 * WAIT_LIMIT)).unwrap();
    write!(
        scrape,
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
}
