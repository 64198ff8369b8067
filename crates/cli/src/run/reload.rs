//! What a new configuration changes in a sender that runs.
//!
//! Another token is given to the sender as it is. Any other change takes another client: the one that
//! sends ends after the request that is on its way, and its successor in the same process takes the
//! seat. To which endpoint and account a spool belongs, and which spool it is, a process that runs
//! cannot change; what is asked of that kind is told by name, and the rest is done.

use std::time::Duration;

use meditopia::Client;
use meditopia::Result;
use meditopia::internals::config::{BearerToken, Settings, TokenSource, differences};

use super::configured::Configured;
use super::current::Current;
use super::output::Output;

/// What only another process can have otherwise.
const FIXED: [&str; 3] = ["endpoint", "account", "spool"];
/// The token is compared apart, since two clients of a spool may differ in it.
const TOKEN: [&str; 2] = ["bearer_token", "bearer_token_file"];

/// What is to be done about a new configuration.
#[derive(Debug, Default)]
struct Plan {
    refused: Vec<&'static str>,
    changed: Vec<&'static str>,
    token: Option<BearerToken>,
}

/// Applies `new` to the client that sends, and says what came of it. Gives what is in force now.
///
/// Errors: there is no client any more; the process cannot go on.
pub fn apply(
    current: &Current,
    old: Configured,
    mut new: Configured,
    output: &Output,
) -> Result<Configured> {
    let plan = Plan::of(&old.settings, &new.settings);
    for key in &plan.refused {
        output.error(format_args!(
            "reload: {key} cannot change in a process that runs, and stays as it is; restart it{}",
            match *key {
                "spool" => "",
                _ => ", after meditopia adopt if the spool is to belong to another one",
            }
        ));
        new.config.set(key, &old.config.get(key)?)?;
    }
    new.settings = new.config.settings()?;
    if !plan.changed.is_empty() {
        // What waits is the next client's; it stands for election until this one's request is answered.
        let _ = current.client().close(Duration::ZERO);
        current.replace(sending(&new, output)?, &new.settings);
        output.info(format_args!("reload: changed {}", plan.changed.join(", ")));
    } else if let Some(token) = &plan.token {
        current.client().set_bearer_token(token.expose())?;
        output.info("reload: changed bearer_token");
    } else {
        output.info("reload: no option has changed; a token's file is read again within a second");
    }
    Ok(new)
}

/// A client that sends from now on.
pub fn sending(configured: &Configured, output: &Output) -> Result<Client> {
    output.warnings_of(&configured.config);
    let client = Client::open(&configured.config)?;
    client.set_log_callback(Some(output.callback()))?;
    client.start()?;
    Ok(client)
}

impl Plan {
    fn of(old: &Settings, new: &Settings) -> Self {
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
        Plan::of(&settings(old), &settings(new))
    }

    #[test]
    fn every_change_is_named_and_what_a_spool_belongs_to_is_refused() {
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
    fn another_token_needs_no_other_client_unless_it_comes_from_elsewhere() {
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
