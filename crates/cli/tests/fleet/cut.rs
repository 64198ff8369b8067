//! A way to the server that is cut in the middle of a statement.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// The server never gets the statement.
    BeforeTheServer,
    /// The server carries it out, and its answer is lost.
    BeforeTheAnswer,
}

/// Passes connections on to a server, and cuts each of the first ones in its first statement that hands events over.
pub struct Cut {
    port: u16,
    left: Arc<AtomicU32>,
}

impl Cut {
    pub fn start(server_port: u16, place: Where, times: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicU32::new(times));
        let counted = left.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
                let left = counted.clone();
                std::thread::spawn(move || pass(client, server, place, &left));
            }
        });
        Self { port, left }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often it has yet to cut.
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::SeqCst)
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, place: Where, left: &AtomicU32) {
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_cut = Arc::new(AtomicU32::new(0));
    let seen = is_cut.clone();
    let back = std::thread::spawn(move || {
        let mut bytes = [0; 65_536];
        while let Ok(count @ 1..) = answers.read(&mut bytes) {
            // The statement has an outcome now, and nobody hears of it.
            if seen.load(Ordering::SeqCst) == 1 {
                break;
            }
            if to_client.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let hands_over = bytes[..count]
            .windows(18)
            .any(|part| part == b"meditopia.forward(");
        let takes = |left: u32| left.checked_sub(1);
        if hands_over
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes)
                .is_ok()
        {
            if place == Where::BeforeTheServer {
                break;
            }
            is_cut.store(1, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    if place == Where::BeforeTheServer {
        let _ = client.shutdown(Shutdown::Both);
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}
