//! Setting a connection up: names, TCP, the proxy, TLS. What fails here was never sent.
//!
//! Everything that can go wrong before a request's first byte goes wrong inside [`connect`](Connector),
//! TLS included: ureq finishes the handshake before it hands the connection out. So the proof that a
//! request was not sent is an error that carries [`Unconnected`], and nothing else is taken for one: an
//! error nobody thought of counts as sent, which can cost a repeated request and never an event.
//!
//! Names are looked up here and not in ureq's resolver, which is asked before every request even
//! when an open connection is at hand.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout,
    RustlsConnector, Transport, time,
};

use super::line::{Cut, Line};
use super::names::Names;
use super::wording::{self, Peer};

/// No connection came about; the text is for people.
#[derive(Debug)]
pub(super) struct Unconnected(pub(super) String);

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unconnected {}

fn unconnected(why: impl Into<String>) -> Error {
    Error::Other(Box::new(Unconnected(why.into())))
}

/// The whole chain: through the proxy or directly, then TLS where the endpoint asks for it.
pub(super) fn chain(names: Arc<Names>, request_timeout: Duration) -> impl Connector {
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
        .chain(Strict)
}

/// Leaves every look-up to [`Dial`].
#[derive(Debug)]
pub(super) struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// A tunnel through the configured proxy, which sees the endpoint's name and nothing of a TLS request.
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
                return unconnected(wording::of_error(&error));
            };
            let (proxy, target) = (Peer::of(proxy.uri()), Peer::of(details.uri));
            match error {
                Error::Other(cause) if cause.is::<Unconnected>() => {
                    unconnected(format!("proxy: {cause}"))
                }
                Error::ConnectProxyFailed(reason) => unconnected(format!(
                    "proxy {proxy} refused a connection to {target}: {}",
                    wording::of_refusal(&reason)
                )),
                error => unconnected(format!("proxy {proxy}: {}", wording::of_error(&error))),
            }
        })
    }
}

/// A TCP connection, when nobody made one before.
struct Dial {
    names: Arc<Names>,
    request_timeout: Duration,
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Line>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let peer = Peer::of(details.uri);
        let (now, deadline) = (Instant::now(), deadline(details));
        let addresses = self
            .names
            .resolve(&peer.host, peer.port, now, deadline)
            .map_err(|why| unconnected(format!("look up {}: {why}", peer.host)))?;
        let (stream, address) = dial(&addresses, deadline).map_err(|cause| {
            self.names.forget(&peer.host, peer.port);
            unconnected(format!("connect to {peer}: {}", wording::of_io(&cause)))
        })?;
        let line = Line::new(stream, address, deadline, self.request_timeout);
        Ok(Some(Either::B(line)))
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// TLS over whatever connection there is, for an `https` address.
struct Tls {
    rustls: RustlsConnector,
    names: Arc<Names>,
}

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        self.rustls.connect(details, chained).map_err(|error| {
            let peer = Peer::of(details.uri);
            self.names.forget(&peer.host, peer.port);
            unconnected(format!(
                "TLS with {peer}: {}",
                wording::of_handshake(&error)
            ))
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// A TLS connection that ends without saying so was cut, perhaps by somebody between; ureq would take
/// it for the regular end of an answer without a length.
#[derive(Debug)]
struct Strict;

impl<In: Transport> Connector<In> for Strict {
    type Out = Whole<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(Whole))
    }
}

#[derive(Debug)]
struct Whole<T>(T);

impl<T: Transport> Transport for Whole<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout).map_err(|error| match error {
            Error::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => {
                Error::Other(Box::new(Cut))
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

/// Tries one address after the other; each gets half of the time that is left, the last one all of it.
pub(super) fn dial(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> io::Result<(TcpStream, SocketAddr)> {
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
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((stream, *address));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
