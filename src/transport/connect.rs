//! Connecting: host name, TCP, proxy, TLS. A request that fails here was never sent.
//!
//! Every failure before a request's first byte happens inside [`connect`](Connector), TLS included,
//! because ureq finishes the handshake before it hands the connection out. An error that carries
//! [`ConnectFailed`] therefore proves that the request was not sent. Every other error counts as sent:
//! that can cost a repeated request, but never an event.
//!
//! Names are looked up here and not in ureq's resolver, which ureq calls before every request even if
//! an open connection is available.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout,
    RustlsConnector, Transport, time,
};

use super::names::NameCache;
use super::tcp::{ConnectionCut, TcpConnection};
use super::wording::{self, Peer};
use crate::process::OwnDescriptor;

/// No connection was made; the text says why, for people.
#[derive(Debug)]
pub(super) struct ConnectFailed(pub(super) String);

impl fmt::Display for ConnectFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConnectFailed {}

fn connect_failed(why: impl Into<String>) -> Error {
    Error::Other(Box::new(ConnectFailed(why.into())))
}

/// The whole chain: through the proxy or directly, then TLS if the endpoint is `https`.
pub(super) fn chain(names: Arc<NameCache>, request_timeout: Duration) -> impl Connector {
    let dial = Dial {
        names: Arc::clone(&names),
        request_timeout,
    };
    let tls = Tls {
        rustls: RustlsConnector::default(),
        names,
    };
    ().chain(Proxied(ConnectProxyConnector::default()))
        .chain(dial)
        .chain(tls)
        .chain(RequireCloseNotify)
}

/// Resolves nothing, because [`Dial`] looks names up.
#[derive(Debug)]
pub(super) struct DeferredResolver;

impl Resolver for DeferredResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// A tunnel through the configured proxy, which sees the name of the endpoint and nothing of a
/// request over TLS.
#[derive(Debug)]
struct Proxied(ConnectProxyConnector);

impl Connector<()> for Proxied {
    type Out = <ConnectProxyConnector as Connector<()>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained).map_err(|error| {
            let Some(proxy) = details.config.proxy() else {
                return connect_failed(wording::describe(&error));
            };
            let (proxy, target) = (Peer::from_uri(proxy.uri()), Peer::from_uri(details.uri));
            match error {
                Error::Other(cause) if cause.is::<ConnectFailed>() => {
                    connect_failed(format!("proxy: {cause}"))
                }
                Error::ConnectProxyFailed(reason) => connect_failed(format!(
                    "proxy {proxy} refused a connection to {target}: {}",
                    wording::describe_proxy_refusal(&reason)
                )),
                error => connect_failed(format!("proxy {proxy}: {}", wording::describe(&error))),
            }
        })
    }
}

/// A TCP connection, unless an earlier connector made one.
struct Dial {
    names: Arc<NameCache>,
    request_timeout: Duration,
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, TcpConnection>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let peer = Peer::from_uri(details.uri);
        let (now, deadline) = (Instant::now(), deadline(details));
        let addresses = self
            .names
            .resolve(&peer.host, peer.port, now, deadline)
            .map_err(|why| connect_failed(format!("look up {}: {why}", peer.host)))?;
        let (stream, address) = dial(&addresses, deadline).map_err(|cause| {
            self.names.forget(&peer.host, peer.port);
            connect_failed(format!(
                "connect to {peer}: {}",
                wording::describe_io(&cause)
            ))
        })?;
        let connection = TcpConnection::new(stream, address, deadline, self.request_timeout);
        Ok(Some(Either::B(connection)))
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// TLS over the connection, for an `https` address.
struct Tls {
    rustls: RustlsConnector,
    names: Arc<NameCache>,
}

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        self.rustls.connect(details, chained).map_err(|error| {
            let peer = Peer::from_uri(details.uri);
            self.names.forget(&peer.host, peer.port);
            connect_failed(format!(
                "TLS with {peer}: {}",
                wording::describe_handshake(&error)
            ))
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Treats a TLS connection that ends without a `close_notify` as cut, perhaps by an attacker. ureq
/// would take that for the regular end of an answer without a length.
#[derive(Debug)]
struct RequireCloseNotify;

impl<In: Transport> Connector<In> for RequireCloseNotify {
    type Out = CloseNotifyRequired<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(CloseNotifyRequired))
    }
}

#[derive(Debug)]
struct CloseNotifyRequired<T>(T);

impl<T: Transport> Transport for CloseNotifyRequired<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout).map_err(|error| match error {
            Error::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => {
                Error::Other(Box::new(ConnectionCut))
            }
            error => error,
        })
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

fn deadline(details: &ConnectionDetails) -> Instant {
    let time::Instant::Exact(start) = details.now else {
        return Instant::now();
    };
    start.checked_add(*details.timeout.after).unwrap_or(start)
}

/// Tries one address after another. Each gets half of the time that is left, and the last one all.
pub(super) fn dial(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> io::Result<(OwnDescriptor<TcpStream>, SocketAddr)> {
    let mut failure = io::Error::from(ErrorKind::TimedOut);
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = if tried + 1 == addresses.len() {
            left
        } else {
            left / 2
        };
        if share.is_zero() {
            break;
        }
        match connect(address, share) {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Connects, as `TcpStream::connect_timeout` does. That one goes on with the number of its descriptor after it
/// has waited, and the application may have a connection of its own there by then.
fn connect(address: &SocketAddr, timeout: Duration) -> io::Result<OwnDescriptor<TcpStream>> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, CLOSED_ON_EXEC, None)?;
    let stream = OwnDescriptor::new(TcpStream::from(socket));
    stream.set_nonblocking(true)?;
    match rustix::net::connect(&*stream, address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => wait_until_connected(&stream, timeout)?,
        Err(e) => return Err(e.into()),
    }
    stream.check()?;
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn wait_until_connected(stream: &OwnDescriptor<TcpStream>, timeout: Duration) -> io::Result<()> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&**stream, PollFlags::OUT)];
        match poll(&mut polled, Some(&left)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => {
                stream.check()?;
                return stream.take_error()?.map_or(Ok(()), Err);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(not(target_vendor = "apple"))]
const CLOSED_ON_EXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const CLOSED_ON_EXEC: SocketFlags = SocketFlags::empty();
