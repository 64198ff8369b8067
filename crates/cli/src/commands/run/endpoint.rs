//! What the endpoint of `meditopia run` answers.

use std::sync::Arc;

use super::gauges;
use super::health::Health;
use crate::endpoint::Answers;

/// The health of the sender, and the figures of its spool.
#[derive(Clone)]
pub struct SenderAnswers {
    pub health: Arc<Health>,
    /// The value of the metrics' `spool` label.
    pub spool: Arc<str>,
}

impl Answers for SenderAnswers {
    async fn alive(&self) -> Result<String, String> {
        self.health.check_alive().map(|()| "alive".to_owned())
    }

    async fn ready(&self) -> Result<String, String> {
        self.health.check_ready().await
    }

    async fn metrics(&self) -> Result<String, String> {
        let client = &self.health.client;
        let spool = client.spool_state().await?;
        let vitals = client.vitals().map_err(|e| e.to_string())?;
        let mut text = spool.stats.to_prometheus_with(&[("spool", &self.spool)]);
        text.push_str(&gauges::text(
            &self.spool,
            &spool,
            &vitals,
            client.limit_bytes(),
        ));
        Ok(text)
    }
}
