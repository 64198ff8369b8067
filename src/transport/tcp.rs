//! One TCP connection beneath ureq's HTTP and TLS, with deadlines for every read and write.
//!
//! ureq gives each phase of a request its own timeout, so a server that sends slowly would get several
//! of them. The connection therefore has two deadlines of its own, and the phase that ureq names
//! selects one: the first is for connecting (proxy and TLS included), the second for the request, from
//! [`Timeout::SendRequest`] to the last byte of its answer.
//!
//! A request's head waits for the first bytes of its body, and both leave by one system call.
//!
//! A server may answer before it has read the whole request, and then stop reading (413 and 401 often
//! come so). After a failed write of a request the answer is therefore still read. The connection is
//! not used again after that.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use secrecy::zeroize::{Zeroize, Zeroizing};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

use crate::process::ClosedInChild;

/// The size of the input buffer: an answer's head has to fit into it.
pub(super) const INPUT_BYTES: usize = 16 * 1024;
/// The size of the output buffer: most requests fit into it, and a TLS record of the largest size.
pub(super) const OUTPUT_BYTES: usize = 32 * 1024;
/// Socket timeouts are rounded up to a multiple of this, so that they need not be set again for every
/// read and write.
const TIMEOUT_STEP: Duration = Duration::from_millis(100);

pub(super) struct TcpConnection {
    stream: ClosedInChild<TcpStream>,
    peer: SocketAddr,
    buffers: LazyBuffers,
    connected_by: Instant,
    request_timeout: Duration,
    answered_by: Instant,
    sending_head: bool,
    /// The head of a request, until its body follows: wiped then, because it holds the bearer token.
    head: Zeroizing<Vec<u8>>,
    peer_stopped_reading: bool,
    /// A part of what had to be sent may have been, so nothing may follow.
    has_failed: bool,
    /// Nobody has looked at the connection since the last byte that was read from it.
    was_just_read: bool,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// The peer cut the connection. This is not `ErrorKind::ConnectionReset`, which ureq takes for the
/// regular end of an answer without a length.
#[derive(Debug)]
pub(super) struct ConnectionCut;

impl fmt::Display for ConnectionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was reset")
    }
}

impl std::error::Error for ConnectionCut {}

impl TcpConnection {
    pub(super) fn new(
        stream: ClosedInChild<TcpStream>,
        peer: SocketAddr,
        connected_by: Instant,
        request_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            peer,
            buffers: LazyBuffers::new(INPUT_BYTES, OUTPUT_BYTES),
            connected_by,
            request_timeout,
            answered_by: connected_by,
            sending_head: false,
            head: Zeroizing::default(),
            peer_stopped_reading: false,
            has_failed: false,
            was_just_read: false,
            read_timeout: None,
            write_timeout: None,
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn time_left(&mut self, timeout: NextTimeout) -> Result<Duration, Error> {
        let now = Instant::now();
        let sending_head = timeout.reason == Timeout::SendRequest;
        if sending_head && !self.sending_head {
            self.answered_by = now + self.request_timeout;
        }
        self.sending_head = sending_head;
        let deadline = match timeout.reason {
            Timeout::Connect => self.connected_by,
            _ => self.answered_by,
        };
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        Ok(rounded_up(left))
    }

    /// Sends the head that waits, if one does, and `amount` bytes of the output buffer.
    fn write_all(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        // A layer above may offer the same bytes again.
        if self.has_failed {
            return Err(Error::Other(Box::new(ConnectionCut)));
        }
        let written = self.try_write_all(amount, timeout);
        self.has_failed = written.is_err();
        written
    }

    fn try_write_all(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let length = self.head.len() + amount;
        let mut written = 0;
        while written < length {
            let left = self.time_left(timeout)?;
            // An application that has closed the connection may have one of its own under the number.
            self.stream.check()?;
            if self.write_timeout != Some(left) {
                self.stream.set_write_timeout(Some(left))?;
                self.write_timeout = Some(left);
            }
            match self.send(written, amount) {
                Ok(0) => return Err(Error::Io(ErrorKind::WriteZero.into())),
                Ok(taken) => written += taken,
                Err(error) if is_retryable(&error) => {}
                Err(error) => return Err(classify(error)),
            }
        }
        self.head.zeroize();
        Ok(())
    }

    /// Sends what the kernel takes at once, behind the first `written` bytes.
    fn send(&mut self, written: usize, amount: usize) -> io::Result<usize> {
        let head = self.head.get(written..).unwrap_or_default();
        let behind_head = written.saturating_sub(self.head.len());
        let body = &self.buffers.output()[behind_head..amount];
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        let none = &mut SendAncillaryBuffer::default();
        sendmsg(&*self.stream, &parts, none, SendFlags::NOSIGNAL).map_err(io::Error::from)
    }

    /// Sends a request's bytes. The server may have stopped reading: its answer is still read.
    fn write_request(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        match self.write_all(amount, timeout) {
            Err(Error::Other(cause)) if cause.is::<ConnectionCut>() => {
                self.head.zeroize();
                self.peer_stopped_reading = true;
                Ok(())
            }
            other => other,
        }
    }
}

impl Transport for TcpConnection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.peer_stopped_reading {
            return Ok(());
        }
        match timeout.reason {
            Timeout::SendRequest => {
                self.time_left(timeout)?;
                // To grow in place would leave a copy that nothing wipes.
                let parts = [&self.head[..], &self.buffers.output()[..amount]];
                self.head = Zeroizing::new(parts.concat());
                Ok(())
            }
            Timeout::SendBody => self.write_request(amount, timeout),
            _ => self.write_all(amount, timeout),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if !self.head.is_empty() {
            // No body has followed it.
            self.write_request(0, timeout)?;
        }
        loop {
            let left = self.time_left(timeout)?;
            self.stream.check()?;
            if self.read_timeout != Some(left) {
                self.stream.set_read_timeout(Some(left))?;
                self.read_timeout = Some(left);
            }
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    self.was_just_read = amount > 0;
                    return Ok(amount > 0);
                }
                Err(error) if is_retryable(&error) => {}
                Err(error) => return Err(classify(error)),
            }
        }
    }

    /// Whether an idle connection can be used again: neither unexpected bytes nor its end wait in it.
    fn is_open(&mut self) -> bool {
        // ureq asks when it puts a connection aside, and again before it uses it: the second look counts.
        if std::mem::take(&mut self.was_just_read) {
            return !self.has_failed;
        }
        let mut byte = [0];
        let peeked = recv(
            &*self.stream,
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        !self.has_failed
            && matches!(peeked, Err(rustix::io::Errno::AGAIN))
            && self.stream.check().is_ok()
    }
}

impl fmt::Debug for TcpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpConnection").field(&self.peer).finish()
    }
}

fn rounded_up(left: Duration) -> Duration {
    let steps = left.as_nanos().div_ceil(TIMEOUT_STEP.as_nanos());
    u32::try_from(steps).map_or(left, |steps| TIMEOUT_STEP.saturating_mul(steps))
}

/// Whether the error is a signal or a socket timeout. `time_left` then decides about the deadline.
fn is_retryable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

fn classify(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Error::Other(Box::new(ConnectionCut))
        }
        _ => Error::Io(error),
    }
}
