//! A listener that limits what its clients can do: few connections at a time, and none that stalls in its request.
//!
//! Nobody waits because of clients that do nothing. A request's head has a deadline, and if there are as many
//! connections as may be, the oldest one that has begun a head makes room for the next; without such a one, the oldest
//! that waits for nothing, or whose answer goes on without a byte that is ready. One with bytes to send never does.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// What the clients of a listener may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The number of connections at a time, apart from those that are being answered.
    pub connections: usize,
    /// How long the head of a request may take, from the start of its connection or from its first byte.
    pub head: Duration,
    /// How long a connection may stay open after its last answer; `None`: as long as its client likes.
    pub idle: Option<Duration>,
}

/// Accepts connections within [`Limits`].
pub struct LimitedListener {
    tcp: TcpListener,
    limits: Limits,
    open: Arc<OpenConnections>,
}

impl LimitedListener {
    /// Limits the clients of `tcp`.
    pub fn new(tcp: TcpListener, limits: Limits) -> Self {
        Self {
            tcp,
            limits,
            open: Arc::default(),
        }
    }
}

impl Listener for LimitedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.tcp).await;
        let (closing, closed) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(IN_HEAD));
        let connection = Connection {
            stream,
            limits: self.limits,
            deadline: Some(Box::pin(sleep(self.limits.head))),
            head: Head::default(),
            has_begun: true,
            stage: Arc::clone(&stage),
            closed: Some(closed),
            open: Arc::clone(&self.open),
        };
        self.open.add(
            Slot {
                stage,
                _closing: closing,
            },
            self.limits.connections,
        );
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A stage of a connection: the head of a request is not whole. Such a one makes room first.
const IN_HEAD: u8 = 0;
/// All that there was of an answer has been sent: another request may follow, or the rest of the answer.
const SENT: u8 = 1;
/// The whole head of a request is there, or a part of an answer waits for its reader. Makes no room.
const ANSWERED: u8 = 2;

/// The connections of a listener, the oldest first.
#[derive(Default)]
struct OpenConnections(Mutex<VecDeque<Slot>>);

struct Slot {
    stage: Arc<AtomicU8>,
    /// Closes the connection when it is dropped.
    _closing: oneshot::Sender<()>,
}

impl OpenConnections {
    fn add(&self, slot: Slot, most: usize) {
        let mut slots = self.lock();
        if slots.len() >= most {
            let oldest = |stage| {
                let is_there = |slot: &Slot| slot.stage.load(Ordering::Relaxed) == stage;
                slots.iter().position(is_there)
            };
            let oldest = oldest(IN_HEAD).or_else(|| oldest(SENT));
            drop(oldest.and_then(|oldest| slots.remove(oldest)));
        }
        slots.push_back(slot);
    }

    fn remove(&self, connection: &Arc<AtomicU8>) {
        let is_other = |slot: &Slot| !Arc::ptr_eq(&slot.stage, connection);
        self.lock().retain(is_other);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is closed when it stalls in its request, or has to make room.
pub struct Connection {
    stream: TcpStream,
    limits: Limits,
    deadline: Option<Pin<Box<Sleep>>>,
    head: Head,
    /// The deadline is that of a head.
    has_begun: bool,
    stage: Arc<AtomicU8>,
    /// Ends when the connection has to make room; `None` once it has.
    closed: Option<oneshot::Receiver<()>>,
    open: Arc<OpenConnections>,
}

impl Connection {
    /// The socket, for its options.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn check_limits(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let closed = self.closed.as_mut();
        if closed.is_none_or(|closed| Pin::new(closed).poll(context).is_ready()) {
            self.closed = None;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let deadline = self.deadline.as_mut();
        match deadline.is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }

    fn set_deadline(&mut self, limit: Option<Duration>) {
        self.deadline = limit.map(|limit| Box::pin(sleep(limit)));
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.stage.load(Ordering::Relaxed) == ANSWERED {
            return;
        }
        if self.head.ends_in(bytes) {
            self.stage.store(ANSWERED, Ordering::Relaxed);
            self.has_begun = false;
            self.set_deadline(self.limits.idle);
        } else if !self.has_begun {
            self.has_begun = true;
            self.stage.store(IN_HEAD, Ordering::Relaxed);
            self.set_deadline(Some(self.limits.head));
        }
    }

    fn note_written(&mut self) {
        self.stage.store(SENT, Ordering::Relaxed);
        self.head = Head::default();
        self.has_begun = false;
        match (&mut self.deadline, self.limits.idle) {
            (Some(deadline), Some(idle)) => deadline.as_mut().reset(Instant::now() + idle),
            _ => self.set_deadline(self.limits.idle),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.remove(&self.stage);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_limits(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note_read(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        answer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_limits(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, answer);
        match written {
            // Its body follows, and is no head.
            Poll::Ready(Ok(_)) if answer.starts_with(b"HTTP/1.1 100") => {}
            Poll::Ready(Ok(_)) => self.note_written(),
            Poll::Pending => self.stage.store(ANSWERED, Ordering::Relaxed),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Looks for the empty line that ends the head of a request, in pieces of any size.
#[derive(Default)]
struct Head {
    /// The line has no byte so far.
    line_is_empty: bool,
}

impl Head {
    fn ends_in(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            match byte {
                b'\n' if self.line_is_empty => return true,
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_in_pieces_of_any_size() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for size in 1..=head.len() {
            let mut seen = Head::default();
            let pieces: Vec<bool> = head.chunks(size).map(|piece| seen.ends_in(piece)).collect();
            assert!(pieces.ends_with(&[true]), "{size}");
            assert_eq!(pieces.iter().filter(|ended| **ended).count(), 1, "{size}");
        }
        assert!(!Head::default().ends_in(&head[..head.len() - 1]));
    }
}
