//! Host names to addresses, off the caller's thread and behind a small cache.
//!
//! The system's look-up cannot be given a deadline, so it runs on a thread of its own and the caller
//! stops waiting when its time is up. One thread per name at most: whoever comes while a look-up is
//! under way waits for that one, so a resolver that hangs costs one thread and not one per retry.
//!
//! Addresses live [`LIFETIME`] and are forgotten as soon as a connection to them fails, so a change of
//! DNS is followed at the next attempt. Failures are not kept: the sender's backoff spaces attempts.
//! IP literals and `localhost` need no look-up at all.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a look-up's addresses are used for new connections.
const LIFETIME: Duration = Duration::from_secs(60);

/// Starts a thread with this name that runs this closure once.
pub type Spawn = fn(&'static str, Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// Asks the system; replaced in tests.
type Ask = Box<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The look-ups of one transport.
pub(super) struct Names {
    spawn: Spawn,
    shared: Arc<Shared>,
}

struct Shared {
    ask: Ask,
    table: Mutex<HashMap<Name, Entry>>,
    settled: Condvar,
}

type Name = (String, u16);

#[derive(Default)]
struct Entry {
    known: Option<Known>,
    asking: bool,
    /// Counts finished look-ups, so that a waiter can tell the one it waited for from an older one.
    round: u64,
    failure: Option<String>,
}

struct Known {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl Names {
    /// Look-ups by the system's resolver, on threads started by `spawn`.
    pub(super) fn new(spawn: Spawn) -> Self {
        Self::asking(spawn, Box::new(ask_the_system))
    }

    pub(super) fn asking(spawn: Spawn, ask: Ask) -> Self {
        let shared = Shared {
            ask,
            table: Mutex::default(),
            settled: Condvar::new(),
        };
        Self {
            spawn,
            shared: Arc::new(shared),
        }
    }

    /// The addresses of `host`, at least one; waits for a look-up until `deadline`.
    ///
    /// The error says why there are none, for people, without naming the host.
    pub(super) fn resolve(
        &self,
        host: &str,
        port: u16,
        now: Instant,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, String> {
        if let Some(addresses) = without_look_up(host, port) {
            return Ok(addresses);
        }
        let name = (host.to_ascii_lowercase(), port);
        let (round, ours) = {
            let mut table = self.shared.lock();
            let entry = table.entry(name.clone()).or_default();
            if let Some(known) = entry.known.as_ref().filter(|known| now < known.until) {
                return Ok(known.addresses.clone());
            }
            (entry.round, !std::mem::replace(&mut entry.asking, true))
        };
        if ours {
            self.start(name.clone())
                .map_err(|cause| format!("no thread for the look-up: {cause}"))?;
        }
        self.shared.wait(&name, round, deadline)
    }

    /// Drops what is known about `host`: a connection to its addresses failed.
    pub(super) fn forget(&self, host: &str, port: u16) {
        let name = (host.to_ascii_lowercase(), port);
        if let Some(entry) = self.shared.lock().get_mut(&name) {
            entry.known = None;
        }
    }

    // Called without the lock: a `spawn` that fails drops the ticket, which takes it.
    fn start(&self, name: Name) -> io::Result<()> {
        let ticket = Ticket {
            shared: Arc::clone(&self.shared),
            name,
            found: Err(io::Error::other("the look-up was abandoned")),
        };
        (self.spawn)("meditopia-names", Box::new(move || ticket.run()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.table
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait(&self, name: &Name, round: u64, deadline: Instant) -> Result<Vec<SocketAddr>, String> {
        let mut table = self.lock();
        loop {
            if let Some(entry) = table.get(name).filter(|entry| entry.round != round) {
                return match (&entry.known, &entry.failure) {
                    (Some(known), _) => Ok(known.addresses.clone()),
                    (None, Some(failure)) => Err(failure.clone()),
                    // Found, and forgotten by another thread before this one woke.
                    (None, None) => Err("its addresses do not answer".into()),
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("no answer from the resolver in time".into());
            }
            table = match self.settled.wait_timeout(table, left) {
                Ok((table, _)) => table,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// One look-up under way. Dropping it settles the look-up, whatever became of its thread.
struct Ticket {
    shared: Arc<Shared>,
    name: Name,
    found: io::Result<Vec<SocketAddr>>,
}

impl Ticket {
    fn run(mut self) {
        self.found = (self.shared.ask)(&self.name.0, self.name.1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut table = self.shared.lock();
        let entry = table.entry(self.name.clone()).or_default();
        entry.asking = false;
        entry.round += 1;
        (entry.known, entry.failure) = match &self.found {
            Ok(addresses) if addresses.is_empty() => (None, Some("it has no address".into())),
            Ok(addresses) => {
                let known = Known {
                    addresses: addresses.clone(),
                    until: Instant::now() + LIFETIME,
                };
                (Some(known), None)
            }
            Err(cause) => (None, Some(in_short(cause))),
        };
        self.shared.settled.notify_all();
    }
}

fn without_look_up(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = || vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses: Vec<IpAddr> = match bare.parse() {
        Ok(address) => vec![address],
        Err(_) if bare.eq_ignore_ascii_case("localhost") => loopback(),
        Err(_) => return None,
    };
    let at_port = |address| SocketAddr::new(address, port);
    Some(addresses.into_iter().map(at_port).collect())
}

fn ask_the_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn in_short(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.strip_prefix("failed to lookup address information: ")
        .map_or(text.clone(), |short| short.to_ascii_lowercase())
}

/// Starts a plain thread, for programs that do not need more. Its stack is sized here because the
/// standard library would otherwise read the environment for it.
pub(super) fn spawn_plainly(name: &'static str, run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    const STACK_BYTES: usize = 1024 * 1024;
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map(drop)
}

#[cfg(test)]
mod tests;
