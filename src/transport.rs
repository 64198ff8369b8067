//! The HTTPS client: posts one batch, blocks up to its timeouts, and reports the exchange.
//!
//! The difference between [`Exchange::NotSent`] and [`Exchange::Unsettled`] must be right: a request
//! that was not sent may be repeated freely, and the API may already have the events of an unsettled
//! one. `NotSent` needs a proof (see `connect`); every failure without one is `Unsettled`.
//!
//! Nothing is read from the environment: the proxy and the trusted roots come from [`Options`] and
//! fixed paths. Redirects, statuses and bodies are reported as they are; `delivery` judges them.

use std::fmt;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use ureq::config::Config;
use ureq::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, TRANSFER_ENCODING,
};
use ureq::http::uri::Scheme;
use ureq::http::{HeaderMap, HeaderValue, Request, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy, ProxyProtocol};

use crate::error::{Error, ErrorKind, Result};
use crate::exchange::{Answer, BODY_LIMIT_BYTES, Exchange};

mod connect;
mod dial;
mod guard;
mod names;
mod roots;
mod secrets;
mod tcp;
mod wording;

use connect::ConnectFailed;
pub use connect::{Stage, Watch};
use names::NameCache;
pub use names::Spawn;
use roots::Roots;
pub use roots::SYSTEM_BUNDLES;
use secrets::Secrets;
use wording::Peer;

/// How many idle connections are kept for later requests: one for each lane.
const IDLE_CONNECTIONS: usize = 16;
/// An idle connection older than this is not used again. It is shorter than the shortest common
/// keep-alive (5 s), so that the server seldom closes a connection just as a request leaves. Such a
/// request cannot be distinguished from one that the API accepted.
const IDLE_AGE: Duration = Duration::from_secs(4);

/// Where to post, and how long to wait.
pub struct Options {
    /// The full URL, already validated: `https`, or `http` to loopback.
    pub endpoint: String,
    /// The time to connect: look-up, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// From the first byte of a request to the last byte of its answer.
    pub request_timeout: Duration,
    /// The `http://` address of a proxy, with `user:password@` if the proxy needs them. Requests to an
    /// endpoint over `http` do not use it.
    pub proxy: Option<String>,
    /// A PEM bundle of the only roots to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Starts the thread of a name look-up.
    pub spawn: Spawn,
}

impl Options {
    /// Posts to `endpoint` directly and trusts the system's roots: 10 s to connect, 30 s for a request,
    /// plain threads.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            proxy: None,
            ca_file: None,
            spawn: names::spawn_thread,
        }
    }
}

/// The client of one endpoint, shared by all threads that send. Each request in flight has a
/// connection of its own, and up to 16 idle connections are kept.
pub struct Transport {
    endpoint: Uri,
    peer: Peer,
    connect_timeout: Duration,
    request_timeout: Duration,
    proxy: Option<Proxy>,
    roots: Arc<Roots>,
    names: Arc<NameCache>,
    /// What no text of a server or a proxy may say.
    secrets: Secrets,
    /// Made by the first request, because the system's roots are large and may never be needed.
    agent: OnceLock<Agent>,
}

impl Transport {
    /// Checks the options and reads `ca_file`; does not connect.
    ///
    /// Fails with [`ErrorKind::Config`], naming `endpoint`, `proxy` or `ca_file`.
    pub fn new(options: &Options) -> Result<Self> {
        let endpoint: Uri = options
            .endpoint
            .parse()
            .map_err(|cause| Error::new(ErrorKind::Config, format!("endpoint: {cause}")))?;
        let proxy = options.proxy.as_deref().map(parse_proxy).transpose()?;
        // A proxy would read a request over http, with the token in it.
        let proxy = proxy.filter(|_| endpoint.scheme() == Some(&Scheme::HTTPS));
        let bundles = roots::SYSTEM_BUNDLES.map(PathBuf::from).into();
        let roots = Roots::new(options.ca_file.clone(), bundles);
        if options.ca_file.is_some() {
            roots.current()?;
        }
        Ok(Self {
            peer: Peer::from_uri(&endpoint),
            endpoint,
            connect_timeout: options.connect_timeout,
            request_timeout: options.request_timeout,
            proxy,
            roots: Arc::new(roots),
            names: Arc::new(NameCache::new(options.spawn)),
            secrets: Secrets::new(),
            agent: OnceLock::new(),
        })
    }

    /// Posts `body` as JSON and waits for the answer. Callable from any thread.
    pub fn post(&self, token: &SecretString, body: &[u8]) -> Exchange {
        self.exchange(token, body, |_| {})
    }

    /// [`post`](Self::post), and tells `watch` if the request needs a new connection.
    pub fn post_watched(&self, token: &SecretString, body: &[u8], watch: Watch) -> Exchange {
        connect::watched(watch, || self.post(token, body))
    }

    /// [`post`](Self::post), with the `Date` of the answer.
    pub fn post_dated(&self, token: &SecretString, body: &[u8]) -> (Exchange, Option<String>) {
        let mut date = None;
        let exchange = self.exchange(token, body, |headers| {
            let value = headers.get(DATE).and_then(|value| value.to_str().ok());
            date = value.map(|value| self.secrets.cut_text(value.to_owned()));
        });
        (exchange, date)
    }

    /// Posts, and passes the headers of the answer, if there is one, to `read_headers`. What came from
    /// outside leaves without the secrets.
    fn exchange(
        &self,
        token: &SecretString,
        body: &[u8],
        read_headers: impl FnOnce(&HeaderMap),
    ) -> Exchange {
        let password = self.proxy.as_ref().and_then(Proxy::password);
        for secret in password.into_iter().chain([token.expose_secret()]) {
            self.secrets.remember(secret);
        }
        self.without_secrets(self.run(token, body, read_headers))
    }

    fn without_secrets(&self, exchange: Exchange) -> Exchange {
        match exchange {
            Exchange::Answered(answer) => Exchange::Answered(Answer {
                // A number is not shown, and may be a short password by chance.
                retry_after: answer.retry_after.map(|text| match text.parse::<u64>() {
                    Ok(_) => text,
                    Err(_) => self.secrets.cut_text(text),
                }),
                body: self.body_without_secrets(answer.body, answer.whole),
                ..answer
            }),
            Exchange::NotSent { why } => Exchange::NotSent {
                why: self.secrets.cut_text(why),
            },
            Exchange::Unsettled { why } => Exchange::Unsettled {
                why: self.secrets.cut_text(why),
            },
        }
    }

    fn body_without_secrets(&self, body: Vec<u8>, is_whole: bool) -> Vec<u8> {
        let length = body.len();
        let mut body = self.secrets.cut(body);
        if !is_whole {
            // By its length a body that is too long is told from one that was cut off.
            body.resize(length, b' ');
        }
        body
    }

    fn run(
        &self,
        token: &SecretString,
        body: &[u8],
        read_headers: impl FnOnce(&HeaderMap),
    ) -> Exchange {
        let Some(authorization) = bearer(token) else {
            let why =
                "the bearer token contains a character that an HTTP header cannot carry".into();
            return Exchange::NotSent { why };
        };
        let request = Request::post(self.endpoint.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, authorization)
            .body(body);
        let request = match request {
            Ok(request) => request,
            Err(cause) => {
                return Exchange::NotSent {
                    why: format!("endpoint: {cause}"),
                };
            }
        };
        let answered = self.agent().run(request);
        let answered = answered.inspect(|response| read_headers(response.headers()));
        match answered.and_then(read_answer) {
            Ok(answer) => Exchange::Answered(answer),
            Err(ureq::Error::Other(cause)) if cause.is::<ConnectFailed>() => Exchange::NotSent {
                why: cause.to_string(),
            },
            Err(error) => Exchange::Unsettled {
                why: self.describe_unsettled(&error),
            },
        }
    }

    fn describe_unsettled(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => format!(
                "no complete answer from {} within {:?}",
                self.peer, self.request_timeout
            ),
            error => format!(
                "sent to {}, but no complete answer: {}",
                self.peer,
                wording::describe(error)
            ),
        }
    }

    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| {
            let config = config(
                self.proxy.clone(),
                self.endpoint.scheme() == Some(&Scheme::HTTPS),
                self.connect_timeout,
                self.request_timeout,
                RootCerts::WebPki,
            );
            let (names, roots) = (Arc::clone(&self.names), Arc::clone(&self.roots));
            let chain = connect::chain(names, roots, self.request_timeout);
            Agent::with_parts(config, chain, connect::DeferredResolver)
        })
    }
}

/// How requests go, and what their connections trust.
#[inline(never)]
fn config(
    proxy: Option<Proxy>,
    https_only: bool,
    connect_timeout: Duration,
    request_timeout: Duration,
    roots: RootCerts,
) -> Config {
    Agent::config_builder()
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .https_only(https_only)
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("libmeditopia/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .accept_encoding("")
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_idle_age(IDLE_AGE)
        .max_response_header_size(tcp::INPUT_BYTES)
        .input_buffer_size(tcp::INPUT_BYTES)
        .output_buffer_size(tcp::OUTPUT_BYTES)
        // Each phase has a timeout so that ureq names the phase to `TcpConnection`, which limits
        // all of them together. ureq's own timeouts over several phases would cost a thread per
        // request.
        .timeout_connect(Some(connect_timeout))
        .timeout_send_request(Some(request_timeout))
        .timeout_send_body(Some(request_timeout))
        .timeout_recv_response(Some(request_timeout))
        .timeout_recv_body(Some(request_timeout))
        .build()
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.peer)
    }
}

/// Resolves `host` as a request would.
///
/// The error says why there is no address, in words for people that do not name the host.
pub fn resolve(
    host: &str,
    port: u16,
    timeout: Duration,
) -> std::result::Result<Vec<SocketAddr>, String> {
    let now = Instant::now();
    NameCache::new(names::spawn_thread).resolve(host, port, now, now + timeout)
}

/// Connects to one of `addresses` as a request would, without TLS.
pub fn connect_to(
    addresses: &[SocketAddr],
    timeout: Duration,
) -> std::result::Result<(TcpStream, SocketAddr), String> {
    dial::dial(addresses, Instant::now() + timeout)
        // The caller has a copy of its own, which is no more closed in a child.
        .and_then(|(stream, address)| Ok((stream.try_clone()?, address)))
        .map_err(|cause| wording::describe_io(&cause))
}

/// `text`, which came from outside, without `secret`, as a request would report it.
pub fn without_secret(secret: &str, text: String) -> String {
    let secrets = Secrets::new();
    secrets.remember(secret);
    secrets.cut_text(text)
}

fn parse_proxy(address: &str) -> Result<Proxy> {
    // The address may contain a password, so no message repeats the address.
    let refused = |why: &str| Error::new(ErrorKind::Config, format!("proxy: {why}"));
    let expected = "not an address; expected http://[user:password@]host:port";
    let proxy = Proxy::new(address).map_err(|_| refused(expected))?;
    match proxy.protocol() {
        ProxyProtocol::Http => Ok(proxy),
        _ => Err(refused("only http:// proxies are supported")),
    }
}

/// The header's value, whose memory is wiped once the request is done.
fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret()).into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read_answer(response: Response<Body>) -> std::result::Result<Answer, ureq::Error> {
    let status = response.status().as_u16();
    let headers = response.headers();
    let retry_after = headers.get(RETRY_AFTER);
    let retry_after = retry_after
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut body = Vec::new();
    if status != 204
        && headers.get(CONTENT_LENGTH).is_some()
        && headers.get(TRANSFER_ENCODING).is_some()
    {
        // Two programs on the way may disagree about where the answer ends. Its status is the same for both.
        if (200..=299).contains(&status) {
            let why = "not a valid HTTP answer: it has Content-Length beside Transfer-Encoding";
            return Err(std::io::Error::other(why).into());
        }
        return Ok(Answer {
            status,
            retry_after,
            body,
            whole: true,
        });
    }
    let mut reader = response.into_body().into_reader();
    (&mut reader)
        .take(BODY_LIMIT_BYTES as u64)
        .read_to_end(&mut body)?;
    let whole = body.len() < BODY_LIMIT_BYTES || reader.read(&mut [0])? == 0;
    Ok(Answer {
        status,
        retry_after,
        body,
        whole,
    })
}

#[cfg(test)]
pub(crate) mod tests;
