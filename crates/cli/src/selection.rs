//! Which rejected events a command is about.

use meditopia::internals::clock::wall_ms;
use meditopia::{Client, RejectedFilter, RejectedReason, Row};

use crate::failure::{FAILED, Failure, USAGE};
use crate::times::{Period, Zone};

/// The filters; together they narrow down. The time is that of the rejection.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Those with these ids, from the list
    #[arg(long = "id", value_name = "ID", value_delimiter = ',',
        conflicts_with_all = ["user", "code", "reason", "since", "until", "may_be_delivered"])]
    ids: Vec<i64>,
    /// Of this partner_user_id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Refused with this API code, such as A_1104
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// For this reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    #[command(flatten)]
    period: Period,
    /// Whether an earlier request may have delivered them
    #[arg(long, value_name = "BOOL")]
    may_be_delivered: Option<bool>,
    /// At most so many, the earliest first
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

/// Rejected events, chosen.
pub struct Selected {
    filter: RejectedFilter,
    ids: Vec<i64>,
    limit: u64,
}

impl Selection {
    /// Whether it narrows nothing down.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
            && self.user.is_none()
            && self.code.is_none()
            && self.period.is_empty()
            && self.reason.is_none()
            && self.may_be_delivered.is_none()
            && self.limit.is_none()
    }

    /// The filters with their times read.
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

    /// Refuses to take an empty selection for all events.
    pub fn needs_all(&self, all: bool) -> Result<(), Failure> {
        match (self.is_empty(), all) {
            (true, false) => Err(Failure::new(
                USAGE,
                "which events? choose them by --id, --user, --code, --reason, --since or --until, or say --all",
            )),
            (false, true) => Err(Failure::new(
                USAGE,
                "--all and a choice of events contradict each other; leave one out",
            )),
            _ => Ok(()),
        }
    }
}

impl Selected {
    /// Leaves out what is rejected from now on, so that nobody answers for what was not counted.
    pub fn upto_now(mut self) -> Self {
        let until = self.filter.until_ms.unwrap_or(i64::MAX);
        // The millisecond that runs is counted, too.
        self.filter.until_ms = Some(until.min(wall_ms().saturating_add(1)));
        self
    }

    /// How many there are now, and of how many an earlier request may have delivered them.
    pub fn count(&self, client: &Client) -> Result<(u64, u64), Failure> {
        if self.is_listed() {
            let (mut all, mut risky) = (0, 0);
            self.each(client, |row| {
                all += 1;
                risky += u64::from(row.reason.may_be_delivered());
                Ok(())
            })?;
            return Ok((all, risky));
        }
        let all = client.count_rejected(&self.filter)?;
        let risky = match self.filter.may_be_delivered {
            Some(false) => 0,
            _ => client.count_rejected(&RejectedFilter {
                may_be_delivered: Some(true),
                ..self.filter.clone()
            })?,
        };
        Ok((all, risky))
    }

    /// The ids, where they have to be named one by one; else the filter says it.
    pub fn named(&self, client: &Client) -> Result<Result<Vec<i64>, &RejectedFilter>, Failure> {
        if !self.is_listed() {
            return Ok(Err(&self.filter));
        }
        let mut ids = Vec::new();
        self.each(client, |row| {
            ids.push(row.id);
            Ok(())
        })?;
        Ok(Ok(ids))
    }

    /// Goes through them, the earliest first.
    pub fn each(
        &self,
        client: &Client,
        mut take: impl FnMut(&Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for id in &self.ids {
            let filter = RejectedFilter {
                after_id: id.saturating_sub(1),
                ..RejectedFilter::default()
            };
            match client.rejected_matching(&filter)?.next_row()? {
                Some(row) if row.id == *id => take(&row)?,
                _ => {
                    let message = format!(
                        "no rejected event has the id {id}; it may be requeued or discarded by now: see meditopia rejected list"
                    );
                    return Err(Failure::new(FAILED, message));
                }
            }
        }
        if !self.ids.is_empty() {
            return Ok(());
        }
        let mut rows = client.rejected_matching(&self.filter)?;
        let mut left = self.limit;
        while left > 0
            && let Some(row) = rows.next_row()?
        {
            take(&row)?;
            left -= 1;
        }
        Ok(())
    }

    fn is_listed(&self) -> bool {
        !self.ids.is_empty() || self.limit < u64::MAX
    }
}
