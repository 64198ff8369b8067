//! What operators look at and decide about: a spool, or a fleet in its database. Each command has one list and one
//! change for both.

mod change;
mod owners;
mod rows;

use meditopia::internals::client::Search;
use meditopia::{Client, PauseReason, PendingFilter, ReceiptFilter, RejectedFilter, Row};
use meditopia_fleet::look::Look;
use meditopia_fleet::look::pending::PendingPages;
use meditopia_fleet::look::receipts::ReceiptPages;

pub use self::rows::{ReceiptRows, Rows};
use crate::failure::Failure;

/// A spool or a fleet that is open.
pub enum Source {
    Spool(Client),
    Store(Box<Look>),
}

/// What a search looks at again and again.
pub struct Progress {
    pub delivered: u64,
    pub pending: u64,
    pub paused: Option<PauseReason>,
}

impl Source {
    pub fn store(look: Look) -> Self {
        Self::Store(Box::new(look))
    }

    /// The pending events that `filter` takes.
    pub fn pending(&mut self, filter: &PendingFilter) -> Result<Rows<'_>, Failure> {
        Ok(match self {
            Self::Spool(client) => Rows::Spool(client.pending(filter)?),
            Self::Store(look) => Rows::pending(look, PendingPages::new(filter.clone())),
        })
    }

    /// The rejected events that `filter` takes, the earliest first.
    pub fn rejected_matching(&mut self, filter: &RejectedFilter) -> Result<Rows<'_>, Failure> {
        Ok(match self {
            Self::Spool(client) => Rows::Spool(client.rejected_matching(filter)?),
            Self::Store(look) => Rows::rejected(look, filter.clone()),
        })
    }

    /// The events in doubt.
    pub fn in_doubt(&mut self) -> Result<Rows<'static>, Failure> {
        Ok(match self {
            Self::Spool(client) => Rows::Spool(client.in_doubt(0)?),
            Self::Store(look) => {
                let events = look.in_doubt()?.into_iter();
                Rows::read(events.map(|event| event.row))
            }
        })
    }

    /// The receipts that `filter` takes.
    pub fn receipts(&mut self, filter: &ReceiptFilter) -> Result<ReceiptRows<'_>, Failure> {
        Ok(match self {
            Self::Spool(client) => ReceiptRows::Spool(client.receipts(filter)?),
            Self::Store(look) => ReceiptRows::store(look, ReceiptPages::new(filter.clone())),
        })
    }

    /// How many rejected events `filter` takes.
    pub fn count_rejected(&mut self, filter: &RejectedFilter) -> Result<u64, Failure> {
        Ok(match self {
            Self::Spool(client) => client.count_rejected(filter)?,
            Self::Store(look) => look.count_rejected(filter)?,
        })
    }

    /// How far a search for events on which the API fails has come.
    pub fn search(&mut self) -> Result<Search, Failure> {
        Ok(match self {
            Self::Spool(client) => client.search()?,
            Self::Store(look) => look.search()?,
        })
    }

    /// What was delivered, what is pending, and why delivery is paused. Lanes of a fleet pause by themselves for an API that
    /// fails; any other pause is named first.
    pub fn progress(&mut self) -> Result<Progress, Failure> {
        match self {
            Self::Spool(client) => {
                let stats = client.stats()?;
                Ok(Progress {
                    delivered: stats.delivered,
                    pending: stats.pending,
                    paused: stats.paused,
                })
            }
            Self::Store(look) => {
                let figures = look.figures()?;
                Ok(Progress {
                    delivered: figures.totals.delivered,
                    pending: figures.pending(),
                    paused: crate::output::fleet::pause(&figures),
                })
            }
        }
    }

    /// All events in doubt.
    pub fn rows_in_doubt(&mut self) -> Result<Vec<Row>, Failure> {
        let mut list = self.in_doubt()?;
        let mut rows = Vec::new();
        while let Some(row) = list.next_row()? {
            rows.push(row);
        }
        Ok(rows)
    }
}
