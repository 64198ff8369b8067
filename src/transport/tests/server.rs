//! Servers that run the script of a test: one closure per connection, plain or TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

/// How long a server keeps a connection open for a client that is expected to close it first.
const KEEP_OPEN: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One connection, for the script of a server.
pub(super) struct Peer {
    stream: Stream,
    seen: Arc<Mutex<Vec<Request>>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Server {
    pub(super) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::with(|stream| Some(Stream::Plain(stream)), script)
    }

    pub(super) fn start_tls(
        identity: &Identity,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(identity.config(), script)
    }

    /// Demands a client certificate that `authority` has signed.
    pub(super) fn start_demanding(
        authority: &Authority,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let identity = authority.certify("localhost");
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![identity.certificate], identity.key)
            .unwrap();
        Self::with_tls(Arc::new(config), |peer| peer.serve(b""))
    }

    fn with_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        let wrap = move |mut stream: TcpStream| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    // Its alert is sent, and the client may be sending still.
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                    return None;
                }
            }
            Some(Stream::Tls(Box::new(StreamOwned::new(connection, stream))))
        };
        Self::with(wrap, script)
    }

    /// Answers every request on every connection with these bytes.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| peer.serve(&answer))
    }

    /// Reads a request on each connection, and answers nothing.
    pub(crate) fn mute() -> Self {
        Self::start(|peer| {
            peer.request();
            peer.keep_open();
        })
    }

    /// Answers one request with these bytes and closes.
    pub(super) fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| {
            peer.request();
            peer.send(&answer);
        })
    }

    fn with(
        wrap: impl Fn(TcpStream) -> Option<Stream> + Send + Sync + 'static,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            seen: Arc::default(),
        };
        let connections = Arc::clone(&server.connections);
        let seen = Arc::clone(&server.seen);
        let serve = Arc::new(move |stream: TcpStream| {
            let seen = Arc::clone(&seen);
            if let Some(stream) = wrap(stream) {
                script(&mut Peer { stream, seen });
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
                connections.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(KEEP_OPEN)).unwrap();
                std::thread::spawn(move || serve(stream));
            }
        });
        server
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}/default/v1/events", self.address)
    }

    pub(super) fn https(&self) -> String {
        format!(
            "https://localhost:{}/default/v1/events",
            self.address.port()
        )
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests that were read whole, in their order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Peer {
    /// Reads one whole request; `None` if the client closed the connection.
    pub(super) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let mut request = Request {
            head,
            body: Vec::new(),
        };
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        request.body.resize(length, 0);
        self.read_exact(&mut request.body).ok()?;
        self.seen.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Reads up to the empty line after the headers.
    pub(super) fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        Some(String::from_utf8(head).unwrap())
    }

    /// Reads one byte: the request has certainly begun and is certainly not read whole.
    pub(super) fn first_byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    /// Sends; a client that closed the connection is no error.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.write_all(bytes).and_then(|()| self.flush());
    }

    /// Sends byte by byte with a pause before each; false if the client closed the connection.
    pub(super) fn send_slowly(&mut self, bytes: &[u8], pause: Duration) -> bool {
        let mut clock = Pace::every(pause);
        bytes.iter().all(|byte| {
            clock.tick();
            self.write_all(&[*byte]).and_then(|()| self.flush()).is_ok()
        })
    }

    pub(super) fn serve(&mut self, answer: &[u8]) {
        while self.request().is_some() {
            self.send(answer);
        }
    }

    /// Keeps the connection open and discards what arrives, until the client closes it.
    pub(super) fn keep_open(&mut self) {
        let mut sink = [0; 4096];
        while matches!(self.read(&mut sink), Ok(count) if count > 0) {}
    }

    /// Keeps the connection open without reading until `done` is dropped.
    pub(super) fn stall(&mut self, done: &Mutex<Receiver<()>>) {
        let _ = done.lock().unwrap().recv_timeout(KEEP_OPEN);
    }

    /// Ends the connection with RST instead of FIN.
    pub(super) fn reset(&mut self) {
        rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO)).unwrap();
    }

    /// Closes now instead of when the script ends.
    pub(super) fn close_now(&mut self) {
        self.tcp().shutdown(Shutdown::Both).unwrap();
    }

    /// Announces over TLS that nothing follows, as an orderly server does.
    pub(super) fn close_notify(&mut self) {
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }

    pub(super) fn resumed(&self) -> bool {
        let Stream::Tls(stream) = &self.stream else {
            return false;
        };
        stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Copies bytes between this connection and another, as a tunnel.
    pub(super) fn tunnel_to(&mut self, target: &str) {
        let there = TcpStream::connect(target).unwrap();
        let here = self.tcp().try_clone().unwrap();
        let (mut from_there, mut to_here) = (there.try_clone().unwrap(), here.try_clone().unwrap());
        let back = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_there, &mut to_here);
            let _ = to_here.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut &here, &mut &there);
        let _ = there.shutdown(Shutdown::Both);
        back.join().unwrap();
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Slows a peer down: each tick waits for a message that never comes.
struct Pace {
    pause: Duration,
    never: Receiver<()>,
    _sender: std::sync::mpsc::Sender<()>,
}

impl Pace {
    fn every(pause: Duration) -> Self {
        let (sender, never) = channel();
        Self {
            pause,
            never,
            _sender: sender,
        }
    }

    fn tick(&mut self) {
        let _ = self.never.recv_timeout(self.pause);
    }
}

/// An address on which no server listens.
pub(super) fn refusing_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A private CA, with its bundle in a file.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    bundle: tempfile::NamedTempFile,
}

pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("Test CA {}", COUNT.fetch_add(1, Ordering::SeqCst));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut bundle = tempfile::NamedTempFile::new().unwrap();
        bundle.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, bundle }
    }

    pub(super) fn bundle(&self) -> &std::path::Path {
        self.bundle.path()
    }

    pub(super) fn certify(&self, name: &str) -> Identity {
        self.certify_with(name, |_| {})
    }

    pub(super) fn certify_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(certificate.der(), &key)
    }

    /// A server that presents this CA's certificate as its own.
    pub(super) fn as_identity(&self) -> Identity {
        Identity::new(self.issuer.der(), self.issuer.key())
    }
}

impl Identity {
    fn new(certificate: &CertificateDer<'static>, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }

    fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        Arc::new(config)
    }
}
