//! The requests that the recorded processes sent to the API, and its answers.

use std::collections::{BTreeMap, VecDeque};

/// One request whose bytes were all sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// The step that sent its last byte.
    pub sent: usize,
    /// The step at which its answer was complete, and the answer's status.
    pub answered: Option<(usize, u16)>,
    /// The numbers of its events.
    pub events: Vec<usize>,
}

/// Both directions of all connections.
#[derive(Default)]
pub struct Conversations {
    connections: BTreeMap<u64, Connection>,
    requests: Vec<Request>,
}

#[derive(Default)]
struct Connection {
    sent: Vec<u8>,
    received: Vec<u8>,
    unanswered: VecDeque<usize>,
}

impl Conversations {
    pub fn sent(&mut self, connection: u64, bytes: &[u8], step: usize) {
        let connection = self.connections.entry(connection).or_default();
        connection.sent.extend_from_slice(bytes);
        while let Some((_, body)) = next_message(&mut connection.sent) {
            connection.unanswered.push_back(self.requests.len());
            self.requests.push(Request {
                sent: step,
                answered: None,
                events: events(&body).map(|(number, _)| number).collect(),
            });
        }
    }

    pub fn received(&mut self, connection: u64, bytes: &[u8], step: usize) {
        let connection = self.connections.entry(connection).or_default();
        connection.received.extend_from_slice(bytes);
        while let Some((head, _)) = next_message(&mut connection.received) {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let request = connection
                .unanswered
                .pop_front()
                .expect("a request without an answer");
            self.requests[request].answered = Some((step, status));
        }
    }

    pub fn requests(self) -> Vec<Request> {
        self.requests
    }
}

/// Takes one complete HTTP message out of `bytes`, and returns its head and its body.
fn next_message(bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    assert!(!head.contains("\r\ntransfer-encoding:"), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    if bytes.len() < end + length {
        return None;
    }
    let body = bytes[end..end + length].to_vec();
    bytes.drain(..end + length);
    Some((head, body))
}

/// The numbers and users of the events in `bytes`: fragments with any bytes between them.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    const USER: &[u8] = br#""partner_user_id":"u-"#;
    const VALUE: &[u8] = br#""event_value":""#;
    let mut at = 0;
    std::iter::from_fn(move || {
        let user = number_after(bytes, USER, &mut at)?;
        let number = number_after(bytes, VALUE, &mut at)?;
        // Skips the padding by its length.
        at += number_after(bytes, b":", &mut at)?;
        Some((number, user))
    })
}

fn number_after(bytes: &[u8], name: &[u8], at: &mut usize) -> Option<usize> {
    let rest = bytes.get(*at..)?;
    let start = rest.windows(name.len()).position(|w| w == name)? + name.len();
    let digits = rest[start..].iter().take_while(|b| b.is_ascii_digit());
    let number = digits.fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
    *at += start;
    Some(number)
}
