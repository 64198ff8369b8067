//! What a daemon says while it runs: who sends, when it is stuck, and a line of state for the manager.

use std::sync::Arc;
use std::time::Duration;

use meditopia::internals::client::Standing;
use tokio::time::Instant;

use super::health::Health;
use super::notify::Notify;
use super::output::Output;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Between two lines of state.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// What was said last about who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Sends,
    StandsBy,
}

/// Looks for as long as it is polled.
pub async fn watch(health: Arc<Health>, notify: Arc<Notify>, output: Output, spool: Arc<str>) {
    let mut said = Said::Nothing;
    let mut stuck = false;
    let mut status_at = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match (health.alive(), stuck) {
            (Err(why), false) => {
                output.error(format_args!("{spool}: {why}"));
                notify.status(&why);
                stuck = true;
            }
            (Ok(()), true) => {
                output.info(format_args!("{spool}: the sender is not stuck any more"));
                stuck = false;
            }
            _ => {}
        }
        if stuck {
            continue;
        }
        let Ok(vitals) = health.current.vitals() else {
            continue;
        };
        let news = match vitals.standing {
            Standing::Elected if said != Said::Sends => Said::Sends,
            Standing::StandBy if said != Said::StandsBy => Said::StandsBy,
            _ if status_at.elapsed() >= STATUS_EVERY => said,
            _ => continue,
        };
        status_at = Instant::now();
        let state = health.state().await;
        // Between two clients of this process, the one that was seen last is itself.
        let look = health.current.look().await;
        let sender = look.ok().and_then(|look| look.stats.sender_pid);
        if news == Said::StandsBy && sender == Some(std::process::id()) {
            continue;
        }
        match (news, &state) {
            (Said::Sends, _) if said != Said::Sends => {
                output.info(format_args!("{spool}: elected; this process sends"));
                said = news;
            }
            (Said::StandsBy, Ok(state)) if said != Said::StandsBy => {
                output.info(format_args!(
                    "{spool}: {state}; this process follows when that one ends"
                ));
                said = news;
            }
            // Who was elected has not shown itself yet: it is told at a later look.
            _ => {}
        }
        notify.status(&health.ready().await.unwrap_or_else(|why| why));
    }
}
