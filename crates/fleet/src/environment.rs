//! The variables of libpq, which fill in what the URL does not say.

use crate::failure::{Failure, Result};
use crate::url::Parameters;

/// A variable, and the parameter that it stands for.
const VARIABLES: [(&str, &str); 12] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGCHANNELBINDING", "channel_binding"),
];

/// Each would change how libpq connects, and does nothing here.
const UNSUPPORTED: [&str; 5] = [
    "PGSERVICE",
    "PGOPTIONS",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGREQUIREPEER",
];

/// Adds what the variables say and `parameters` do not.
pub(crate) fn fill_in(
    parameters: &mut Parameters,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(name) = UNSUPPORTED.into_iter().find(|name| set(name).is_some()) {
        return Err(Failure::misconfigured(format_args!(
            "{name} is set in the environment and is not supported; unset it for this command"
        )));
    }
    // A server that the URL names is not the one that the variables mean by another part of its name.
    let names_host = parameters.contains_key("host") || parameters.contains_key("hostaddr");
    for (name, parameter) in VARIABLES {
        let is_host = matches!(parameter, "host" | "hostaddr");
        if parameters.contains_key(parameter) || (is_host && names_host) {
            continue;
        }
        if let Some(value) = set(name) {
            parameters.insert(parameter, value);
        }
    }
    Ok(())
}
