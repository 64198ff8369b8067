//! A TCP connection to the first of several addresses that answers (RFC 8305, "happy eyeballs").
//!
//! A name often has an address that does not answer: IPv6 on a host whose provider loses it, a machine that was
//! switched off. To wait for one before the next is tried would cost each request seconds. So the attempts
//! begin one after another, the families by turns, and the first that succeeds wins.
//!
//! The application may close a socket while it connects, and have one of its own under the number. So each is
//! compared with what was opened before anything is done to it. If it forks meanwhile, the child closes its copies.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::process::ClosedInChild;

/// How long an attempt goes on alone before the next one begins: what RFC 8305 recommends.
const STAGGER: Duration = Duration::from_millis(250);
/// The most sockets that connect at the same time: they are descriptors of the application's process.
const ATTEMPTS_MAX: usize = 16;

type Attempt = (ClosedInChild<TcpStream>, SocketAddr);

/// Connects to one of `addresses`, of which the first is preferred.
///
/// Error: of the last address that failed, or that none has answered in time.
pub(super) fn dial(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Attempt> {
    let mut untried = by_turns(addresses).into_iter();
    let left = deadline.saturating_duration_since(Instant::now());
    // All have begun when half of the time is over.
    let stagger = STAGGER.min(left / 2 / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1));
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = None;
    let mut next_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        if (now >= next_at || attempts.is_empty())
            && let Some(address) = untried.next()
        {
            if attempts.len() >= ATTEMPTS_MAX {
                attempts.remove(0);
                note(&mut failure, ErrorKind::TimedOut.into());
            }
            match begin(&address) {
                Ok(attempt) => {
                    attempts.push((attempt, address));
                    next_at = now + stagger;
                }
                Err(error) => note(&mut failure, error),
            }
        }
        if attempts.is_empty() {
            match untried.len() {
                0 => return Err(failure.unwrap_or(ErrorKind::TimedOut.into())),
                _ => continue,
            }
        }
        let until = if untried.len() > 0 {
            next_at.min(deadline)
        } else {
            deadline
        };
        if let Some(at) = finished(&attempts, until)? {
            let (stream, address) = attempts.remove(at);
            match finish(&stream) {
                Ok(()) => return Ok((stream, address)),
                // The next address need not wait for its turn.
                Err(error) => {
                    note(&mut failure, error);
                    next_at = now;
                }
            }
        }
    }
}

/// The addresses in their order, but those of the two families by turns.
pub(super) fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut turns = addresses.to_vec();
    for at in 1..turns.len() {
        let is_other = |address: &SocketAddr| address.is_ipv4() != turns[at - 1].is_ipv4();
        if let Some(next) = turns[at..].iter().position(is_other) {
            // Each family keeps its order.
            (at..at + next)
                .rev()
                .for_each(|place| turns.swap(place, place + 1));
        }
    }
    turns
}

/// That a family has no route says less than what came of the other one.
fn note(failure: &mut Option<io::Error>, error: io::Error) {
    if failure.is_none() || error.kind() != ErrorKind::NetworkUnreachable {
        *failure = Some(error);
    }
}

fn begin(address: &SocketAddr) -> io::Result<ClosedInChild<TcpStream>> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, CLOSED_ON_EXEC, None)?;
    let stream = ClosedInChild::new(TcpStream::from(socket));
    stream.set_nonblocking(true)?;
    match rustix::net::connect(&*stream, address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(stream),
        Err(e) => Err(e.into()),
    }
}

/// Waits until an attempt has ended, or `until`; which one has.
fn finished(attempts: &[Attempt], until: Instant) -> io::Result<Option<usize>> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut polled: Vec<_> = attempts
        .iter()
        .map(|(stream, _)| PollFd::new(&**stream, PollFlags::OUT))
        .collect();
    match poll(&mut polled, Some(&left)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(polled.iter().position(|one| !one.revents().is_empty()))
}

fn finish(stream: &ClosedInChild<TcpStream>) -> io::Result<()> {
    stream.check()?;
    stream.take_error()?.map_or(Ok(()), Err)?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)
}

#[cfg(not(target_vendor = "apple"))]
const CLOSED_ON_EXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const CLOSED_ON_EXEC: SocketFlags = SocketFlags::empty();
