//! The page under load: readers of the live stream slow nothing down, and the page limits its rows.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::page_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{RawConnection, numbered_events_json, request_text};

/// Sends `requests` requests of 100 events, back to back.
fn flood(api: &Sandbox, requests: usize) {
    let mut connection = RawConnection::new(api);
    let request = request_text(api, &numbered_events_json(100));
    for _ in 0..requests {
        connection.send(&request);
        assert_eq!(connection.read_response().status, 204);
    }
}

fn subscribe(api: &Sandbox, headers: &str) -> TcpStream {
    let mut connection = RawConnection::new(api);
    connection.send(&format!(
        "GET /sandbox/live HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
    ));
    connection.stream
}

/// Reads until `wanted` has been received. Returns all that was received.
fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut received = Vec::new();
    let mut piece = vec![0; 1 << 16];
    while !String::from_utf8_lossy(&received).contains(wanted) {
        let read = stream.read(&mut piece).expect(wanted);
        assert!(read > 0, "the stream ended before {wanted}");
        received.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&received).into_owned()
}

fn frames(received: &str) -> Vec<Value> {
    let data = received
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|frame| serde_json::from_str(frame).ok())
        .collect()
}

#[test]
fn a_live_reader_that_stops_reading_blocks_nothing_and_learns_how_much_it_missed() {
    const REQUESTS: usize = 2_000;
    let api = Sandbox::start();
    let mut readers: Vec<TcpStream> = (0..8).map(|_| subscribe(&api, "")).collect();
    for reader in &mut readers {
        read_until(reader, "\n\n");
    }
    flood(&api, REQUESTS);
    assert_eq!(api.ledger().accepted_requests, REQUESTS as u64);

    let received = read_until(
        &mut readers[0],
        &format!("\"accepted_requests\":{REQUESTS},"),
    );
    let frames = frames(&received);
    let count = |frame: &Value| {
        frame["skipped"].as_u64().unwrap() + frame["requests"].as_array().unwrap().len() as u64
    };
    assert_eq!(frames.iter().map(count).sum::<u64>(), REQUESTS as u64);
    assert!(
        frames
            .iter()
            .all(|frame| frame["requests"].as_array().unwrap().len() <= 64)
    );
    // Of 200,000 events a reader is sent only what the frames have room for.
    assert!(received.len() < 8 << 20, "{} bytes", received.len());
}

#[test]
fn a_live_reader_that_reconnects_continues_where_it_was() {
    let api = Sandbox::start();
    flood(&api, 3);
    let received = read_until(&mut subscribe(&api, ""), "\n\n");
    let id = received
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    flood(&api, 2);
    let again = read_until(
        &mut subscribe(&api, &format!("last-event-id: {id}\r\n")),
        "\n\n",
    );
    let frame = &frames(&again)[0];
    let numbers: Vec<u64> = frame["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| request["request"].as_u64().unwrap())
        .collect();
    assert_eq!((numbers, &frame["skipped"]), (vec![4, 5], &json!(0)));
    let other = read_until(&mut subscribe(&api, "last-event-id: 1-1.4\r\n"), "\n\n");
    assert_eq!(frames(&other)[0]["requests"].as_array().unwrap().len(), 5);
}

#[test]
fn thirty_two_live_readers_are_served_and_others_once_these_have_gone() {
    let api = Sandbox::start();
    let mut readers: Vec<TcpStream> = (0..32).map(|_| subscribe(&api, "")).collect();
    for reader in &mut readers {
        read_until(reader, "\n\n");
    }
    read_until(&mut subscribe(&api, ""), "HTTP/1.1 503");
    readers.clear();
    for _ in 0..600 {
        let mut again = subscribe(&api, "");
        let mut head = [0; 12];
        again.read_exact(&mut head).unwrap();
        if head == *b"HTTP/1.1 200" {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no other reader was served");
}

#[test]
fn a_sandbox_that_is_stopped_does_not_wait_for_its_pages() {
    let api = Sandbox::start();
    let mut reader = subscribe(&api, "");
    read_until(&mut reader, "\n\n");
    RawConnection::new(&api).send("POST /sandbox/stop HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut rest = Vec::new();
    match reader.read_to_end(&mut rest) {
        // A stream that was ended in order, not cut off, ends with a chunk of length 0.
        Ok(_) => assert!(rest.ends_with(b"0\r\n\r\n"), "{rest:?}"),
        Err(cause) => assert_ne!(cause.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn the_page_shows_at_most_two_hundred_rows_and_says_how_many_requests_it_skipped() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    // The page receives enough requests of each of these floods that its rows are full after the
    // third.
    for count in ["150", "300", "450"] {
        flood(&api, 150);
        browser.wait_for_text("#count-requests", count);
    }
    for _ in 0..7 {
        flood(&api, 150);
    }
    browser.wait_for_text("#count-requests", "1,500");
    browser.wait_for_text("#count-events", "150,000");
    browser.wait_until("document.querySelector('.request')?.innerText.includes('#1500 ')");
    let rows = browser.evaluate("document.querySelectorAll('#feed > li').length");
    assert_eq!(rows, json!(200));

    browser.click("#pause");
    flood(&api, 500);
    browser.wait_for_text("#held", "500 new");
    browser.click("#pause");
    browser.wait_until("document.querySelector('.request').innerText.includes('#2000 ')");
    // How many of the 500 were skipped depends on the machine. At least 301 did not fit into the
    // rows.
    browser.wait_for_text("#feed", "requests skipped");
    let rows = browser.evaluate("document.querySelectorAll('#feed > li').length");
    assert_eq!(rows, json!(200));
}
