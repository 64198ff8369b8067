//! Connections that can misbehave: be reset, be closed without an answer, or carry other bytes.
//!
//! axum's HTTP server writes correct answers only. To send something else, the handler of a request
//! leaves a [`Substitute`] with the connection and returns any answer. When the server writes that
//! answer, the connection carries out the substitute instead, so that no byte of the answer is
//! sent. A reset is a real one: the socket is closed with a linger time of zero, and the kernel
//! sends RST.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};

use super::limits::{self, LimitedListener, Limits};

static FILLER: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// What a connection does instead of writing its next answer.
#[derive(Debug, Clone)]
pub(crate) enum Substitute {
    /// The peer sees "connection reset".
    Reset,
    /// The peer sees the end of the stream.
    Close,
    /// The peer receives other bytes.
    Raw(RawBytes),
}

/// Bytes that HTTP may not allow.
#[derive(Debug, Clone)]
pub(crate) struct RawBytes {
    pub bytes: Bytes,
    /// How many spaces follow `bytes`.
    pub filler_bytes: usize,
    /// If set, `bytes` are sent one at a time, with this delay before each.
    pub delay_per_byte: Option<Duration>,
    pub after: AfterRaw,
}

/// What happens to a connection after raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterRaw {
    Close,
    KeepOpen,
}

/// The peer of a connection. A substitute for the next answer is left here.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The number of the connection, from 1.
    pub connection: u64,
    pub address: SocketAddr,
    substitute: Arc<Mutex<Option<Substitute>>>,
}

impl Peer {
    /// Replaces the answer that the server writes next.
    pub(crate) fn replace_next_answer(&self, substitute: Substitute) {
        *self.lock_substitute() = Some(substitute);
    }

    fn take_substitute(&self) -> Option<Substitute> {
        self.lock_substitute().take()
    }

    fn lock_substitute(&self) -> std::sync::MutexGuard<'_, Option<Substitute>> {
        self.substitute
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections and counts them.
pub(crate) struct CountingListener {
    tcp: LimitedListener,
    accepted: u64,
}

/// Clients may keep connections open, for the page and for later requests, but not stop in the middle of a head.
const LIMITS: Limits = Limits {
    connections: 512,
    head: Duration::from_secs(10),
    idle: None,
};

impl CountingListener {
    pub(crate) fn new(tcp: TcpListener) -> Self {
        Self {
            tcp: LimitedListener::new(tcp, LIMITS),
            accepted: 0,
        }
    }
}

impl Listener for CountingListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.tcp).await;
        // Otherwise a small answer may wait for the peer's delayed ACK. If this fails, the peer has
        // gone, and the first read says so.
        let _ = stream.stream().set_nodelay(true);
        self.accepted += 1;
        let peer = Peer {
            connection: self.accepted,
            address,
            substitute: Arc::default(),
        };
        (
            Connection {
                stream,
                peer,
                unfinished: None,
                delay: None,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Connected<IncomingStream<'_, CountingListener>> for Peer {
    fn connect_info(incoming: IncomingStream<'_, CountingListener>) -> Self {
        incoming.io().peer.clone()
    }
}

/// A TCP stream whose next write may be replaced.
pub(crate) struct Connection {
    stream: limits::Connection,
    peer: Peer,
    /// The substitute that is being carried out.
    unfinished: Option<Substitute>,
    /// The delay before the next byte of raw bytes.
    delay: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// Carries out a substitute. Returns `Ok` only when the substitute has ended and left the
    /// connection open; `answer` then counts as written.
    fn poll_substitute(
        &mut self,
        context: &mut Context<'_>,
        substitute: &mut Substitute,
        answer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match substitute {
            Substitute::Reset => {
                self.stream.stream().set_zero_linger()?;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Substitute::Close => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Substitute::Raw(raw) => {
                ready!(self.poll_write_raw(context, raw))?;
                match raw.after {
                    AfterRaw::Close => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    AfterRaw::KeepOpen => Poll::Ready(Ok(answer.len())),
                }
            }
        }
    }

    fn poll_write_raw(
        &mut self,
        context: &mut Context<'_>,
        raw: &mut RawBytes,
    ) -> Poll<io::Result<()>> {
        while !raw.bytes.is_empty() {
            let mut piece = raw.bytes.len();
            if let Some(time) = raw.delay_per_byte {
                let delay = self.delay.get_or_insert_with(|| Box::pin(sleep(time)));
                ready!(delay.as_mut().poll(context));
                piece = 1;
            }
            let written = ready!(self.poll_write_stream(context, &raw.bytes[..piece]))?;
            self.delay = None;
            let _ = raw.bytes.split_to(written);
        }
        while raw.filler_bytes > 0 {
            let piece = &FILLER[..raw.filler_bytes.min(FILLER.len())];
            raw.filler_bytes -= ready!(self.poll_write_stream(context, piece))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_stream(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    // `is_write_vectored` stays false, the trait's default. The server then writes an answer
    // without a body in a single call, so that one substitute replaces all of it.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        answer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let substitute = this
            .unfinished
            .take()
            .or_else(|| this.peer.take_substitute());
        let Some(mut substitute) = substitute else {
            return this.poll_write_stream(context, answer);
        };
        let written = this.poll_substitute(context, &mut substitute, answer);
        if !matches!(written, Poll::Ready(Ok(_))) {
            this.unfinished = Some(substitute);
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
