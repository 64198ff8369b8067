//! Messages to the service manager, by the protocol of `sd_notify(3)`: a datagram with `NAME=value`
//! lines to the socket that the environment names. Without a socket nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a message waits for a manager that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager that started this process, if any.
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The manager that the environment names.
    ///
    /// Errors: the named socket cannot be used, so the manager would believe that the service never
    /// became ready.
    pub fn from_environment() -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let socket = match variable("NOTIFY_SOCKET") {
            Some(name) => Some(connect(&name).map_err(|e| format!("NOTIFY_SOCKET {name}: {e}"))?),
            None => None,
        };
        // The variables may be meant for another process, such as a shell in between.
        let is_ours =
            variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC")
            .filter(|_| is_ours)
            .and_then(|usec| usec.parse().ok())
            .filter(|usec| *usec > 0)
            .map(Duration::from_micros);
        Ok(Self { socket, watchdog })
    }

    /// The interval in which the manager expects a sign of life, if it has a watchdog.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// Sends these lines. Ignores errors, because delivery must not depend on the manager.
    pub fn send(&self, lines: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }

    /// Sets the line that `systemctl status` shows.
    pub fn send_status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }
}

fn connect(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok((socket, address))
}
