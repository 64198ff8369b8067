//! A connection to the store: one statement at a time, each with a deadline.
//!
//! Statements are unnamed and take one round trip with their parameters' types
//! ([`Client::query_typed`]), and a connection has no startup parameters but its name: that is what a PgBouncer
//! in transaction mode can pass on. After an outcome that is not known, the connection takes no more statements.
//!
//! The driver is the asynchronous half of the crate `postgres`, on a runtime of the connection's own: its
//! blocking half has no deadline, and a server that stands still would keep its caller for ever.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};

use crate::address::{Address, Security};
use crate::failure::{Failure, Outcome, Result};
use crate::tls;

/// The deadline of a statement, unless another is set.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A parameter of a statement, with its type.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection.
pub struct Connection {
    address: Address,
    client: Client,
    statement_timeout: Duration,
    broken: bool,
    ended: bool,
    /// Always there until it is dropped, which must not wait for a look-up of a name.
    runtime: Option<Runtime>,
}

impl Connection {
    /// Connects, authenticates, and no more: which database it is, [`Place::of`](crate::place::Place::of) says.
    ///
    /// # Errors
    /// [`Outcome::Unreachable`], [`Outcome::Refused`], [`Outcome::Misconfigured`]
    pub fn open(address: &Address) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| Failure::new(Outcome::Unreachable, format!("store: {cause}")))?;
        let connected = runtime.block_on(within(
            address.connect_timeout,
            connect(&address.config, &address.security, address.password()),
        ));
        let connected = match connected {
            Some(connected) => connected,
            None => Err(Failure::new(
                Outcome::Unreachable,
                format!("no answer within {:?}", address.connect_timeout),
            )),
        };
        match connected {
            Ok(client) => Ok(Self {
                address: address.clone(),
                client,
                statement_timeout: STATEMENT_TIMEOUT,
                broken: false,
                ended: false,
                runtime: Some(runtime),
            }),
            Err(failure) => {
                runtime.shutdown_background();
                Err(match failure.outcome() {
                    Outcome::Misconfigured => failure,
                    _ => failure.while_doing(format_args!("store {}", address.shown())),
                })
            }
        }
    }

    /// Sets the deadline of each later statement.
    pub fn set_statement_timeout(&mut self, timeout: Duration) {
        self.statement_timeout = timeout;
    }

    /// Whether it takes no more statements.
    pub fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    /// Whether a statement has found that the other side, or the way to it, has ended the connection. A deadline
    /// that has passed does not say so.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Executes one statement and returns its rows.
    ///
    /// # Errors
    /// [`Outcome::Refused`]: nothing was done. [`Outcome::Unknown`]: it was done or not, and this connection is
    /// broken.
    pub fn query(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        self.wait_for(|client| async move { client.query_typed(sql, parameters).await })
    }

    /// Executes one statement that returns one row.
    ///
    /// # Errors
    /// As [`query`](Self::query); [`Outcome::Unusable`] for another number of rows.
    pub fn query_one(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row> {
        let rows = self.query(sql, parameters)?;
        let count = rows.len();
        let mut rows = rows.into_iter();
        match (rows.next(), rows.next()) {
            (Some(row), None) => Ok(row),
            _ => Err(unusable(format_args!("{count} rows instead of one"))),
        }
    }

    /// Executes a script, which says itself where its transaction begins and ends.
    ///
    /// # Errors
    /// As [`query`](Self::query). After a refusal within a transaction the connection is broken.
    pub fn run_script(&mut self, sql: &str) -> Result<()> {
        let done = self.wait_for(|client| async move { client.batch_execute(sql).await });
        // The transaction that has failed is still open.
        self.broken |= done.is_err();
        done
    }

    fn wait_for<'a, T, F>(&'a mut self, statement: impl FnOnce(&'a Client) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, tokio_postgres::Error>> + 'a,
    {
        let closed = || Failure::new(Outcome::Unreachable, "store: the connection has ended");
        let (true, Some(runtime)) = (!self.broken, &self.runtime) else {
            return Err(closed());
        };
        let answer = runtime.block_on(within(self.statement_timeout, statement(&self.client)));
        let failure = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(cause)) => {
                let failure = Failure::from_driver(&cause, true, self.address.password());
                self.ended |= *failure.outcome() == Outcome::Unknown;
                failure
            }
            None => Failure::new(
                Outcome::Unknown,
                format!("no answer within {:?}", self.statement_timeout),
            ),
        };
        self.broken |= *failure.outcome() == Outcome::Unknown;
        Err(failure.while_doing(format_args!("store {}", self.address.shown())))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address.shown())
    }
}

/// A column of a row.
///
/// # Errors
/// [`Outcome::Unusable`]: it has another type.
pub fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(unusable)
}

fn unusable(what: impl std::fmt::Display) -> Failure {
    Failure::new(
        Outcome::Unusable,
        format!("store: the database answers what this version does not understand ({what})"),
    )
}

async fn within<T>(time: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, what).await.ok()
}

async fn connect(config: &Config, security: &Security, password: Option<&str>) -> Result<Client> {
    let failed = |cause| Failure::from_driver(&cause, false, password);
    match security {
        Security::Plain => {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            tokio::spawn(connection);
            Ok(client)
        }
        Security::Tls { ca_file } => {
            let connector = tls::connector(ca_file.as_deref())?;
            let (client, connection) = config.connect(connector).await.map_err(failed)?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}
