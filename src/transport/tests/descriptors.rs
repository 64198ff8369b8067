//! An application that closes a connection of the client, and gets its number for a connection of its own.

use std::fs;
use std::io::{ErrorKind, Read};
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::thread;

use super::addresses::Silent;
use super::server::{Authority, Server};
use super::*;

/// The descriptors of this process that are sockets.
fn sockets() -> impl Iterator<Item = (RawFd, String)> {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| {
        let path = entry.unwrap().path();
        let what = fs::read_link(&path).ok()?.to_str()?.to_owned();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        what.starts_with("socket:").then_some((number, what))
    })
}

/// The client's end of its only connection to `server`.
fn connection_to(server: SocketAddr) -> RawFd {
    let is_it = |number: RawFd| {
        // SAFETY: asks about a number, and does not close it.
        let stream = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(number) });
        stream.peer_addr().is_ok_and(|peer| peer == server)
    };
    sockets()
        .map(|(number, _)| number)
        .find(|number| is_it(*number))
        .unwrap()
}

/// A connection of the application: the end that gets the number of the client's, and the other one.
struct Foreign {
    ours: TcpStream,
    theirs: TcpStream,
    number: RawFd,
}

impl Foreign {
    fn in_place_of(number: RawFd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_nonblocking(true).unwrap();
        // SAFETY: closes the client's connection, as an application does that closes all descriptors, and
        // opens another one under its number.
        assert_eq!(unsafe { libc::dup2(ours.as_raw_fd(), number) }, number);
        Self {
            ours,
            theirs,
            number,
        }
    }

    #[track_caller]
    fn assert_untouched(mut self) {
        let link = |number: RawFd| fs::read_link(format!("/proc/self/fd/{number}"));
        let is_open =
            link(self.number).is_ok_and(|open| open == link(self.ours.as_raw_fd()).unwrap());
        assert!(is_open, "the application's connection was closed");
        let received = self.theirs.read(&mut [0; 4096]);
        let nothing = received.is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        assert!(
            nothing,
            "something was sent over the application's connection"
        );
        assert_eq!(self.ours.read_timeout().unwrap(), None);
        assert_eq!(self.ours.write_timeout().unwrap(), None);
        // SAFETY: closes what `in_place_of` has put there.
        unsafe { libc::close(self.number) };
    }
}

#[test]
fn no_request_goes_into_a_connection_of_the_application_that_has_the_number_of_an_idle_one() {
    let authority = Authority::new();
    for over_tls in [false, true] {
        let server = match over_tls {
            true => Server::start_tls(&authority.certify("localhost"), |peer| {
                peer.serve(NO_CONTENT)
            }),
            false => Server::answering(NO_CONTENT),
        };
        let options = match over_tls {
            true => Options::new(server.https()).ca_file(authority.bundle()),
            false => Options::new(server.http()),
        };
        let transport = options.open();
        transport.post_once().answer();
        let foreign = Foreign::in_place_of(connection_to(server.address));

        transport.post_once().answer();

        assert_eq!(server.connections(), 2);
        drop(transport);
        foreign.assert_untouched();
    }
}

/// Posts to an address that does not answer, and meanwhile runs `during` with the descriptor that connects. The
/// request is not sent.
fn while_connecting<T>(during: impl FnOnce(RawFd) -> T) -> T {
    let silent = Silent::new();
    let transport = Options::new(format!("http://{}/", silent.address()))
        .connect_timeout(millis(500))
        .open();
    thread::scope(|scope| {
        let posted = scope.spawn(|| transport.post_once());
        let done = during(wait_for_connection_to(&silent));
        posted.join().unwrap().not_sent();
        done
    })
}

#[test]
fn a_connection_of_the_application_is_not_used_that_gets_the_number_of_one_that_is_being_made() {
    while_connecting(Foreign::in_place_of).assert_untouched();
}

#[test]
fn a_forked_child_keeps_no_connection_that_is_being_made() {
    while_connecting(|number| {
        // SAFETY: asks about a number.
        let is_closed = || unsafe { libc::fcntl(number, libc::F_GETFD) < 0 };
        assert!(crate::process::tests::in_child(is_closed));
        assert!(!is_closed());
    });
}

fn wait_for_connection_to(silent: &Silent) -> RawFd {
    loop {
        if let Some(number) = connection_being_made(silent.address().port()) {
            return number;
        }
        thread::yield_now();
    }
}

/// The socket that is connecting to this port.
fn connection_being_made(port: u16) -> Option<RawFd> {
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inode = table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words[2].ends_with(&format!(":{port:04X}")) && words[3] == "02";
        is_it.then(|| words[9].to_owned())
    })?;
    let name = format!("socket:[{inode}]");
    sockets()
        .find(|(_, what)| *what == name)
        .map(|(number, _)| number)
}
