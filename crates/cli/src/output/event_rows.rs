//! Prints lists of events: as a table, with all details, or as one JSON object per line.

use std::borrow::Cow;

use meditopia::{Row, RowReason};
use serde::Deserialize;

use crate::failure::Failure;
use crate::output::{Output, OutputOptions, Tone, sanitize};
use crate::source::Rows;
use crate::times::Zone;

/// How much is printed about each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One line.
    Line,
    /// All that is known.
    Full,
}

/// The fields of an event that a line shows.
#[derive(Deserialize)]
struct Event {
    partner_user_id: String,
    event: String,
    event_value: Option<String>,
}

/// Prints events in the form that the options ask for.
pub struct RowPrinter<'a> {
    options: &'a OutputOptions,
    detail: Detail,
    zone: Zone,
    printed: u64,
}

impl<'a> RowPrinter<'a> {
    pub fn new(options: &'a OutputOptions, detail: Detail) -> Self {
        Self {
            options,
            detail,
            zone: Zone::new(options.utc),
            printed: 0,
        }
    }

    /// The number of rows printed so far.
    pub fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints the remaining rows of a list, at most `limit` of them.
    pub fn print_all(
        &mut self,
        mut rows: Rows<'_>,
        limit: u64,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let mut left = limit;
        while left > 0
            && let Some(row) = rows.next_row()?
        {
            self.print(&row, out)?;
            left -= 1;
        }
        Ok(())
    }

    pub fn print(&mut self, row: &Row, out: &mut Output) -> Result<(), Failure> {
        let is_first = self.printed == 0;
        self.printed += 1;
        if self.options.json {
            return out.line(row.to_json()?);
        }
        match self.detail {
            Detail::Line => {
                if is_first {
                    let headings = format!(
                        "{:<20}  {:<26}  {:<13}  {:<8}  {:<20}  {}",
                        "ID", "SINCE", "WHY", "ATTEMPTS", "USER", "EVENT"
                    );
                    out.line(out.paint(Tone::Label, &headings))?;
                }
                out.line(self.table_line(row, out))
            }
            Detail::Full => self.print_full(row, out),
        }
    }

    fn table_line(&self, row: &Row, out: &Output) -> String {
        let why = format!("{:<13}", sanitize(&short_reason(row)));
        let why = match row.reason {
            RowReason::Pending | RowReason::Journalled => why,
            RowReason::InDoubt | RowReason::SetAside => out.paint(Tone::Warning, &why),
            RowReason::Refused { .. } | RowReason::Expired { .. } => out.paint(Tone::Bad, &why),
        };
        let (user, event) = match serde_json::from_str::<Event>(&row.event_json) {
            Ok(Event {
                partner_user_id,
                event: kind,
                event_value: Some(value),
            }) => (partner_user_id, format!("{kind} {value}")),
            Ok(Event {
                partner_user_id,
                event: kind,
                event_value: None,
            }) => (partner_user_id, kind),
            Err(_) => (String::new(), row.event_json.clone()),
        };
        format!(
            "{:<20}  {:<26}  {why}  {:<8}  {:<20}  {}",
            row.id,
            self.zone.show(since(row)),
            attempts(row),
            sanitize(&user),
            sanitize(&event)
        )
    }

    fn print_full(&self, row: &Row, out: &mut Output) -> Result<(), Failure> {
        let mut fields = vec![
            ("id", row.id.to_string()),
            ("why", full_reason(row)),
            ("enqueued", self.zone.show(row.first_ms)),
        ];
        if row.last_ms != 0 {
            fields.push(("last", self.zone.show(row.last_ms)));
        }
        if let Some(status) = row.http_status {
            fields.push(("HTTP", status.to_string()));
        }
        if !row.message.is_empty() {
            fields.push(("message", sanitize(&row.message)));
        }
        fields.push(("attempts", attempts(row)));
        fields.push(("event", sanitize(&row.event_json)));
        if self.printed > 1 {
            out.line("")?;
        }
        for (name, text) in fields {
            let name = out.paint(Tone::Label, &format!("{name:<8}"));
            out.line(format!("{name}  {text}"))?;
        }
        Ok(())
    }
}

/// The time since which the event is in its state: rejected, in doubt or pending.
fn since(row: &Row) -> i64 {
    match row.reason {
        RowReason::Refused { .. } | RowReason::Expired { .. } | RowReason::SetAside => row.last_ms,
        RowReason::InDoubt | RowReason::Pending | RowReason::Journalled => row.first_ms,
    }
}

/// How many requests carried the event; `-`: none, or the store does not know.
fn attempts(row: &Row) -> String {
    match row.attempts {
        0 => "-".to_owned(),
        attempts => attempts.to_string(),
    }
}

fn short_reason(row: &Row) -> Cow<'_, str> {
    let name = match row.reason {
        RowReason::Refused { .. } if row.api_code.is_empty() => "refused",
        RowReason::Refused { .. } => &row.api_code,
        RowReason::Expired { .. } => "expired",
        RowReason::InDoubt => match row.http_status {
            Some(status) => return format!("in doubt, {status}").into(),
            None => "no answer",
        },
        RowReason::SetAside => "set aside",
        RowReason::Pending => "pending",
        RowReason::Journalled if row.message.is_empty() => "in the journal",
        // Of a fleet.
        RowReason::Journalled => "not sorted",
    };
    name.into()
}

fn full_reason(row: &Row) -> String {
    let caution = |may_be_delivered: bool| match may_be_delivered {
        true => "; an earlier request may have delivered it",
        false => "",
    };
    match row.reason {
        RowReason::Refused { may_be_delivered } => {
            format!(
                "refused {}{}",
                sanitize(&row.api_code),
                caution(may_be_delivered)
            )
        }
        RowReason::Expired { may_be_delivered } => format!("expired{}", caution(may_be_delivered)),
        RowReason::InDoubt => match row.http_status {
            Some(status) => format!(
                "in doubt: the request that carried it was answered HTTP {status}, and is repeated"
            ),
            None => {
                "in doubt: the request that carried it was not answered, and is repeated".to_owned()
            }
        },
        RowReason::SetAside => format!("set aside{}", caution(true)),
        RowReason::Pending => "pending: it is still to be sent".to_owned(),
        RowReason::Journalled if row.message.is_empty() => {
            "pending: no sender has taken it over yet".to_owned()
        }
        RowReason::Journalled => format!("pending: {}", sanitize(&row.message)),
    }
}
