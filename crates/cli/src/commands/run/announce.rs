//! What `meditopia run` reports by itself: which process sends, whether its own sender is stuck,
//! and a line of status for the service manager.

use std::sync::Arc;
use std::time::Duration;

use meditopia::internals::client::Standing;
use tokio::time::Instant;

use super::health::Health;
use super::service_manager::ServiceManager;
use crate::output::log::Log;

/// The interval between two checks.
const CHECK_EVERY: Duration = Duration::from_millis(300);
/// The interval between two lines of status.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// What was logged last about which process sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Nothing,
    Elected,
    StandBy,
}

/// Logs changes and sends status lines until the process ends.
pub async fn announce_changes(
    health: Arc<Health>,
    manager: Arc<ServiceManager>,
    log: Log,
    spool: Arc<str>,
) {
    let mut announced = Announced::Nothing;
    let mut is_stuck = false;
    let mut status_at = Instant::now();
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        match (health.check_alive(), is_stuck) {
            (Err(why), false) => {
                log.error(format_args!("{spool}: {why}"));
                manager.send_status(&why);
                is_stuck = true;
            }
            (Ok(()), true) => {
                log.info(format_args!("{spool}: the sender is no longer stuck"));
                is_stuck = false;
            }
            _ => {}
        }
        if is_stuck {
            continue;
        }
        let Ok(vitals) = health.client.vitals() else {
            continue;
        };
        let new_standing = match vitals.standing {
            Standing::Elected if announced != Announced::Elected => Announced::Elected,
            Standing::StandBy if announced != Announced::StandBy => Announced::StandBy,
            _ if status_at.elapsed() >= STATUS_EVERY => announced,
            _ => continue,
        };
        status_at = Instant::now();
        let sender = health.describe_sender().await;
        // During a reload the last heartbeat is that of this process, so it does not stand by for
        // another.
        let spool_state = health.client.spool_state().await;
        let sender_pid = spool_state.ok().and_then(|state| state.stats.sender_pid);
        if new_standing == Announced::StandBy && sender_pid == Some(std::process::id()) {
            continue;
        }
        match (new_standing, &sender) {
            (Announced::Elected, _) if announced != Announced::Elected => {
                log.info(format_args!("{spool}: elected; this process sends"));
                announced = new_standing;
            }
            (Announced::StandBy, Ok(sender)) if announced != Announced::StandBy => {
                log.info(format_args!(
                    "{spool}: {sender}; this process replaces it when it ends"
                ));
                announced = new_standing;
            }
            // The elected process has not written a heartbeat yet: a later check will log it.
            _ => {}
        }
        manager.send_status(&health.check_ready().await.unwrap_or_else(|why| why));
    }
}
