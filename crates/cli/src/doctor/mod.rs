//! `meditopia doctor`: is everything in place between a spool and the API, and if not, what is to be done?
//!
//! It asks in the order in which a delivery would fail: configuration, spool, a pause, token, name, connection,
//! TLS, the API's answer, the clock. The API is asked with a request without events: it checks token and
//! address first, and whatever it says to an empty list, no event can come of it.

mod api;
mod certificate;
mod delivery;
mod network;
mod place;
mod token;

use std::path::Path;
use std::process::ExitCode;

use meditopia::internals::config::Settings;
use meditopia::internals::event::Rules;
use serde::Serialize;

use crate::failure::{Failure, USAGE};
use crate::output::say;
use crate::owner;
use crate::spool_options::SpoolOptions;

/// What `--help` says at its end.
pub const EXIT_CODES: &str =
    "One line for each thing: ok, warn or FAIL, what was found, and what to do.

Exit status:
  0  all is well
  1  it works, with warnings
  2  something fails: nothing can be delivered, or soon nothing can
  (2 also for a wrong command line, and where the lines cannot be written)

Examples:
  meditopia doctor --config /etc/shop/meditopia.toml
  meditopia doctor /var/spool/shop --json";

/// The arguments of `meditopia doctor`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    /// A JSON object a line instead of words
    #[arg(long)]
    json: bool,
    /// Send one event of this user, which counts if the API takes it; the spool is not used
    #[arg(long, value_name = "USER", requires = "user_token_file")]
    send_event: Option<String>,
    /// The file that holds that user's token
    #[arg(long, value_name = "FILE", requires = "send_event")]
    user_token_file: Option<std::path::PathBuf>,
    /// The kind of that event
    #[arg(
        long,
        default_value = "signin",
        value_name = "KIND",
        requires = "send_event"
    )]
    event: String,
}

/// How well a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    Warn,
    Fail,
}

/// What was found about one thing.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub state: State,
    pub finding: String,
    /// What to do, where there is something.
    pub advice: Option<String>,
}

impl Finding {
    pub fn ok(what: &'static str, finding: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Ok,
            finding: finding.into(),
            advice: None,
        }
    }

    pub fn warn(what: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Warn,
            finding: finding.into(),
            advice: Some(advice.into()),
        }
    }

    pub fn fail(what: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Fail,
            finding: finding.into(),
            advice: Some(advice.into()),
        }
    }
}

/// Where findings go, as they come.
pub struct Report {
    json: bool,
    worst: State,
    /// Why what was found could not be told.
    untold: Option<Failure>,
}

impl Report {
    pub fn add(&mut self, finding: &Finding) {
        self.worst = self.worst.max(finding.state);
        let told = say(self.line(finding));
        self.untold = self.untold.take().or(told.err());
    }

    fn line(&self, finding: &Finding) -> String {
        if self.json {
            // Of texts alone: it cannot fail.
            return serde_json::to_string(finding).unwrap_or_default();
        }
        let state = match finding.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let advice = finding.advice.iter().map(|advice| format!("; {advice}"));
        format!(
            "{state}  {}: {}{}",
            finding.what,
            finding.finding,
            advice.collect::<String>()
        )
    }
}

/// Asks everything, and says what came of it.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    // Before the spool's owner is who runs this: the file may be root's.
    let user_token = options.user_token()?;
    let settings = settings(options);
    let rules = settings
        .as_ref()
        .map_or_else(|_| Rules::default(), Settings::rules);
    let event = options.event(user_token.as_deref(), &rules)?;
    let mut report = Report {
        json: options.json,
        worst: State::Ok,
        untold: None,
    };
    match settings {
        Err(failure) => report.add(&Finding::fail(
            "configuration",
            failure.to_string(),
            "mend that first: the rest hangs on it",
        )),
        Ok(settings) => {
            report.add(&Finding::ok(
                "configuration",
                format!("events go to {}", settings.endpoint),
            ));
            if let Some(file) = options.spool.config_file() {
                is_its_owners(file, &mut report);
            }
            examine(&settings, event.as_deref(), &mut report);
        }
    }
    if let Some(failure) = report.untold {
        return Err(failure.with_status(USAGE));
    }
    Ok(ExitCode::from(match report.worst {
        State::Ok => 0,
        State::Warn => 1,
        State::Fail => 2,
    }))
}

fn settings(options: &Options) -> Result<Settings, Failure> {
    Ok(options.spool.told_host()?.settings()?)
}

impl Options {
    fn user_token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.user_token_file else {
            return Ok(None);
        };
        let token = std::fs::read_to_string(file).map_err(|e| {
            misused(format!(
                "--user-token-file {}: {e}; name the file that holds the user's token",
                file.display()
            ))
        })?;
        Ok(Some(token.trim().to_owned()))
    }

    /// The request with the event that was asked for.
    fn event(&self, token: Option<&str>, rules: &Rules) -> Result<Option<Vec<u8>>, Failure> {
        let (Some(user), Some(token)) = (&self.send_event, token) else {
            return Ok(None);
        };
        let event = api::event(rules, user, token, &self.event);
        event.map(Some).map_err(|failure| {
            misused(format!(
                "{failure}; see --send-event, --event and --user-token-file"
            ))
        })
    }
}

fn misused(why: String) -> Failure {
    Failure::new(USAGE, why)
}

/// Root has read it, and given itself up since.
fn is_its_owners(config: &Path, report: &mut Report) {
    if owner::is_refused(config) {
        let (owner, shown) = (owner::name(), config.display());
        report.add(&Finding::warn(
            "configuration rights",
            format!("root can read {shown}, but {owner}, whose the spool is, cannot"),
            format!("let {owner} read it, unless its programs are configured elsewhere"),
        ));
    }
}

fn examine(settings: &Settings, event: Option<&[u8]>, report: &mut Report) {
    place::examine(settings, report);
    delivery::examine(settings, report);
    let token = token::examine(settings, report);
    if network::examine(settings, report) {
        api::examine(settings, token.as_ref(), event, report);
    }
}
