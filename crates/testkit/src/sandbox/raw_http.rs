//! Requests to a sandbox on a raw socket, for what an HTTP client would hide.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::Sandbox;

/// One raw connection to a sandbox.
pub struct RawConnection {
    pub stream: TcpStream,
}

/// One answer of the sandbox.
#[derive(Debug, PartialEq, Eq)]
pub struct RawResponse {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl RawResponse {
    /// The code of an answer that must be an API error body.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).expect("an API error body");
        assert_eq!(body["success"], json!(false));
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(1));
        assert!(body["errors"][0]["message"].is_string());
        assert!(
            self.head.contains("content-type: application/json"),
            "{}",
            self.head
        );
        body["errors"][0]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }

    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.code())
    }
}

impl RawConnection {
    pub fn new(sandbox: &Sandbox) -> Self {
        Self {
            stream: TcpStream::connect(sandbox.address()).expect("the sandbox listens"),
        }
    }

    pub fn send(&mut self, text: &str) {
        self.stream
            .write_all(text.as_bytes())
            .expect("the sandbox reads");
    }

    /// Reads one answer by its Content-Length.
    pub fn read_response(&mut self) -> RawResponse {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a whole head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head of text");
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a whole body");
        let status = head[9..12].parse().expect("a status");
        RawResponse {
            status,
            head,
            body: String::from_utf8(body).expect("a text"),
        }
    }

    /// Reads until the other side ends the connection; the text, and whether the end was an error.
    pub fn read_until_closed(&mut self) -> (String, Result<(), ErrorKind>) {
        let mut bytes = Vec::new();
        let ended = self
            .stream
            .read_to_end(&mut bytes)
            .map(drop)
            .map_err(|cause| cause.kind());
        (String::from_utf8(bytes).expect("a text"), ended)
    }

    pub fn post(&mut self, sandbox: &Sandbox, body: &str) -> RawResponse {
        self.send(&request_text(sandbox, body));
        self.read_response()
    }
}

pub fn request_text(sandbox: &Sandbox, body: &str) -> String {
    request_text_with(
        &format!(
            "authorization: Bearer {}\r\ncontent-type: application/json\r\n",
            sandbox.token()
        ),
        body,
    )
}

pub fn request_text_with(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /default/v1/events HTTP/1.1\r\nhost: localhost\r\nuser-agent: test/1\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

pub fn event_json(user: &str) -> String {
    format!(
        r#"{{"token":"t-{user}","partner_user_id":"{user}","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}}"#
    )
}

pub fn events_json<S: AsRef<str>>(users: impl IntoIterator<Item = S>) -> String {
    let events: Vec<String> = users
        .into_iter()
        .map(|user| event_json(user.as_ref()))
        .collect();
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

pub fn numbered_events_json(count: usize) -> String {
    events_json((0..count).map(|number| format!("u-{number}")))
}
