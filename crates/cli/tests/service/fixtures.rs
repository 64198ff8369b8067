//! Fixtures of the tests of `meditopia run`.

use std::path::PathBuf;
use std::process::Command;

use meditopia_testkit::c_program::compile_preload;
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

/// A token's file of which the reading can hang, as on a network file system whose server is gone.
pub struct HangingTokenFile<'a> {
    spool: &'a ConfiguredSpool,
    order: PathBuf,
    preload: PathBuf,
}

impl<'a> HangingTokenFile<'a> {
    pub fn of(spool: &'a ConfiguredSpool) -> Self {
        Self {
            spool,
            order: spool.path("order"),
            preload: compile_preload("faulty_disk.c", &spool.path("")),
        }
    }

    /// Prepares a command whose reads may hang.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.preload)
            .env("FAULTY_DISK", &self.order);
    }

    /// Whoever reads the file hangs from now on. It is another file, so the sender reads it.
    pub fn hang(&self, token: &str) {
        let order = format!("read 0 {}\n", self.spool.token_file().display());
        std::fs::write(&self.order, order).unwrap();
        self.spool.write_token(token);
    }

    /// Whoever hangs goes on.
    pub fn go_on(&self) {
        std::fs::remove_file(&self.order).unwrap();
    }
}
