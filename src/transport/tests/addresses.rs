//! Names with several addresses, of which some do not answer.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::super::dial;
use super::super::names::{NameCache, spawn_thread};
use super::server::{Authority, Server, refusing_address};
use super::*;

const ONCE: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// An address that answers to no connection, as that of a machine that is switched off.
pub(crate) struct Silent {
    listener: TcpListener,
    _waiting: TcpStream,
}

impl Silent {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        // One connection waits to be accepted, and no other one is made.
        rustix::net::listen(&listener, 0).unwrap();
        let waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self {
            listener,
            _waiting: waiting,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Answers from now on.
    pub(crate) fn listen(&self) {
        rustix::net::listen(&self.listener, 16).unwrap();
        // The one that was made before.
        self.listener.accept().unwrap();
    }

    /// Answers to no further connection, for as long as the returned one waits.
    pub(crate) fn fall_silent(&self) -> TcpStream {
        rustix::net::listen(&self.listener, 0).unwrap();
        TcpStream::connect(self.address()).unwrap()
    }

    /// Whether somebody asks for a connection and has no answer yet.
    pub(crate) fn is_asked(&self) -> bool {
        const SYN_SENT: &str = "02";
        let port = format!(":{:04X}", self.address().port());
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        connections.lines().any(|line| {
            let mut columns = line.split_ascii_whitespace().skip(2);
            columns.next().is_some_and(|remote| remote.ends_with(&port))
                && columns.next() == Some(SYN_SENT)
        })
    }

    pub(crate) fn accept(&self) -> TcpStream {
        self.listener.accept().unwrap().0
    }
}

impl Transport {
    /// The same, but every name that has to be looked up has these addresses.
    pub(crate) fn with_addresses(mut self, addresses: Vec<SocketAddr>) -> Self {
        let ask = move |_: &str, _: u16| Ok(addresses.clone());
        self.names = Arc::new(NameCache::with_resolver(spawn_thread, Box::new(ask)));
        self.agent = OnceLock::new();
        self
    }
}

fn to_name(addresses: Vec<SocketAddr>) -> Transport {
    Options::new("http://partners.example/")
        .connect_timeout(Duration::from_secs(4))
        .open()
        .with_addresses(addresses)
}

#[test]
fn a_name_with_eight_silent_addresses_before_a_good_one_is_reached_in_time_and_the_good_one_at_once_then()
 {
    let server = Server::answering(ONCE);
    let silent: Vec<_> = (0..8).map(|_| Silent::new()).collect();
    let mut addresses: Vec<_> = silent.iter().map(Silent::address).collect();
    addresses.push(server.address);
    let transport = to_name(addresses);

    for _ in 0..3 {
        assert_eq!(transport.post_once().answer().status, 204);
        let soon = Instant::now() + Duration::from_secs(20);
        let name = "partners.example";
        let order = transport.names.resolve(name, 80, Instant::now(), soon);
        assert_eq!(order.unwrap()[0], server.address);
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn the_families_of_a_names_addresses_are_tried_by_turns() {
    let server = Server::answering(NO_CONTENT);
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        eprintln!("not tested: this host has no IPv6");
        return;
    };
    let loopback = listener.local_addr().unwrap();
    let silent: Vec<_> = (0..8)
        .map(|_| Silent::at(SocketAddr::new(loopback.ip(), 0)))
        .collect();
    let mut addresses: Vec<_> = silent.iter().map(Silent::address).collect();
    addresses.push(server.address);
    let order = dial::by_turns(&addresses);
    assert_eq!(order[..3], [addresses[0], server.address, addresses[1]]);
    assert_eq!(order.len(), 9);
    assert_eq!(dial::by_turns(&[]), []);

    assert_eq!(to_name(addresses).post_once().answer().status, 204);
}

#[test]
fn an_address_that_refuses_costs_no_time_and_its_refusal_is_told_if_all_do() {
    let server = Server::answering(NO_CONTENT);
    let refusing: Vec<_> = (0..8).map(|_| refusing_address()).collect();
    let why = to_name(refusing.clone()).post_once().not_sent();
    assert_eq!(why, "connect to partners.example:80: connection refused");
    let silent = Silent::new();
    let mut addresses = vec![silent.address()];
    addresses.extend((0..100).map(|at| refusing[at % 8]));
    addresses.push(server.address);
    let transport = Options::new("http://partners.example/")
        .connect_timeout(Duration::from_secs(600))
        .open()
        .with_addresses(addresses);
    let begun = Instant::now();
    assert_eq!(transport.post_once().answer().status, 204);
    // If each waited for its turn, that would be 25 s.
    assert!(begun.elapsed() < Duration::from_secs(15), "{begun:?}");
}

#[test]
fn a_request_is_not_sent_if_no_address_answers_before_the_connect_timeout() {
    let silent: Vec<_> = (0..20).map(|_| Silent::new()).collect();
    let addresses = silent.iter().map(Silent::address).collect();
    let mut transport = to_name(addresses);
    transport.connect_timeout = millis(300);

    let why = transport.post_once().not_sent();

    assert_eq!(why, "connect to partners.example:80: timed out");
}

#[test]
fn an_address_that_connects_but_speaks_no_tls_is_tried_last_the_next_time() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certify("partners.example"), |peer| {
        peer.serve(NO_CONTENT)
    });
    let useless = Server::start(|peer| {
        peer.first_byte();
    });
    let transport = Options::new("https://partners.example/")
        .ca_file(authority.bundle())
        .open()
        .with_addresses(vec![useless.address, server.address]);

    transport.post_once().not_sent();

    assert_eq!(transport.post_once().answer().status, 204);
    assert_eq!((useless.connections(), server.connections()), (1, 1));
}
