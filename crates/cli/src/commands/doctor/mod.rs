//! `meditopia doctor`: checks everything between a spool and the API, and says what to fix.
//!
//! The checks run in the order in which a delivery would fail: configuration, spool, pause, token,
//! name, connection, TLS, the API's answer, clock. The API gets a request without events: it checks
//! the token and the address first, and whatever it answers, no event can be counted.

mod alarms;
mod api;
mod certificate;
mod delivery;
mod fleet;
mod network;
mod spool_directory;
mod token;

use std::path::Path;
use std::process::ExitCode;

use meditopia::internals::config::{Settings, read_text};
use meditopia::internals::event::Rules;
use serde::Serialize;

use crate::alarms::{Alarm, Grade};
use crate::failure::{Failure, USAGE};
use crate::options::source::SourceOptions;
use crate::options::spool::TokenUse;
use crate::options::typed::Typed;
use crate::output::{print_line, shown, shown_json};
use crate::owner;

/// The last part of `--help`.
pub const EXIT_CODES: &str =
    "Prints one line for each check: ok, warn or FAIL, what was found, and what to do.

With --store it checks a fleet: its database, and what hosts and relays have said there.

Exit status:
  0  all is well
  1  delivery works, with warnings
  2  a check failed: nothing can be delivered, or soon nothing can
  (2 also if the command line is wrong or the output cannot be written)

Examples:
  meditopia doctor --config /etc/meditopia/shop.toml
  meditopia doctor --config /etc/meditopia/shop.toml --json
  meditopia doctor --store-file /etc/meditopia/store    # of a fleet";

/// The arguments of `meditopia doctor`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// Print one JSON object per line instead of text
    #[arg(long)]
    json: bool,
    /// Send one event of this user, which counts as a real one if the API accepts it; the spool is not used
    #[arg(long, value_name = "USER", requires = "user_token_file")]
    send_event: Option<String>,
    /// The file with that user's token
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

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    Warn,
    Fail,
}

/// What a check has found.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub state: State,
    pub finding: String,
    /// What to do, if there is something to do.
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

    /// An alarm as a finding about `what`.
    pub fn of(what: &'static str, alarm: Alarm) -> Self {
        Self {
            what,
            state: match alarm.grade {
                Grade::Ok => State::Ok,
                Grade::Warning => State::Warn,
                Grade::Critical | Grade::Unknown => State::Fail,
            },
            finding: alarm.finding,
            advice: Some(alarm.advice),
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

/// Prints each finding at once, and keeps the worst result.
pub struct Report {
    json: bool,
    worst: State,
    /// Why a finding could not be printed.
    print_failure: Option<Failure>,
}

impl Report {
    fn new(json: bool) -> Self {
        Self {
            json,
            worst: State::Ok,
            print_failure: None,
        }
    }

    /// The exit status.
    fn end(self) -> Result<ExitCode, Failure> {
        if let Some(failure) = self.print_failure {
            return Err(failure.with_status(USAGE));
        }
        Ok(ExitCode::from(match self.worst {
            State::Ok => 0,
            State::Warn => 1,
            State::Fail => 2,
        }))
    }

    pub fn add(&mut self, finding: &Finding) {
        self.worst = self.worst.max(finding.state);
        let printed = print_line(self.line(finding));
        self.print_failure = self.print_failure.take().or(printed.err());
    }

    fn line(&self, finding: &Finding) -> String {
        if self.json {
            // All members are strings, so this cannot fail.
            return shown_json(&serde_json::to_string(finding).unwrap_or_default());
        }
        let state = match finding.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let advice = finding.advice.iter().map(|advice| format!("; {advice}"));
        let line = format!(
            "{state}  {}: {}{}",
            finding.what,
            finding.finding,
            advice.collect::<String>()
        );
        shown(&line, &[])
    }
}

/// Runs all checks and prints their findings.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    if let Some((address, typed)) = options.source.store()? {
        if options.send_event.is_some() {
            return Err(usage_error(
                "--send-event: a fleet's relays send; leave it out, or leave the store out and name a configuration with a bearer token".to_owned(),
            ));
        }
        let mut report = Report::new(options.json);
        fleet::check(&address, &typed, &mut report);
        return report.end();
    }
    let settings = settings(options);
    // Read with the rights of the spool's owner, because the token is sent where the spool says.
    let user_token = match &settings {
        Ok(_) => options.user_token()?,
        Err(_) => None,
    };
    let rules = settings
        .as_ref()
        .map_or_else(|_| Rules::default(), Settings::rules);
    let request = options.request(user_token.as_deref(), &rules)?;
    let mut report = Report::new(options.json);
    match settings {
        Err(failure) => report.add(&Finding::fail(
            "configuration",
            failure.to_string(),
            "correct this first; the other checks depend on it",
        )),
        Ok(settings) => {
            report.add(&Finding::ok(
                "configuration",
                format!("events go to {}", settings.endpoint),
            ));
            if let Some(file) = options.source.spool().config_file() {
                check_owner_can_read(file, &mut report);
            }
            let typed = settings
                .spool
                .as_deref()
                .map(|dir| options.source.spool().typed(dir));
            run_checks(&settings, typed.as_ref(), request.as_deref(), &mut report);
        }
    }
    report.end()
}

fn settings(options: &Options) -> Result<Settings, Failure> {
    let config = options
        .source
        .spool()
        .config_with_printed_warnings(TokenUse::Sent)?;
    Ok(config.settings()?)
}

impl Options {
    fn user_token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.user_token_file else {
            return Ok(None);
        };
        let token = read_text(file).map_err(|e| {
            let owner = match owner::gave_up_root() {
                true => format!(" (read as the spool's owner, {})", owner::current_user()),
                false => String::new(),
            };
            usage_error(format!(
                "--user-token-file {}: {e}{owner}; name the file that holds the user's token",
                file.display()
            ))
        })?;
        Ok(Some(token.trim().to_owned()))
    }

    /// The request with the event of `--send-event`.
    fn request(&self, token: Option<&str>, rules: &Rules) -> Result<Option<Vec<u8>>, Failure> {
        let (Some(user), Some(token)) = (&self.send_event, token) else {
            return Ok(None);
        };
        let request = api::request_with_event(rules, user, token, &self.event);
        request.map(Some).map_err(|failure| {
            usage_error(format!(
                "{failure}; see --send-event, --event and --user-token-file"
            ))
        })
    }
}

fn usage_error(why: String) -> Failure {
    Failure::new(USAGE, why)
}

/// Warns if root could read the configuration file but the spool's owner cannot.
fn check_owner_can_read(config: &Path, report: &mut Report) {
    if owner::is_unreadable(config) {
        let (owner, shown) = (owner::current_user(), config.display());
        report.add(&Finding::warn(
            "configuration rights",
            format!("root can read {shown}, but the spool's owner, {owner}, cannot"),
            format!("let {owner} read it, unless the applications are configured elsewhere"),
        ));
    }
}

fn run_checks(
    settings: &Settings,
    typed: Option<&Typed>,
    request: Option<&[u8]>,
    report: &mut Report,
) {
    spool_directory::check(settings, report);
    if let (Some(dir), Some(typed)) = (&settings.spool, typed) {
        delivery::check(dir, typed, report);
        alarms::check(dir, typed, report);
    }
    let token = token::check(settings, report);
    if network::check(settings, report) {
        api::check(settings, token.as_ref(), request, report);
    }
}
