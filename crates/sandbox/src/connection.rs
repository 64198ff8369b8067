//! Connections that can be made to misbehave: reset, closed without an answer, or sent other bytes.
//!
//! The HTTP server above writes honest answers only. To break one, whoever handles the request leaves
//! a [`Fate`] with the connection and lets the server send a stand-in answer; the connection meets its
//! fate at that write, so nothing of the stand-in reaches the wire. A reset is a real one: the
//! socket is closed with a zero linger time, and the kernel sends RST.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

static FILLER: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// What happens to a connection instead of its next answer.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The peer sees "connection reset".
    Reset,
    /// The peer sees the end of the stream.
    Close,
    /// The peer sees other bytes.
    Raw(Raw),
}

/// Bytes that HTTP may not allow.
#[derive(Debug, Clone)]
pub struct Raw {
    pub bytes: Bytes,
    /// So many spaces behind them.
    pub filler_bytes: usize,
    /// One byte of `bytes` at a time, with this long before each.
    pub every: Option<Duration>,
    pub then: Then,
}

/// What follows bytes that were sent raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Close,
    KeepOpen,
}

/// Who is at the other end of a connection, and the way to seal its fate.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Connections are counted from 1.
    pub connection: u64,
    pub address: SocketAddr,
    fate: Arc<Mutex<Option<Fate>>>,
}

impl Peer {
    /// Replaces the answer that the server is about to write.
    pub fn meets(&self, fate: Fate) {
        *self.fate.lock().unwrap_or_else(PoisonError::into_inner) = Some(fate);
    }

    fn take_fate(&self) -> Option<Fate> {
        self.fate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Accepts connections and counts them.
pub struct CountingListener {
    tcp: TcpListener,
    accepted: u64,
}

impl CountingListener {
    pub fn new(tcp: TcpListener) -> Self {
        Self { tcp, accepted: 0 }
    }
}

impl Listener for CountingListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.tcp).await;
        // Without it a small answer may wait for the peer's delayed ACK; a peer that is gone shows at the first read.
        let _ = stream.set_nodelay(true);
        self.accepted += 1;
        let peer = Peer {
            connection: self.accepted,
            address,
            fate: Arc::default(),
        };
        (
            Connection {
                stream,
                peer,
                sealed: None,
                pause: None,
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
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    sealed: Option<Fate>,
    /// Before the next byte of an answer that comes slowly.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// Only a fate that leaves the connection open is over when it is ready.
    fn poll_meet(
        &mut self,
        context: &mut Context<'_>,
        fate: &mut Fate,
        answer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match fate {
            Fate::Reset => {
                self.stream.set_zero_linger()?;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Fate::Close => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Fate::Raw(raw) => {
                ready!(self.poll_write_raw(context, raw))?;
                match raw.then {
                    Then::Close => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    Then::KeepOpen => Poll::Ready(Ok(answer.len())),
                }
            }
        }
    }

    fn poll_write_raw(&mut self, context: &mut Context<'_>, raw: &mut Raw) -> Poll<io::Result<()>> {
        while !raw.bytes.is_empty() {
            let mut piece = raw.bytes.len();
            if let Some(every) = raw.every {
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(every)));
                ready!(pause.as_mut().poll(context));
                piece = 1;
            }
            let written = ready!(self.poll_write_plainly(context, &raw.bytes[..piece]))?;
            self.pause = None;
            let _ = raw.bytes.split_to(written);
        }
        while raw.filler_bytes > 0 {
            let piece = &FILLER[..raw.filler_bytes.min(FILLER.len())];
            raw.filler_bytes -= ready!(self.poll_write_plainly(context, piece))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_plainly(
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
    // The server is told that writes are not vectored (the trait's default), so that an answer without
    // a body is one write: what makes `Then::KeepOpen` swallow the whole stand-in.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        answer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(mut fate) = this.sealed.take().or_else(|| this.peer.take_fate()) else {
            return this.poll_write_plainly(context, answer);
        };
        let written = this.poll_meet(context, &mut fate, answer);
        if !matches!(written, Poll::Ready(Ok(_))) {
            this.sealed = Some(fate);
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
