//! A small cache of host names and their addresses, with look-ups off the caller's thread.
//!
//! The system's look-up takes no deadline, so it runs on a thread of its own, and the caller stops
//! waiting at its deadline. There is at most one such thread for each name: a caller that comes during
//! a look-up waits for the same one. A resolver that hangs thus costs one thread, not one per retry.
//!
//! Addresses are used for [`LIFETIME`] and dropped as soon as a connection to them fails, so the next
//! attempt follows a change of DNS. Failures are not cached: the sender's backoff spaces the attempts.
//! The address that has connected last comes first the next time. If TLS with it fails, it comes last instead.
//! IP literals and `localhost` need no look-up.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a look-up's addresses are used for new connections.
const LIFETIME: Duration = Duration::from_secs(60);

/// Starts a thread with this name, which runs this closure once.
pub type Spawn = fn(&'static str, Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// Looks a name up: by the system, or by a function of a test.
type Resolve = Box<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The name cache of one transport.
pub(super) struct NameCache {
    spawn: Spawn,
    shared: Arc<Shared>,
}

struct Shared {
    resolve: Resolve,
    table: Mutex<HashMap<Name, Entry>>,
    look_up_finished: Condvar,
}

/// A host, in lower case, and a port.
type Name = (String, u16);

#[derive(Default)]
struct Entry {
    known: Option<Known>,
    look_up_runs: bool,
    /// How many look-ups have finished: when it grows, the look-up that a caller waits for has.
    finished: u64,
    failure: Option<String>,
    /// The address that has connected last.
    best: Option<SocketAddr>,
    /// The one that has connected, and was of no use.
    worst: Option<SocketAddr>,
}

impl Entry {
    /// The addresses that are known, in the order in which to try them.
    fn in_order(&self) -> Option<Vec<SocketAddr>> {
        let mut addresses = self.known.as_ref()?.addresses.clone();
        let last = addresses.len().checked_sub(1)?;
        for (address, to) in [(self.worst, last), (self.best, 0)] {
            if let Some(at) = addresses.iter().position(|at| Some(*at) == address) {
                addresses.swap(at, to);
            }
        }
        Some(addresses)
    }
}

struct Known {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl NameCache {
    /// A cache that looks names up by the system's resolver, on threads started by `spawn`.
    pub(super) fn new(spawn: Spawn) -> Self {
        Self::with_resolver(spawn, Box::new(resolve_by_system))
    }

    pub(super) fn with_resolver(spawn: Spawn, resolve: Resolve) -> Self {
        let shared = Shared {
            resolve,
            table: Mutex::default(),
            look_up_finished: Condvar::new(),
        };
        Self {
            spawn,
            shared: Arc::new(shared),
        }
    }

    /// The addresses of `host`, at least one. Waits for a look-up until `deadline`.
    ///
    /// The error says why there is no address, in words for people that do not name the host.
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
        let (finished, is_first) = {
            let mut table = self.shared.lock();
            let entry = table.entry(name.clone()).or_default();
            if entry.known.as_ref().is_some_and(|known| now < known.until)
                && let Some(addresses) = entry.in_order()
            {
                return Ok(addresses);
            }
            (
                entry.finished,
                !std::mem::replace(&mut entry.look_up_runs, true),
            )
        };
        if is_first {
            self.start(name.clone())
                .map_err(|cause| format!("cannot start a thread for the look-up: {cause}"))?;
        }
        self.shared.wait(&name, finished, deadline)
    }

    /// Puts the address of `host` first that has connected.
    pub(super) fn note_connected(&self, host: &str, port: u16, address: SocketAddr) {
        let name = (host.to_ascii_lowercase(), port);
        if let Some(entry) = self.shared.lock().get_mut(&name) {
            entry.best = Some(address);
        }
    }

    /// Drops the addresses of `host`: none has connected, or `useless` has, and TLS with it failed.
    pub(super) fn note_failed(&self, host: &str, port: u16, useless: Option<SocketAddr>) {
        let name = (host.to_ascii_lowercase(), port);
        if let Some(entry) = self.shared.lock().get_mut(&name) {
            entry.known = None;
            entry.worst = useless.or(entry.worst);
            // Another thread may have connected to another one meanwhile.
            entry.best = entry
                .best
                .filter(|best| useless.is_some_and(|useless| useless != *best));
        }
    }

    // Called without the lock: a `spawn` that fails drops the look-up, which takes the lock.
    fn start(&self, name: Name) -> io::Result<()> {
        let look_up = LookUp {
            shared: Arc::clone(&self.shared),
            name,
            found: Err(io::Error::other("the look-up was abandoned")),
        };
        (self.spawn)("meditopia-names", Box::new(move || look_up.run()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.table
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait(
        &self,
        name: &Name,
        finished: u64,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, String> {
        let mut table = self.lock();
        loop {
            if let Some(entry) = table.get(name).filter(|entry| entry.finished != finished) {
                return match (entry.in_order(), &entry.failure) {
                    (Some(addresses), _) => Ok(addresses),
                    (None, Some(failure)) => Err(failure.clone()),
                    // Found, and dropped again by another thread before this one woke.
                    (None, None) => Err("its addresses do not answer".into()),
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the resolver did not answer in time".into());
            }
            table = match self.look_up_finished.wait_timeout(table, left) {
                Ok((table, _)) => table,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// One look-up. Dropping it finishes the look-up, even if its thread could not be started.
struct LookUp {
    shared: Arc<Shared>,
    name: Name,
    found: io::Result<Vec<SocketAddr>>,
}

impl LookUp {
    fn run(mut self) {
        self.found = (self.shared.resolve)(&self.name.0, self.name.1);
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        let mut table = self.shared.lock();
        let entry = table.entry(self.name.clone()).or_default();
        entry.look_up_runs = false;
        entry.finished += 1;
        (entry.known, entry.failure) = match &self.found {
            Ok(addresses) if addresses.is_empty() => (None, Some("the name has no address".into())),
            Ok(addresses) => {
                let known = Known {
                    addresses: addresses.clone(),
                    until: Instant::now() + LIFETIME,
                };
                (Some(known), None)
            }
            Err(cause) => (None, Some(short_reason(cause))),
        };
        self.shared.look_up_finished.notify_all();
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

fn resolve_by_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn short_reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.strip_prefix("failed to lookup address information: ")
        .map_or(text.clone(), |short| short.to_ascii_lowercase())
}

/// Starts a plain thread. The stack size is set because the standard library would otherwise read it
/// from the environment.
pub(super) fn spawn_thread(name: &'static str, run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    const STACK_BYTES: usize = 1024 * 1024;
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map(drop)
}

#[cfg(test)]
mod tests;
