//! What the endpoint of `meditopia forward` answers: the figures of the spool, and how far behind it is.

use std::sync::Arc;

use meditopia::internals::clock::wall_ms;
use meditopia::internals::stats::text::seconds;
use meditopia::{Client, Result as Outcome};

use crate::endpoint::Answers;
use crate::output::forwarding;
use crate::output::metrics::{self, flag, number};

/// A database that was away for less is no reason to send applications elsewhere.
const AWAY_MS: i64 = 5_000;
/// A forwarder says at least every second that it is alive.
const SILENT_MS: i64 = 4_000;

/// The spool of a forwarder.
#[derive(Clone)]
pub struct ForwarderAnswers {
    pub client: Arc<Client>,
    /// The value of the metrics' `spool` label.
    pub spool: Arc<str>,
    /// The value of `max_spool_bytes`; 0 means no limit.
    pub limit_bytes: u64,
}

impl Answers for ForwarderAnswers {
    async fn alive(&self) -> Result<String, String> {
        let ago_ms = |client: &Client| {
            let seen = client.sender_seen()?.seen_ms.unwrap_or(0);
            Ok(wall_ms() - seen)
        };
        match self.read(ago_ms).await? {
            ..SILENT_MS => Ok("alive".to_owned()),
            ago_ms => Err(format!("no forwarder was seen for {ago_ms} ms")),
        }
    }

    async fn ready(&self) -> Result<String, String> {
        let failing = |client: &Client| {
            let record = client.forwarded()?.map(|forwarded| forwarded.record);
            let record = record.filter(|record| {
                let since = record.failing_since_ms;
                since.is_some_and(|since| wall_ms() - since >= AWAY_MS)
            });
            Ok(record.map(|record| forwarding::describe(&record, wall_ms())))
        };
        match self.read(failing).await? {
            None => Ok("forwarding".to_owned()),
            Some(failing) => Err(failing),
        }
    }

    async fn metrics(&self) -> Result<String, String> {
        let (spool, limit) = (self.spool.clone(), self.limit_bytes);
        self.read(move |client| text(client, &spool, limit)).await
    }
}

impl ForwarderAnswers {
    /// Reads the disk on a thread that may hang there.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Client) -> Outcome<T> + Send + 'static,
    ) -> Result<T, String> {
        let client = self.client.clone();
        let read = tokio::task::spawn_blocking(move || read(&client)).await;
        match read {
            Ok(read) => read.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        }
    }
}

fn text(client: &Client, spool: &str, limit_bytes: u64) -> Outcome<String> {
    let labels = [("spool", spool)];
    let mut text = client.stats()?.to_prometheus_with(&labels);
    let disk = client.disk()?;
    let forwarded = client.forwarded()?.map(|forwarded| forwarded.record);
    let record = forwarded.as_ref();
    let gauges = [
        (
            "meditopia_spool_bytes",
            "About how many bytes of events wait, as counted against max_spool_bytes.",
            number(client.waiting_bytes()?),
        ),
        (
            "meditopia_spool_limit_bytes",
            "The value of max_spool_bytes; 0 means no limit.",
            number(limit_bytes),
        ),
        (
            "meditopia_spool_disk_free_bytes",
            "Bytes that are free on the disk of the spool.",
            number(disk.free_bytes),
        ),
        (
            "meditopia_forward_failing",
            "Whether the last attempt to hand events to the database has failed.",
            record.and_then(|record| flag(record.failing_since_ms.is_some())),
        ),
        (
            "meditopia_forward_failing_since_seconds",
            "Since when every attempt has failed, as seconds since 1970.",
            record
                .and_then(|record| record.failing_since_ms)
                .map(seconds),
        ),
        (
            "meditopia_forward_last_seconds",
            "When the database last answered, as seconds since 1970.",
            record.and_then(|record| record.forwarded_ms).map(seconds),
        ),
        (
            "meditopia_forward_kept_bytes",
            "Bytes of the journal that were handed over and are kept for a database that is set back.",
            record.and_then(|record| number(record.kept_bytes)),
        ),
    ];
    text.push_str(&metrics::gauges(&labels, &gauges));
    Ok(text)
}
