//! Fixtures of the tests of `meditopia run`.

use std::path::PathBuf;
use std::process::Command;

use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;
use meditopia_testkit::unused_address;

/// A flush interval longer than any test.
pub const NEVER_SEND_BY_ITSELF: &str = "flush_interval_ms = 86400000";

/// A URL at which no process listens.
pub fn unused_endpoint() -> String {
    format!("http://{}/default/v1/events", unused_address())
}

/// A spool that is configured for `api`.
pub fn configured(api: &Sandbox) -> ConfiguredSpool {
    ConfiguredSpool::new(api.endpoint(), api.token())
}

/// Replaces the token file by a named pipe: opening it blocks until a process writes to it, as on a
/// network file system whose server is gone. Returns a path to the pipe.
pub fn hang_on_token_file(spool: &ConfiguredSpool) -> PathBuf {
    let pipe = spool.path("pipe");
    stdout_of(Command::new("mkfifo").arg(&pipe));
    let link = spool.path("link");
    std::fs::hard_link(&pipe, &link).unwrap();
    std::fs::rename(link, spool.token_file()).unwrap();
    pipe
}
