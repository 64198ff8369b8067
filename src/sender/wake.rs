//! The sender's doorbell: a datagram socket in the spool.
//!
//! Whoever wants the sender to look at once sends it one byte: an enqueue of the sender's own process
//! when a batch is full, a `flush` of any process, `close`. A lost ring costs a second, no event.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::spool::{Spool, open_dir, remove_file};

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
        let failed = |e: io::Error| Error::io(spool.wake().display(), e);
        remove_file(&spool.wake())?;
        let (_dir, path) = short_path(spool)?;
        let socket = UnixDatagram::bind(path).map_err(failed)?;
        // Not by the descriptor: chmod of a socket's descriptor does not reach its file.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(spool.wake(), private).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Waits for a ring, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Heard {
        // Zero would mean for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        let mut ring = [0];
        let mut heard = Heard::default();
        if self.socket.set_read_timeout(Some(timeout)).is_err() {
            std::thread::sleep(timeout);
            return heard;
        }
        if self.socket.recv(&mut ring).is_err() {
            return heard;
        }
        loop {
            heard.flush |= ring[0] == Ring::Flush as u8;
            heard.another_token |= ring[0] == Ring::AnotherToken as u8;
            // The rings that came meanwhile are answered by the same look.
            let more =
                self.socket.set_nonblocking(true).is_ok() && self.socket.recv(&mut ring).is_ok();
            let _ = self.socket.set_nonblocking(false);
            if !more {
                return heard;
            }
        }
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
        spool.wake()
    };
    Ok((dir, path))
}
