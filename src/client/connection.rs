//! How requests go out, as the configuration says it.

use crate::config::Settings;
use crate::error::Result;
use crate::journal::process::spawn_quiet;
use crate::transport::{self, Transport};

/// How requests go out with these settings.
pub fn connection(settings: &Settings) -> transport::Options {
    transport::Options {
        connect_timeout: settings.connect_timeout,
        request_timeout: settings.request_timeout,
        proxy: settings
            .proxy
            .as_ref()
            .map(|proxy| proxy.expose().to_owned()),
        ca_file: settings.ca_file.clone(),
        spawn: spawn_quiet,
        ..transport::Options::new(settings.endpoint.as_str())
    }
}

/// Whether requests can go out with this configuration: reads `ca_file`, does not connect. What is wrong
/// with it would else show when the first request is due.
///
/// Errors: [`ErrorKind::Config`].
pub fn check_connection(settings: &Settings) -> Result<()> {
    Transport::new(&connection(settings)).map(drop)
}
