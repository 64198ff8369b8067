//! The client against real servers on loopback, written with std: each test scripts what the server
//! does with the connection, and checks what the client reports.

use std::process::Command;
use std::time::Duration;

use super::{Answer, BODY_LIMIT_BYTES, Exchange, Options, Transport};
use secrecy::SecretString;

pub(crate) mod addresses;
mod answers;
mod descriptors;
mod proxies;
pub(crate) mod server;
mod settling;
mod side_effects;
mod tls;

const TOKEN: &str = "s3cret-t0ken";
const BODY: &[u8] = br#"{"events":[{"token":"u"}]}"#;
const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn token() -> SecretString {
    SecretString::from(TOKEN)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Options {
    fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    fn proxy(mut self, address: impl Into<String>) -> Self {
        self.proxy = Some(address.into());
        self
    }

    fn ca_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    fn open(&self) -> Transport {
        Transport::new(self).unwrap()
    }
}

impl Transport {
    fn post_once(&self) -> Exchange {
        self.post(&token(), BODY)
    }
}

impl Exchange {
    #[track_caller]
    fn answer(self) -> Answer {
        match self {
            Exchange::Answered(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    #[track_caller]
    fn not_sent(self) -> String {
        match self {
            Exchange::NotSent { why } => why,
            other => panic!("expected not sent: {other:?}"),
        }
    }

    #[track_caller]
    fn unsettled(self) -> String {
        match self {
            Exchange::Unsettled { why } => why,
            other => panic!("expected unsettled: {other:?}"),
        }
    }
}

const CHILD: &str = "MEDITOPIA_TRANSPORT_TEST_CHILD";

/// The argument of the parent test, if this is the child process of [`in_child`].
fn child_argument() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs one test again in a process of its own, which reads `argument`; returns its output.
#[track_caller]
fn in_child(test: &str, argument: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, argument)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the child ran no test: {text}");
    text
}
