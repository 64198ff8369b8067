//! The local API behind TLS, with a certificate of an authority that can be changed.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub struct TlsFront {
    port: u16,
    in_use: Arc<Mutex<InUse>>,
}

struct InUse {
    config: Arc<ServerConfig>,
    authority: String,
}

impl TlsFront {
    /// Terminates TLS before `api`, one request on each connection.
    pub fn start(api: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let in_use = Arc::new(Mutex::new(InUse::new()));
        let of_thread = in_use.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let config = of_thread.lock().unwrap().config.clone();
                std::thread::spawn(move || answer(config, stream.unwrap(), api));
            }
        });
        Self { port, in_use }
    }

    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}/default/v1/events", self.port)
    }

    /// The certificate of the authority that is in use.
    pub fn authority(&self) -> String {
        self.in_use.lock().unwrap().authority.clone()
    }

    /// From now on, another authority has signed the certificate.
    pub fn rotate(&self) {
        *self.in_use.lock().unwrap() = InUse::new();
    }
}

impl InUse {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(params.clone(), &key);
        let authority = params.self_signed(&key).unwrap();
        let own_key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = own.signed_by(&own_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(own_key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self {
            config: Arc::new(config),
            authority: authority.pem(),
        }
    }
}

/// Hands one request on, and its answer back. A client that refuses the certificate just goes.
fn answer(config: Arc<ServerConfig>, stream: TcpStream, api: SocketAddr) {
    let connection = ServerConnection::new(config).unwrap();
    let mut client = BufReader::new(StreamOwned::new(connection, stream));
    let Some(request) = read_message(&mut client, Some(api)) else {
        return;
    };
    let mut upstream = TcpStream::connect(api).unwrap();
    upstream.write_all(&request).unwrap();
    let answer = read_message(&mut BufReader::new(upstream), None).unwrap();
    let client = client.get_mut();
    if client.write_all(&answer).is_ok() {
        client.conn.send_close_notify();
        let _ = client.flush();
    }
}

/// A head, and as much of a body as it promises; for `host`, if it is a request.
fn read_message(from: &mut impl BufRead, host: Option<SocketAddr>) -> Option<Vec<u8>> {
    let (mut message, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match (name.to_ascii_lowercase().as_str(), host) {
            // The local API answers only by its own name and port.
            ("host", Some(host)) => line = format!("Host: {host}\r\n"),
            ("content-length", _) => length = value.trim().parse().unwrap(),
            _ => {}
        }
        message.extend_from_slice(line.as_bytes());
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    message.extend(body);
    Some(message)
}
