//! Applies a new configuration to a running sender.
//!
//! A new token is handed to the current client. Any other change takes a new client: the current
//! one ends after the request in flight, and the new one is elected in its place. The spool, its
//! endpoint and its account cannot change while the process runs: such a change is refused by name,
//! and the others are applied.

use std::path::Path;
use std::time::Duration;

use meditopia::internals::config::{BearerToken, Settings, TokenSource, differences};
use meditopia::internals::spool::{Description, Destination};
use meditopia::{Client, Result};

use super::current_client::CurrentClient;
use crate::options::sender_config::{SenderConfig, is_credential};
use crate::output::log::Log;

/// Options that cannot change while the process runs.
const FIXED: [&str; 3] = ["endpoint", "account", "spool"];
/// Options that are compared separately, because a new token does not always take a new client.
const TOKEN: [&str; 2] = ["bearer_token", "bearer_token_file"];

/// What a new configuration takes.
#[derive(Debug, Default)]
struct Plan {
    refused: Vec<&'static str>,
    changed: Vec<&'static str>,
    token: Option<BearerToken>,
}

/// What is said where nothing has changed: which new token is used all the same.
fn unchanged(settings: &Settings) -> &'static str {
    match &settings.bearer_token {
        TokenSource::File(file) if is_credential(file) => {
            "reload: no option has changed; the service manager passes a new credential with the bearer token at a start only: restart for that"
        }
        TokenSource::File(_) => {
            "reload: no option has changed; a new token in the token file is used within a second"
        }
        _ => "reload: no option has changed",
    }
}

/// Applies `new`, logs what changes, and returns the configuration that is now in effect.
///
/// Errors: the new client cannot be opened; the process cannot continue without a client.
pub fn apply(
    current: &CurrentClient,
    old: SenderConfig,
    mut new: SenderConfig,
    log: &Log,
) -> Result<SenderConfig> {
    let plan = Plan::new(&old.settings, &new.settings);
    for key in &plan.refused {
        log.error(format_args!(
            "reload: {key} cannot change while the process runs, and stays as it is; {}",
            match *key {
                "spool" => "restart the process".to_owned(),
                _ => adopted(&old.settings, &new.settings),
            }
        ));
        new.config.set(key, &old.config.get(key)?)?;
    }
    new.settings = new.config.settings()?;
    if !plan.changed.is_empty() {
        // What is said of the change is not silenced by it.
        let level = new.settings.log_level;
        log.set_level(level.max(old.settings.log_level));
        // Pending events are left to the new client, which is elected once the request in flight is
        // answered.
        let _ = current.get().close(Duration::ZERO);
        current.replace(start_client(&new, log)?, &new.settings);
        let mut changed = plan.changed;
        if plan.token.is_some() {
            changed.push("bearer_token");
        }
        log.info(format_args!("reload: changed {}", changed.join(", ")));
        log.set_level(level);
    } else if let Some(token) = &plan.token {
        current.get().set_bearer_token(token.expose())?;
        log.info("reload: changed bearer_token");
    } else {
        log.info(unchanged(&new.settings));
    }
    Ok(new)
}

/// How the spool comes to belong to another endpoint or account.
fn adopted(old: &Settings, new: &Settings) -> String {
    let dir = old.spool.as_deref().unwrap_or(Path::new(""));
    let known = Description {
        endpoint: old.endpoint.as_str().to_owned(),
        account: old.account.clone(),
        is_elsewhere: false,
    };
    let wanted = Destination {
        endpoint: new.endpoint.as_str(),
        account: &new.account,
    };
    format!(
        "if the spool is to belong to another one, end the process, then: {}; then start it again",
        known.adopt_command(dir, wanted)
    )
}

/// Opens a client and starts its sender.
pub fn start_client(sender: &SenderConfig, log: &Log) -> Result<Client> {
    // An open client logs them itself.
    let client = Client::open(&sender.config).inspect_err(|_| log.warn_about(&sender.config))?;
    client.set_log_callback(Some(log.callback()))?;
    client.start()?;
    Ok(client)
}

impl Plan {
    fn new(old: &Settings, new: &Settings) -> Self {
        let mut plan = Self::default();
        for key in differences(old, new).filter(|key| !TOKEN.contains(key)) {
            if FIXED.contains(&key) {
                plan.refused.push(key);
            } else {
                plan.changed.push(key);
            }
        }
        match (&old.bearer_token, &new.bearer_token) {
            (TokenSource::Absent, TokenSource::Absent) => {}
            (TokenSource::File(old), TokenSource::File(new)) if old == new => {}
            (TokenSource::Given(old), TokenSource::Given(new)) if old.expose() == new.expose() => {}
            (TokenSource::Given(_), TokenSource::Given(new)) => plan.token = Some(new.clone()),
            (_, TokenSource::File(_)) | (TokenSource::File(_), _) => {
                plan.changed.push("bearer_token_file");
            }
            _ => plan.changed.push("bearer_token"),
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use meditopia::Config;

    use super::*;

    fn plan(old: &[(&str, &str)], new: &[(&str, &str)]) -> Plan {
        let settings = |options: &[(&str, &str)]| {
            let mut config = Config::new();
            config.set("spool", "/spool").unwrap();
            for (key, value) in options {
                config.set(key, value).unwrap();
            }
            config.settings().unwrap()
        };
        Plan::new(&settings(old), &settings(new))
    }

    #[test]
    fn a_reload_names_every_change_and_refuses_another_endpoint_or_account() {
        let plan = plan(
            &[("lanes", "2")],
            &[
                ("lanes", "4"),
                ("endpoint", "https://other.example/events"),
                ("account", "other"),
                ("flush_interval_ms", "20"),
            ],
        );
        assert_eq!(plan.refused, ["endpoint", "account"]);
        assert_eq!(plan.changed, ["flush_interval_ms", "lanes"]);
    }

    #[test]
    fn a_new_token_takes_a_new_client_only_if_its_source_changes() {
        let given = |token| [("bearer_token", token)];
        let file = |path| [("bearer_token_file", path)];
        let renewed = plan(&given("old"), &given("new"));
        assert!(renewed.changed.is_empty());
        assert_eq!(renewed.token.unwrap().expose(), "new");

        let same = plan(&file("/token"), &file("/token"));
        assert!(same.changed.is_empty() && same.token.is_none());
        for plan in [
            plan(&file("/token"), &file("/other")),
            plan(&file("/token"), &given("new")),
            plan(&given("old"), &file("/token")),
            plan(&[], &file("/token")),
        ] {
            assert_eq!(plan.changed, ["bearer_token_file"]);
        }
        assert_eq!(plan(&[], &given("new")).changed, ["bearer_token"]);
    }
}
