//! How a store is reached: what its URL, the environment and the options say together.
//!
//! A connection is encrypted, and the server's certificate and name are checked, as with libpq's `verify-full`.
//! Only to this host itself, by loopback or by a socket, there is no TLS unless it is asked for. A weaker mode
//! does not exist: `require` is treated as `verify-full`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};

use crate::environment;
use crate::failure::{Failure, Result};
use crate::passfile::{self, Wanted};
use crate::url::{self, Parameters};

const PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what was sent may stay without an acknowledgement of the other host.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVES_COUNT: u32 = 3;
/// Where Debian's packages and PostgreSQL itself have their socket.
const SOCKET_DIRECTORIES: [&str; 2] = ["/run/postgresql", "/tmp"];

/// What an operator says of the store.
#[derive(Clone)]
pub struct StoreOptions {
    /// `postgres://…`.
    pub url: SecretString,
    /// A PEM file of certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether a server beyond this host may be reached without TLS.
    pub allow_plaintext: bool,
}

/// How a store is reached.
#[derive(Clone)]
pub struct Address {
    pub(crate) config: Config,
    pub(crate) connect_timeout: Duration,
    pub(crate) security: Security,
    password: Option<SecretString>,
    shown: String,
}

/// What protects a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Security {
    /// Nothing: it stays on this host, or an operator allows it.
    Plain,
    /// TLS. The server's certificate is checked against the authorities of this file, or the system's.
    Tls { ca_file: Option<PathBuf> },
}

impl Address {
    /// Reads the options, with what the environment of this process and `~/.pgpass` add.
    ///
    /// # Errors
    /// [`Outcome::Misconfigured`](crate::failure::Outcome::Misconfigured): what is wrong with it.
    pub fn read(options: &StoreOptions) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        Self::from_options(options, &variable)
    }

    /// The same with an environment of the caller's.
    pub(crate) fn from_options(
        options: &StoreOptions,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut found = url::parse(options.url.expose_secret().trim())?;
        environment::fill_in(&mut found, variable)?;
        let hosts = Hosts::read(&found)?;
        let security = security(&found, &hosts, options)?;

        let mut config = Config::new();
        for at in 0..hosts.names.len() {
            config.host(&hosts.names[at]).port(hosts.ports[at]);
        }
        for address in &hosts.addresses {
            config.hostaddr(*address);
        }
        // libpq, too, takes the user of the operating system, and a database of the user's name.
        let user = match text(&found, "user") {
            Some(user) => user.to_owned(),
            None => variable("USER").ok_or_else(|| {
                Failure::misconfigured("no user; write it into the URL or set PGUSER")
            })?,
        };
        let database = text(&found, "dbname").unwrap_or(&user).to_owned();
        let password = password(&found, &hosts, &database, &user, variable)?;
        config.user(&user).dbname(&database);
        if let Some(password) = &password {
            config.password(password.expose_secret());
        }
        config.ssl_mode(match security {
            Security::Plain => SslMode::Disable,
            Security::Tls { .. } => SslMode::Require,
        });
        config.application_name(text(&found, "application_name").unwrap_or("meditopia"));
        config.target_session_attrs(target_session(&found, hosts.names.len())?);
        config.channel_binding(match text(&found, "channel_binding") {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => return Err(choice("channel_binding", "disable, prefer, require")),
        });
        let connect_timeout = seconds(&found, "connect_timeout")?.unwrap_or(CONNECT_TIMEOUT);
        config
            .connect_timeout(connect_timeout)
            .tcp_user_timeout(milliseconds(&found)?.unwrap_or(TCP_USER_TIMEOUT))
            .keepalives_idle(seconds(&found, "keepalives_idle")?.unwrap_or(KEEPALIVES_IDLE))
            .keepalives_interval(
                seconds(&found, "keepalives_interval")?.unwrap_or(KEEPALIVES_INTERVAL),
            )
            .keepalives_retries(number(&found, "keepalives_count")?.unwrap_or(KEEPALIVES_COUNT));
        Ok(Self {
            config,
            connect_timeout: connect_timeout * hosts.names.len() as u32,
            security,
            password,
            shown: hosts.shown(),
        })
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(ExposeSecret::expose_secret)
    }

    /// Hosts and ports, for messages; neither user nor password.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

/// The servers that are tried in turn.
struct Hosts {
    names: Vec<String>,
    ports: Vec<u16>,
    addresses: Vec<IpAddr>,
}

impl Hosts {
    fn read(found: &Parameters) -> Result<Self> {
        let list = |name| {
            let value = text(found, name).unwrap_or_default();
            let items = value.split(',').map(str::to_owned);
            match value.is_empty() {
                true => Vec::new(),
                false => items.collect::<Vec<_>>(),
            }
        };
        let addresses = list("hostaddr")
            .iter()
            .map(|address| IpAddr::from_str(address))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|_| Failure::misconfigured("hostaddr: is not an IP address"))?;
        let mut names = list("host");
        if names.is_empty() {
            names = match addresses.is_empty() {
                true => vec![default_socket()],
                false => addresses.iter().map(IpAddr::to_string).collect(),
            };
        }
        if names.iter().any(String::is_empty) {
            return Err(Failure::misconfigured("host: one of them is empty"));
        }
        if !addresses.is_empty() && addresses.len() != names.len() {
            return Err(Failure::misconfigured(
                "hostaddr: give as many as there are hosts",
            ));
        }
        let port_of = |text: &String| match text.as_str() {
            "" => Ok(PORT),
            text => match text.parse() {
                Ok(0) | Err(_) => Err(Failure::misconfigured(
                    "port: is not a number from 1 to 65535",
                )),
                Ok(port) => Ok(port),
            },
        };
        let mut ports = list("port")
            .iter()
            .map(port_of)
            .collect::<Result<Vec<_>>>()?;
        match ports.len() {
            0 => ports = vec![PORT; names.len()],
            1 => ports = vec![ports[0]; names.len()],
            count if count == names.len() => {}
            _ => {
                return Err(Failure::misconfigured(
                    "port: give one, or as many as there are hosts",
                ));
            }
        }
        Ok(Self {
            names,
            ports,
            addresses,
        })
    }

    /// Whether all of them are this host.
    fn are_local(&self) -> bool {
        let mut names = self.names.iter().enumerate();
        names.all(|(at, name)| match self.addresses.get(at) {
            Some(address) => address.is_loopback(),
            None => {
                let address = IpAddr::from_str(name).is_ok_and(|address| address.is_loopback());
                address || name == "localhost" || name.starts_with('/')
            }
        })
    }

    fn shown(&self) -> String {
        let each = self.names.iter().zip(&self.ports);
        let each = each.map(|(name, port)| match name.contains(':') {
            true => format!("[{name}]:{port}"),
            false => format!("{name}:{port}"),
        });
        each.collect::<Vec<_>>().join(",")
    }
}

fn default_socket() -> String {
    let found = SOCKET_DIRECTORIES.into_iter().find(|directory| {
        Path::new(directory)
            .join(format!(".s.PGSQL.{PORT}"))
            .exists()
    });
    found.unwrap_or(SOCKET_DIRECTORIES[0]).to_owned()
}

fn security(found: &Parameters, hosts: &Hosts, options: &StoreOptions) -> Result<Security> {
    let ca_file = match (text(found, "sslrootcert"), &options.ca_file) {
        (None | Some("system"), file) => file.clone(),
        (Some(file), None) => Some(PathBuf::from(file)),
        (Some(_), Some(_)) => {
            return Err(Failure::misconfigured(
                "the URL has sslrootcert and store_ca_file is set; leave one of them out",
            ));
        }
    };
    let plain = match text(found, "sslmode") {
        None => hosts.are_local(),
        Some("disable") => true,
        // Stronger than asked for.
        Some("verify-full" | "verify-ca" | "require") => false,
        Some("allow" | "prefer") => {
            return Err(Failure::misconfigured(
                "sslmode: allow and prefer may send the password unencrypted; write verify-full",
            ));
        }
        Some(_) => return Err(choice("sslmode", "disable, verify-full")),
    };
    match plain {
        false => Ok(Security::Tls { ca_file }),
        true if hosts.are_local() || options.allow_plaintext => Ok(Security::Plain),
        true => Err(Failure::misconfigured(
            "sslmode=disable would send events and the password unencrypted to another host; leave it out, or set store_allow_plaintext = true",
        )),
    }
}

fn password(
    found: &Parameters,
    hosts: &Hosts,
    database: &str,
    user: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>> {
    if let Some(password) = text(found, "password") {
        return Ok(Some(password.into()));
    }
    let file = match text(found, "passfile") {
        Some(file) => PathBuf::from(file),
        None => match variable("HOME") {
            Some(home) => Path::new(&home).join(".pgpass"),
            None => return Ok(None),
        },
    };
    for (name, port) in hosts.names.iter().zip(&hosts.ports) {
        let host = match name.starts_with('/') {
            true => "localhost",
            false => name,
        };
        let wanted = Wanted {
            host,
            port: *port,
            database,
            user,
        };
        if let Some(password) = passfile::find(&file, &wanted)? {
            return Ok(Some(password));
        }
    }
    Ok(None)
}

/// With several servers, the one that takes changes: the others are its standbys.
fn target_session(found: &Parameters, hosts: usize) -> Result<TargetSessionAttrs> {
    match text(found, "target_session_attrs") {
        None if hosts > 1 => Ok(TargetSessionAttrs::ReadWrite),
        None | Some("any") => Ok(TargetSessionAttrs::Any),
        Some("read-write" | "primary") => Ok(TargetSessionAttrs::ReadWrite),
        Some(_) => Err(choice("target_session_attrs", "any, read-write")),
    }
}

fn text<'a>(found: &'a Parameters, name: &str) -> Option<&'a str> {
    found.get(name).map(String::as_str)
}

fn number(found: &Parameters, name: &'static str) -> Result<Option<u32>> {
    let Some(value) = text(found, name) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number @ 1..=1_000_000) => Ok(Some(number)),
        _ => Err(Failure::misconfigured(format_args!(
            "{name}: is not a whole number from 1 to 1000000"
        ))),
    }
}

fn seconds(found: &Parameters, name: &'static str) -> Result<Option<Duration>> {
    let seconds = number(found, name)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

fn milliseconds(found: &Parameters) -> Result<Option<Duration>> {
    let milliseconds = number(found, "tcp_user_timeout")?;
    Ok(milliseconds.map(|milliseconds| Duration::from_millis(milliseconds.into())))
}

fn choice(name: &str, known: &str) -> Failure {
    Failure::misconfigured(format_args!("{name}: is not one of {known}"))
}

#[cfg(test)]
mod tests;
