//! A way to the server that counts round trips, and ends before a request or before an answer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

const PASS: u8 = 0;
const CUT_REQUESTS: u8 = 1;
const CUT_ANSWERS: u8 = 2;

#[derive(Default)]
struct State {
    mode: AtomicU8,
    trips: AtomicU64,
    server_spoke: AtomicBool,
}

pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// To the server at this port of this host.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                for is_client in [true, false] {
                    let (from, to) = match is_client {
                        true => (&client, &server),
                        false => (&server, &client),
                    };
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = shared.clone();
                    std::thread::spawn(move || carry(&state, is_client, from, to));
                }
            }
        });
        Self { port, state }
    }

    /// How often a client has spoken since the server had.
    pub fn trips(&self) -> u64 {
        self.state.trips.load(Ordering::SeqCst)
    }

    pub fn pass(&self) {
        self.state.mode.store(PASS, Ordering::SeqCst);
    }

    pub fn cut_requests(&self) {
        self.state.mode.store(CUT_REQUESTS, Ordering::SeqCst);
    }

    pub fn cut_answers(&self) {
        self.state.mode.store(CUT_ANSWERS, Ordering::SeqCst);
    }
}

fn carry(state: &State, is_client: bool, mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 65_536];
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        let cut = match is_client {
            true => CUT_REQUESTS,
            false => CUT_ANSWERS,
        };
        if read == 0 || state.mode.load(Ordering::SeqCst) == cut {
            break;
        }
        if !is_client {
            state.server_spoke.store(true, Ordering::SeqCst);
        } else if state.server_spoke.swap(false, Ordering::SeqCst) {
            state.trips.fetch_add(1, Ordering::SeqCst);
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // Whoever stands on the other side may have ended already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
