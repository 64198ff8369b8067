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

use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection instead of its next answer.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The peer sees "connection reset".
    Reset,
    /// The peer sees the end of the stream.
    Close,
    /// The peer sees these bytes.
    Raw { bytes: Bytes, then: Then },
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
        if this.sealed.is_none() {
            this.sealed = this.peer.take_fate();
        }
        match &mut this.sealed {
            None => Pin::new(&mut this.stream).poll_write(context, answer),
            Some(Fate::Reset) => {
                this.stream.set_zero_linger()?;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Some(Fate::Close) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Some(Fate::Raw { bytes, then }) => {
                while !bytes.is_empty() {
                    let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
                    let _ = bytes.split_to(written);
                }
                match then {
                    Then::Close => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    Then::KeepOpen => {
                        this.sealed = None;
                        Poll::Ready(Ok(answer.len()))
                    }
                }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
