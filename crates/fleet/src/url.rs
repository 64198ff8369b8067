//! The store's URL, taken apart: `postgres://user:password@host:port,host2/database?name=value`.
//!
//! No message repeats any of it. A password with an unescaped `/` or `?` moves into the place of the database
//! or of a parameter, so even a name is only said where it is one that PostgreSQL knows.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::failure::{Failure, Result};

/// What is understood, by the names of libpq.
pub(crate) const SUPPORTED: [&str; 17] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "sslmode",
    "sslrootcert",
    "connect_timeout",
    "application_name",
    "target_session_attrs",
    "tcp_user_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "channel_binding",
];

/// What libpq knows besides: to leave it out would change what the operator asked for.
const UNSUPPORTED: [&str; 32] = [
    "authtype",
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslkey",
    "sslpassword",
];

const FORM: &str = "is not a URL of the form postgres://user:password@host:port/database";
const ESCAPES: &str =
    "in a user or password, write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25";

/// What a URL says, by the names of libpq. Its values are secret.
pub(crate) type Parameters = BTreeMap<&'static str, String>;

/// Takes `url` apart.
pub(crate) fn parse(url: &str) -> Result<Parameters> {
    let wrong = |what: &str| Failure::misconfigured(format_args!("{what}; {ESCAPES}"));
    let rest = ["postgres://", "postgresql://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or_else(|| wrong(FORM))?;
    if rest.contains('#') {
        return Err(wrong("the URL has a #"));
    }
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = match before_query.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (before_query, None),
    };
    let behind = [database.unwrap_or_default(), query];
    if behind.iter().any(|part| part.contains('@')) {
        return Err(wrong("the URL has an @ behind its host"));
    }
    if database.is_some_and(|database| database.contains(['/', ':'])) {
        return Err(wrong("the database has a / or a :"));
    }
    let mut found = Parameters::new();
    let hosts = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            let (user, password) = match user.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user, None),
            };
            put(&mut found, "user", user)?;
            put(&mut found, "password", password.unwrap_or_default())?;
            hosts
        }
        None => authority,
    };
    read_hosts(hosts, &mut found)?;
    put(&mut found, "dbname", database.unwrap_or_default())?;
    for (place, parameter) in query.split('&').enumerate() {
        if parameter.is_empty() {
            continue;
        }
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| wrong(&format!("parameter {} of the URL has no =", place + 1)))?;
        let name = known(name, place + 1)?;
        put(&mut found, name, value)?;
    }
    Ok(found)
}

/// A name as it stands in the tables above.
fn known(name: &str, number: usize) -> Result<&'static str> {
    let same = |known: &&&str| **known == name;
    if let Some(name) = SUPPORTED.iter().find(same) {
        return Ok(name);
    }
    let Some(name) = UNSUPPORTED.iter().find(same) else {
        return Err(Failure::misconfigured(format_args!(
            "parameter {number} of the URL is none that PostgreSQL knows; known here: {}; {ESCAPES}",
            SUPPORTED.join(", ")
        )));
    };
    let instead = match *name {
        "options" => "; set it for the role instead: ALTER ROLE ... SET ...",
        "service" | "servicefile" => "; write what the service says into the URL",
        _ => "",
    };
    Err(Failure::misconfigured(format_args!(
        "{name}: is not supported; leave it out{instead}"
    )))
}

fn put(found: &mut Parameters, name: &'static str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    let value = percent_decode_str(value)
        .decode_utf8()
        .map_err(|_| Failure::misconfigured(format_args!("{name}: is not UTF-8")))?;
    if value.contains('\0') {
        return Err(Failure::misconfigured(format_args!("{name}: has a NUL")));
    }
    match found.insert(name, value.into_owned()) {
        None => Ok(()),
        Some(_) => Err(Failure::misconfigured(format_args!(
            "{name}: is given twice"
        ))),
    }
}

/// `host:port,[::1]:port` becomes two lists of the same length.
fn read_hosts(text: &str, found: &mut Parameters) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for one in text.split(',') {
        let (host, port) = match one.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| {
                    Failure::misconfigured("the URL's host has a [ without its ]")
                })?;
                (host, rest.strip_prefix(':').unwrap_or(rest))
            }
            None => one.split_once(':').unwrap_or((one, "")),
        };
        hosts.push(host);
        ports.push(port);
    }
    put(found, "host", &hosts.join(","))?;
    match ports.iter().all(|port| port.is_empty()) {
        true => Ok(()),
        false => put(found, "port", &ports.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Vec<(&'static str, String)> {
        parse(url).unwrap().into_iter().collect()
    }

    #[test]
    fn each_part_of_a_url_is_read_and_decoded() {
        let url = "postgresql://ada:p%40ss%2F@db1,[::1]:6432/shop?sslmode=verify-full&application_name=a%20b";
        let expected = [
            ("application_name", "a b"),
            ("dbname", "shop"),
            ("host", "db1,::1"),
            ("password", "p@ss/"),
            ("port", ",6432"),
            ("sslmode", "verify-full"),
            ("user", "ada"),
        ];
        assert_eq!(
            parsed(url),
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        assert_eq!(parsed("postgres://"), []);
        assert_eq!(
            parsed("postgres:///shop?host=/run/postgresql"),
            [
                ("dbname", "shop".to_owned()),
                ("host", "/run/postgresql".to_owned())
            ]
        );
    }

    #[test]
    fn no_message_about_a_url_repeats_a_part_of_it() {
        let parts = ["zebra", "quagga", "okapi", "7531"];
        for url in [
            "mysql://zebra:quagga@okapi/7531",
            "zebra",
            "postgres://zebra:7531/quagga@okapi/x",
            "postgres://zebra:7531/quagga@okapi",
            "postgres://zebra:7531?user=quagga@okapi",
            "postgres://zebra:7531?quagga@okapi/x",
            "postgres://zebra:7531?quagga=okapi",
            "postgres://zebra:7531#quagga@okapi/x",
            "postgres://zebra:quagga@okapi/7531?quagga",
            "postgres://zebra:quagga%FF@okapi/",
            "postgres://zebra:quagga%00@okapi/",
            "postgres://zebra:quagga@[okapi/",
            "postgres://zebra:quagga@okapi/x/7531",
            "postgres://zebra@okapi/x?user=quagga",
        ] {
            let message = parse(url).unwrap_err().message().to_owned();
            for part in parts {
                assert!(!message.contains(part), "{url}: {message}");
            }
        }
    }

    #[test]
    fn what_postgresql_knows_and_this_client_does_not_is_refused_by_its_name() {
        for name in UNSUPPORTED {
            let message = parse(&format!("postgres://h/d?{name}=x")).unwrap_err();
            assert!(
                message
                    .message()
                    .starts_with(&format!("store: {name}: is not supported"))
            );
        }
    }
}
