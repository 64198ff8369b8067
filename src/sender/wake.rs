//! How the sender is woken: a datagram socket in the spool.
//!
//! To have the sender look at once, a process sends it one byte: an enqueue of the sender's own
//! process when a batch is full, a `flush` of any process, `close`. A lost byte costs a second, no
//! event.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};

use super::election::Election;
use crate::error::Result;
use crate::process::ClosedInChild;
use crate::spool::{Dir, Spool};

const NAME: &str = "wake";
/// A look for full batches waits so long for more of them: one commit takes them all over.
const GATHER: Duration = Duration::from_millis(5);

/// What the sender is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// A look at the journal.
    Look,
    /// A look, and that whatever is found goes at once.
    Flush,
    /// The same, and that a pause is probed unless it was just probed.
    TryAgain,
    /// That it gives the election up, if its token was refused: there is another one.
    AnotherToken,
}

/// What the sender was woken for while it waited, besides a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reasons {
    /// Somebody waits in a `flush`.
    pub(super) flush: bool,
    /// Somebody asks to try again in spite of a pause.
    pub(super) try_again: bool,
    /// Somebody has another token than the refused one.
    pub(super) another_token: bool,
}

impl Reasons {
    /// A flush.
    pub(super) const FLUSH: Self = Self {
        flush: true,
        try_again: false,
        another_token: false,
    };

    fn add(&mut self, wake: u8) {
        self.flush |= wake == Wake::Flush as u8 || wake == Wake::TryAgain as u8;
        self.try_again |= wake == Wake::TryAgain as u8;
        self.another_token |= wake == Wake::AnotherToken as u8;
    }
}

/// The sender's end.
#[derive(Debug)]
pub(super) struct WakeSocket {
    /// `None`: a process without `/proc`, as in a chroot, can make none. It looks every second.
    socket: Option<ClosedInChild<UnixDatagram>>,
}

impl WakeSocket {
    /// Binds the socket, in place of a dead sender's: only the elected one may.
    pub(super) fn bind(spool: &Spool, _election: &Election) -> Result<Self> {
        let dir = spool.held_dir()?;
        let failed = |e: io::Error| dir.error(NAME, e);
        dir.remove(NAME).map_err(failed)?;
        let socket = match UnixDatagram::bind(short_path(&dir).map_err(failed)?) {
            Ok(socket) => ClosedInChild::new(socket),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self { socket: None }),
            Err(e) => return Err(failed(e)),
        };
        // Not by the descriptor: chmod of a socket's descriptor does not reach its file.
        dir.make_socket_private(NAME).map_err(failed)?;
        Ok(Self {
            socket: Some(socket),
        })
    }

    /// Whether the application has not closed it.
    pub(super) fn is_open(&self) -> bool {
        self.socket.is_none() || self.own().is_some()
    }

    /// The socket, unless the application has closed it: then it may have a socket of its own there.
    fn own(&self) -> Option<&UnixDatagram> {
        let socket = self.socket.as_ref();
        socket.filter(|own| own.check().is_ok()).map(|own| &**own)
    }

    /// Waits to be woken, at most `timeout`. If a look is all that is asked for, it waits for more a
    /// moment.
    pub(super) fn wait(&self, timeout: Duration) -> Reasons {
        let mut reasons = Reasons::default();
        let Some(wake) = self.receive(timeout) else {
            return reasons;
        };
        reasons.add(wake);
        let until = Instant::now() + GATHER;
        while reasons == Reasons::default() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Some(wake) = self.receive(left) {
                reasons.add(wake);
            }
        }
        // The same look answers all that came meanwhile.
        let mut wake = [0];
        while let Some(socket) = self.own()
            && recv(socket, &mut wake, RecvFlags::DONTWAIT).is_ok()
        {
            reasons.add(wake[0]);
        }
        reasons
    }

    /// The next byte, if one comes within `timeout`.
    fn receive(&self, timeout: Duration) -> Option<u8> {
        // Zero would mean for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        let own = self.own();
        let ready = own.filter(|own| own.set_read_timeout(Some(timeout)).is_ok());
        let Some(socket) = ready else {
            std::thread::sleep(timeout);
            return None;
        };
        let mut wake = [0];
        socket.recv(&mut wake).ok().map(|_| wake[0])
    }
}

/// Wakes the sender; without a sender nobody hears it.
pub(super) fn send(spool: &Spool, wake: Wake) {
    // What else has the name is not written to.
    let Ok(dir) = spool.held_dir() else {
        return;
    };
    if !dir.is_socket(NAME) {
        return;
    }
    let Ok(path) = short_path(&dir) else {
        return;
    };
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        let _ = socket.send_to(&[wake as u8], path);
    }
}

/// A path that fits the 108 bytes of a socket address, however deep the spool lies.
fn short_path(dir: &Dir) -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        // Each thread may have descriptors of its own.
        let number = dir.as_file()?.as_raw_fd();
        Ok(PathBuf::from(format!(
            "/proc/thread-self/fd/{number}/{NAME}"
        )))
    } else {
        Ok(dir.path(NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::tests::new_spool;
    use std::sync::Arc;

    #[test]
    fn a_socket_of_the_application_that_has_the_number_of_the_wake_socket_is_not_read() {
        let (_parent, spool) = new_spool();
        let spool = Arc::new(spool);
        let election = Election::try_win(&spool).unwrap().unwrap();
        let wake = WakeSocket::bind(&spool, &election).unwrap();
        let number = wake.own().unwrap().as_raw_fd();
        let (of_application, peer) = UnixDatagram::pair().unwrap();
        peer.send(b"for the application").unwrap();
        // SAFETY: puts a socket in the place of the library's, as an application may.
        let taken = unsafe { libc::dup2(of_application.as_raw_fd(), number) };
        assert_eq!(taken, number);

        assert!(!wake.is_open());
        assert_eq!(wake.wait(Duration::from_millis(1)), Reasons::default());
        let again = WakeSocket::bind(&spool, &election).unwrap();
        drop(wake);
        send(&spool, Wake::Flush);
        assert_eq!(again.wait(Duration::from_secs(10)), Reasons::FLUSH);

        assert_eq!(of_application.read_timeout().unwrap(), None);
        let mut received = [0; 64];
        let length = of_application.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"for the application");
        // SAFETY: closes what this test has put there; it is still open.
        assert_eq!(unsafe { libc::close(number) }, 0);
    }
}
