//! The connection to the API that a configuration describes.

use crate::config::Settings;
use crate::error::Result;
use crate::process::spawn_with_signals_blocked;
use crate::transport::{self, Transport};

/// The options of the transport under these settings.
pub fn connection(settings: &Settings) -> transport::Options {
    transport::Options {
        connect_timeout: settings.connect_timeout,
        request_timeout: settings.request_timeout,
        proxy: settings
            .proxy_in_use()
            .map(|proxy| proxy.expose().to_owned()),
        ca_file: settings.ca_file.clone(),
        spawn: spawn_with_signals_blocked,
        ..transport::Options::new(settings.endpoint.as_str())
    }
}

/// Checks that a connection can be set up with these settings: reads `ca_file`, but does not
/// connect. Without this check, a mistake shows only when the first request is due.
///
/// Errors: [`ErrorKind::Config`](crate::error::ErrorKind::Config).
pub fn check_connection(settings: &Settings) -> Result<()> {
    Transport::new(&connection(settings)).map(drop)
}
