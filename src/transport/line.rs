//! One TCP connection, under ureq's HTTP and under TLS: where every byte passes and every wait ends.
//!
//! ureq gives each phase of a request its own time and hands on "what is left of this phase"; a server
//! that drips would be given several of them. So the line keeps two deadlines of its own, told apart
//! by the phase that ureq names: one for setting the connection up (proxy and TLS included), one for the
//! request that begins with [`Timeout::SendRequest`] and ends with the last byte of its answer.
//!
//! A peer that stops reading may have answered first (413 and 401 come so): a failed write of
//! a request is therefore not the end, the answer is still read. The line is then never used again.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

/// Takes an answer's head whole; longer heads are refused.
pub(super) const INPUT_BYTES: usize = 16 * 1024;
/// Takes most requests in one write, and a TLS record of the largest size with its frame.
pub(super) const OUTPUT_BYTES: usize = 32 * 1024;
/// Socket timeouts are rounded up to this, which saves setting them again for every read and write.
const TIMEOUT_STEP: Duration = Duration::from_millis(100);

pub(super) struct Line {
    stream: TcpStream,
    peer: SocketAddr,
    buffers: LazyBuffers,
    set_up_by: Instant,
    request_timeout: Duration,
    answered_by: Instant,
    sending_head: bool,
    peer_stopped_reading: bool,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// The peer cut the connection; kept apart from `ErrorKind::ConnectionReset`, which ureq takes for the
/// regular end of an answer without a length.
#[derive(Debug)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was reset")
    }
}

impl std::error::Error for Cut {}

impl Line {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        set_up_by: Instant,
        request_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            peer,
            buffers: LazyBuffers::new(INPUT_BYTES, OUTPUT_BYTES),
            set_up_by,
            request_timeout,
            answered_by: set_up_by,
            sending_head: false,
            peer_stopped_reading: false,
            read_timeout: None,
            write_timeout: None,
        }
    }

    fn left(&mut self, timeout: NextTimeout) -> Result<Duration, Error> {
        let now = Instant::now();
        let sending_head = timeout.reason == Timeout::SendRequest;
        if sending_head && !self.sending_head {
            self.answered_by = now + self.request_timeout;
        }
        self.sending_head = sending_head;
        let deadline = match timeout.reason {
            Timeout::Connect => self.set_up_by,
            _ => self.answered_by,
        };
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(Error::Timeout(timeout.reason));
        }
        Ok(rounded_up(left))
    }

    fn write_all(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let flags = SendFlags::NOSIGNAL | behind(timeout.reason);
        let mut written = 0;
        while written < amount {
            let left = self.left(timeout)?;
            if self.write_timeout != Some(left) {
                self.stream.set_write_timeout(Some(left))?;
                self.write_timeout = Some(left);
            }
            let bytes = &self.buffers.output()[written..amount];
            match send(&self.stream, bytes, flags).map_err(io::Error::from) {
                Ok(0) => return Err(Error::Io(ErrorKind::WriteZero.into())),
                Ok(taken) => written += taken,
                Err(error) if may_go_on(&error) => {}
                Err(error) => return Err(named(error)),
            }
        }
        Ok(())
    }
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.peer_stopped_reading {
            return Ok(());
        }
        let of_a_request = matches!(timeout.reason, Timeout::SendRequest | Timeout::SendBody);
        match self.write_all(amount, timeout) {
            Err(Error::Other(cause)) if of_a_request && cause.is::<Cut>() => {
                self.peer_stopped_reading = true;
                Ok(())
            }
            other => other,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        loop {
            let left = self.left(timeout)?;
            if self.read_timeout != Some(left) {
                self.stream.set_read_timeout(Some(left))?;
                self.read_timeout = Some(left);
            }
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if may_go_on(&error) => {}
                Err(error) => return Err(named(error)),
            }
        }
    }

    /// Nothing may be waiting on an idle line: neither bytes that nobody asked for, nor its end.
    fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let peeked = recv(
            &self.stream,
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        !self.peer_stopped_reading && matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.peer).finish()
    }
}

/// A body follows each head at once, so they can share a packet, and the server wakes once for both.
fn behind(phase: Timeout) -> SendFlags {
    match phase {
        #[cfg(target_os = "linux")]
        Timeout::SendRequest => SendFlags::MORE,
        _ => SendFlags::empty(),
    }
}

fn rounded_up(left: Duration) -> Duration {
    let steps = left.as_nanos().div_ceil(TIMEOUT_STEP.as_nanos());
    u32::try_from(steps).map_or(left, |steps| TIMEOUT_STEP.saturating_mul(steps))
}

/// A signal, or a socket timeout: `left` decides whether the time is really over.
fn may_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

fn named(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Error::Other(Box::new(Cut))
        }
        _ => Error::Io(error),
    }
}
