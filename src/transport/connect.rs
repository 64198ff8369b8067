//! Connecting: host name, TCP, proxy, TLS. A request that fails here was never sent.
//!
//! Every failure before a request's first byte happens inside [`connect`](Connector), TLS included,
//! because ureq finishes the handshake before it hands the connection out. An error that carries
//! [`ConnectFailed`] therefore proves that the request was not sent. Every other error counts as sent:
//! that can cost a repeated request, but never an event.
//!
//! Names are looked up here and not in ureq's resolver, which ureq calls before every request even if
//! an open connection is available.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector,
    Transport, time,
};

use super::dial::dial;
use super::guard::Guard;
use super::names::NameCache;
use super::roots::Roots;
use super::tcp::TcpConnection;
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

pub(super) fn connect_failed(why: impl Into<String>) -> Error {
    Error::Other(Box::new(ConnectFailed(why.into())))
}

/// How far a new connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is begun: nothing of the request can have left.
    Connecting,
    /// The request leaves next.
    Connected,
}

/// Told of each stage; an error keeps the request from being sent.
pub type Watch = Rc<dyn Fn(Stage) -> std::result::Result<(), String>>;

thread_local! {
    /// Of the request that this thread sends: ureq hands nothing down from a request to its connection.
    static WATCH: Cell<Option<Watch>> = const { Cell::new(None) };
}

/// Has `watch` told of the connection that `request` makes, if it makes one.
pub(super) fn watched<T>(watch: Watch, request: impl FnOnce() -> T) -> T {
    WATCH.set(Some(watch));
    let ended = request();
    WATCH.take();
    ended
}

/// Tells the request's watch of its connection. One to a proxy on the way is a part of it.
#[derive(Debug)]
struct Watched<C>(C);

impl<C: Connector<()>> Connector<()> for Watched<C> {
    type Out = C::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let watch = WATCH.take();
        let tell = |stage| match &watch {
            Some(watch) => watch(stage).map_err(connect_failed),
            None => Ok(()),
        };
        tell(Stage::Connecting)?;
        let connected = self.0.connect(details, chained)?;
        tell(Stage::Connected)?;
        Ok(connected)
    }
}

/// The whole chain: through the proxy or directly, then TLS if the endpoint is `https`.
pub(super) fn chain(
    names: Arc<NameCache>,
    roots: Arc<Roots>,
    request_timeout: Duration,
) -> impl Connector {
    let dial = Dial {
        names: Arc::clone(&names),
        request_timeout,
    };
    let tls = Tls { roots, names };
    let connect =
        ().chain(Proxied(ConnectProxyConnector::default()))
            .chain(dial)
            .chain(tls)
            .chain(Guard);
    Watched(connect)
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
            self.names.note_failed(&peer.host, peer.port, None);
            connect_failed(format!(
                "connect to {peer}: {}",
                wording::describe_io(&cause)
            ))
        })?;
        self.names.note_connected(&peer.host, peer.port, address);
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
    roots: Arc<Roots>,
    names: Arc<NameCache>,
}

impl<In: Transport> Connector<Either<In, TcpConnection>> for Tls {
    type Out = <RustlsConnector as Connector<Either<In, TcpConnection>>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<Either<In, TcpConnection>>,
    ) -> Result<Option<Self::Out>, Error> {
        let dialled = match &chained {
            Some(Either::B(connection)) => Some(connection.peer()),
            _ => None,
        };
        if !details.needs_tls() {
            return Ok(chained.map(Either::A));
        }
        let peer = Peer::from_uri(details.uri);
        let trusting = self
            .roots
            .current()
            .map_err(|error| connect_failed(error.message()))?;
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: DeferredResolver.empty(),
            config: &trusting.config,
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        trusting
            .connector
            .connect(&details, chained)
            .map_err(|error| {
                self.names.note_failed(&peer.host, peer.port, dialled);
                self.roots.forget();
                connect_failed(format!("TLS with {peer}: {}", wording::describe(&error)))
            })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn deadline(details: &ConnectionDetails) -> Instant {
    let time::Instant::Exact(start) = details.now else {
        return Instant::now();
    };
    start.checked_add(*details.timeout.after).unwrap_or(start)
}
