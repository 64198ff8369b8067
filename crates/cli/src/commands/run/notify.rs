//! What a service tells the service manager, by the protocol of `sd_notify(3)`: a datagram of
//! `NAME=value` lines to the socket that the environment names. Without one, nothing is told.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a telling waits for a manager that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the service manager.
pub struct Notify {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// The manager that this process was started by.
    ///
    /// Errors: the environment names a socket that cannot be used, so the service would be taken for one
    /// that never became ready.
    pub fn from_environment() -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let manager = match variable("NOTIFY_SOCKET") {
            Some(name) => Some(reach(&name).map_err(|e| format!("NOTIFY_SOCKET {name}: {e}"))?),
            None => None,
        };
        // Set for another process: a shell in between, for one.
        let is_ours =
            variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC")
            .filter(|_| is_ours)
            .and_then(|usec| usec.parse().ok())
            .filter(|usec| *usec > 0)
            .map(Duration::from_micros);
        Ok(Self { manager, watchdog })
    }

    /// How often the manager wants to hear that this process is alive.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.manager.is_some())
    }

    /// Tells it these lines. A manager that does not listen is no reason not to deliver.
    pub fn tell(&self, lines: &str) {
        if let Some((socket, address)) = &self.manager {
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }

    /// What the manager shows to whoever asks for the service's state.
    pub fn status(&self, what: &str) {
        self.tell(&format!("STATUS={}", what.replace('\n', " ")));
    }
}

fn reach(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}
