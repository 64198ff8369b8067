//! The options that select rejected events.

use meditopia::internals::clock::wall_ms;
use meditopia::{RejectedFilter, RejectedReason, Row};
use meditopia_fleet::rejected::Which;

use crate::failure::{FAILED, Failure, USAGE};
use crate::source::Source;
use crate::times::{Period, Zone};

/// The filters. An event has to match all that are given; the period is that of the rejection.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Those with these ids, as listed
    #[arg(long = "id", value_name = "ID", value_delimiter = ',',
        conflicts_with_all = ["user", "code", "reason", "since", "until", "may_be_delivered"])]
    ids: Vec<i64>,
    /// Only events of this partner_user_id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only events refused with this API code, such as A_1104
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only events rejected for this reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    #[command(flatten)]
    period: Period,
    /// Only events that an earlier request may have delivered (true), or cannot have (false)
    #[arg(long, value_name = "BOOL")]
    may_be_delivered: Option<bool>,
    /// At most COUNT events, the earliest first
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Why an event was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Reason {
    /// The API refused it alone.
    Refused,
    /// It waited longer than event_ttl_s.
    Expired,
    /// An operator took it out of a batch in doubt.
    SetAside,
}

/// The selected rejected events.
pub struct Selected {
    filter: RejectedFilter,
    ids: Vec<i64>,
    limit: u64,
}

/// How it is said which events are selected.
pub enum Resolved<'a> {
    Ids(Vec<i64>),
    Filter(&'a RejectedFilter),
}

impl Resolved<'_> {
    /// The same without owning the ids.
    pub fn which(&self) -> Which<'_> {
        match self {
            Self::Ids(ids) => Which::Ids(ids),
            Self::Filter(filter) => Which::Matching(filter),
        }
    }
}

impl Selection {
    /// Whether no filter is given.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
            && self.user.is_none()
            && self.code.is_none()
            && self.period.is_empty()
            && self.reason.is_none()
            && self.may_be_delivered.is_none()
            && self.limit.is_none()
    }

    /// Reads the times of the filters.
    pub fn read(&self, zone: &Zone) -> Result<Selected, Failure> {
        let (from_ms, until_ms) = self.period.read(zone)?;
        Ok(Selected {
            filter: RejectedFilter {
                user: self.user.clone(),
                api_code: self.code.clone(),
                reason: self.reason.map(|reason| match reason {
                    Reason::Refused => RejectedReason::Refused,
                    Reason::Expired => RejectedReason::Expired,
                    Reason::SetAside => RejectedReason::SetAside,
                }),
                may_be_delivered: self.may_be_delivered,
                from_ms,
                until_ms,
                after_id: 0,
            },
            ids: self.ids.clone(),
            limit: self.limit.unwrap_or(u64::MAX),
        })
    }

    /// Requires either a filter or `--all`, so that a forgotten filter does not select all events.
    pub fn require_filter_or_all(&self, all: bool) -> Result<(), Failure> {
        match (self.is_empty(), all) {
            (true, false) => Err(Failure::new(
                USAGE,
                "which events? select them by --id, --user, --code, --reason, --since or --until, or give --all",
            )),
            (false, true) => Err(Failure::new(
                USAGE,
                "--all contradicts the options that select events; leave one of them out",
            )),
            _ => Ok(()),
        }
    }
}

impl Selected {
    /// Leaves out events that are rejected from now on, so that the operator confirms exactly those
    /// that were counted.
    pub fn until_now(mut self) -> Self {
        let until = self.filter.until_ms.unwrap_or(i64::MAX);
        // Includes the current millisecond.
        self.filter.until_ms = Some(until.min(wall_ms().saturating_add(1)));
        self
    }

    /// The number of selected events, and of those among them that an earlier request may have
    /// delivered.
    pub fn count(&self, source: &mut Source) -> Result<(u64, u64), Failure> {
        if self.needs_ids() {
            let (mut all, mut perhaps_delivered) = (0, 0);
            self.for_each(source, |row| {
                all += 1;
                perhaps_delivered += u64::from(row.reason.may_be_delivered());
                Ok(())
            })?;
            return Ok((all, perhaps_delivered));
        }
        let all = source.count_rejected(&self.filter)?;
        let perhaps_delivered = match self.filter.may_be_delivered {
            Some(false) => 0,
            _ => source.count_rejected(&RejectedFilter {
                may_be_delivered: Some(true),
                ..self.filter.clone()
            })?,
        };
        Ok((all, perhaps_delivered))
    }

    /// The ids of the selected events, or the filter if it expresses the whole selection.
    pub fn resolve(&self, source: &mut Source) -> Result<Resolved<'_>, Failure> {
        if !self.needs_ids() {
            return Ok(Resolved::Filter(&self.filter));
        }
        let mut ids = Vec::new();
        self.for_each(source, |row| {
            ids.push(row.id);
            Ok(())
        })?;
        Ok(Resolved::Ids(ids))
    }

    /// Calls `visit` for each selected event, the earliest first.
    pub fn for_each(
        &self,
        source: &mut Source,
        mut visit: impl FnMut(&Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for id in &self.ids {
            let filter = RejectedFilter {
                after_id: id.saturating_sub(1),
                ..RejectedFilter::default()
            };
            match source.rejected_matching(&filter)?.next_row()? {
                Some(row) if row.id == *id => visit(&row)?,
                _ => {
                    let message = format!(
                        "no rejected event has the id {id}; it may have been requeued or discarded; list the rejected events again"
                    );
                    return Err(Failure::new(FAILED, message));
                }
            }
        }
        if !self.ids.is_empty() {
            return Ok(());
        }
        let mut rows = source.rejected_matching(&self.filter)?;
        let mut left = self.limit;
        while left > 0
            && let Some(row) = rows.next_row()?
        {
            visit(&row)?;
            left -= 1;
        }
        Ok(())
    }

    /// Whether a filter of the library cannot express the selection.
    fn needs_ids(&self) -> bool {
        !self.ids.is_empty() || self.limit < u64::MAX
    }
}
