//! The database of a fleet: made, upgraded, printed as SQL, adopted.

use std::process::ExitCode;

use meditopia::{Config, UtcOffset};
use meditopia_fleet::place::{self, Place};
use meditopia_fleet::schema::{self, Plan, VERSION};

use super::{AdoptOptions, InitOptions, PlanOptions, StoreOnly};
use crate::failure::{Failure, USAGE};
use crate::output::print_line;

pub(super) fn init(options: &InitOptions) -> Result<ExitCode, Failure> {
    let plan = read(&options.plan)?;
    let mut connection = options.store.connect()?;
    schema::install(&mut connection, &plan)?;
    let (lanes, endpoint) = (plan.lanes, &plan.endpoint);
    print_line(format_args!(
        "the fleet is set up with {lanes} lane{} for {endpoint}; give each user of the database one of its roles: GRANT meditopia_forward TO ...",
        if lanes == 1 { "" } else { "s" },
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print_sql(options: &PlanOptions) -> Result<ExitCode, Failure> {
    let script = schema::install_script(&read(options)?);
    print_line(script.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn upgrade(options: &StoreOnly) -> Result<ExitCode, Failure> {
    let mut connection = options.store.connect()?;
    let before = schema::upgrade(&mut connection)?;
    match before == VERSION {
        true => print_line(format_args!("the schema has version {VERSION} already"))?,
        false => print_line(format_args!(
            "the schema was upgraded from version {before} to {VERSION}"
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn adopt(options: &AdoptOptions) -> Result<ExitCode, Failure> {
    let endpoint = options.endpoint.as_deref().map(checked_endpoint);
    let account = options.account.as_deref().map(checked_account);
    let (endpoint, account) = (endpoint.transpose()?, account.transpose()?);
    let mut connection = options.store.connect()?;
    let before = Place::read(&mut connection)?;
    place::adopt(&mut connection, endpoint.as_deref(), account.as_deref())?;
    let now = Place::read(&mut connection)?;
    print_line(match before.is_at_home {
        true => "the database is the fleet's own, as before",
        false => {
            "adopted: from now on the fleet is used in this database; no other copy may ever be used"
        }
    })?;
    if (&before.endpoint, &before.account) != (&now.endpoint, &now.account) {
        let (endpoint, account) = (&now.endpoint, &now.account);
        print_line(format_args!(
            "its events go to {endpoint}, account {account:?}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(options: &PlanOptions) -> Result<Plan, Failure> {
    let endpoint = match &options.endpoint {
        Some(endpoint) => checked_endpoint(endpoint)?,
        None => Config::new().get("endpoint")?,
    };
    let offset = UtcOffset::parse(&options.utc_offset)
        .ok_or_else(|| Failure::new(USAGE, "--utc-offset: is not of the form +HH:MM or -HH:MM"))?;
    Ok(Plan {
        lanes: options.lanes,
        endpoint,
        account: checked_account(&options.account)?,
        utc_offset_minutes: (offset.seconds() / 60) as i32,
        max_event_bytes: options.max_event_bytes,
    })
}

fn checked_endpoint(endpoint: &str) -> Result<String, Failure> {
    let mut config = Config::new();
    config.set("endpoint", endpoint)?;
    Ok(config.get("endpoint")?)
}

fn checked_account(account: &str) -> Result<String, Failure> {
    let mut config = Config::new();
    config.set("account", account)?;
    Ok(config.get("account")?)
}
