//! The sender's doorbell: a datagram socket in the spool.
//!
//! Whoever wants the sender to look at once sends it one byte: an enqueue of the sender's own process
//! when a batch is full, a `flush` of any process, `close`. A lost ring costs a second, no event.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::spool::{Spool, open_dir, remove_file};

/// A look for full batches waits so long for more of them: one commit takes them all over.
const GATHER: Duration = Duration::from_millis(5);

/// What a ring asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ring {
    /// A look at the journal.
    Look,
    /// A look, and that whatever is found goes at once.
    Flush,
    /// The seat, if the sender's token was refused: there is another one.
    AnotherToken,
}

/// What was heard while waiting, beside the asks for a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Somebody waits in a `flush`.
    pub(crate) flush: bool,
    /// Somebody has another token than the refused one.
    pub(crate) another_token: bool,
}

impl Heard {
    fn add(&mut self, ring: u8) {
        self.flush |= ring == Ring::Flush as u8;
        self.another_token |= ring == Ring::AnotherToken as u8;
    }

    /// A flush.
    pub(crate) const FLUSH: Self = Self {
        flush: true,
        another_token: false,
    };
}

/// The sender's end.
#[derive(Debug)]
pub(crate) struct Doorbell {
    socket: UnixDatagram,
}

impl Doorbell {
    /// Binds the socket, in place of a dead sender's.
    pub(crate) fn hang(spool: &Spool) -> Result<Self> {
        let failed = |e: io::Error| Error::io(spool.wake_socket().display(), e);
        remove_file(&spool.wake_socket())?;
        let (_dir, path) = short_path(spool)?;
        let socket = UnixDatagram::bind(path).map_err(failed)?;
        // Not by the descriptor: chmod of a socket's descriptor does not reach its file.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(spool.wake_socket(), private).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Waits for a ring, at most `timeout`; one that asks for no more than a look waits for others a moment.
    pub(crate) fn wait(&self, timeout: Duration) -> Heard {
        let mut heard = Heard::default();
        let Some(ring) = self.recv(timeout) else {
            return heard;
        };
        heard.add(ring);
        let until = Instant::now() + GATHER;
        while heard == Heard::default() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Some(ring) = self.recv(left) {
                heard.add(ring);
            }
        }
        // The rings that came meanwhile are answered by the same look.
        if self.socket.set_nonblocking(true).is_ok() {
            let mut ring = [0];
            while self.socket.recv(&mut ring).is_ok() {
                heard.add(ring[0]);
            }
            let _ = self.socket.set_nonblocking(false);
        }
        heard
    }

    /// The next ring, if one comes within `timeout`.
    fn recv(&self, timeout: Duration) -> Option<u8> {
        // Zero would mean for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        if self.socket.set_read_timeout(Some(timeout)).is_err() {
            std::thread::sleep(timeout);
            return None;
        }
        let mut ring = [0];
        self.socket.recv(&mut ring).ok().map(|_| ring[0])
    }
}

/// Rings; without a sender nobody hears it.
pub(crate) fn ring(spool: &Spool, ask: Ring) {
    let Ok((_dir, path)) = short_path(spool) else {
        return;
    };
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        let _ = socket.send_to(&[ask as u8], path);
    }
}

/// A path that fits the 108 bytes of a socket address, however deep the spool lies.
fn short_path(spool: &Spool) -> Result<(File, PathBuf)> {
    let dir = open_dir(spool.dir())?;
    let path = if cfg!(target_os = "linux") {
        PathBuf::from(format!("/proc/self/fd/{}/wake", dir.as_raw_fd()))
    } else {
        spool.wake_socket()
    };
    Ok((dir, path))
}
