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
use std::io::ErrorKind;
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

use super::dial::dial;
use super::names::NameCache;
use super::tcp::{ConnectionCut, TcpConnection};
use super::wording::{self, Peer};

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
        self.names.prefer(&peer.host, peer.port, address);
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
