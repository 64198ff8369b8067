//! Listed events on standard output: a line each, all that is known of each, or a JSON object a line.

use meditopia::{Cursor, Row, RowReason};
use serde::Deserialize;

use crate::failure::Failure;
use crate::output::{Output, OutputOptions, Tone, plain};
use crate::times::Zone;

/// How much of an event is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A line.
    Line,
    /// All.
    Full,
}

/// What a line shows of an event.
#[derive(Deserialize)]
struct Event {
    partner_user_id: String,
    event: String,
    event_value: Option<String>,
}

/// Prints rows as the options want them.
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
            zone: Zone::of(options.utc),
            printed: 0,
        }
    }

    /// How many rows were printed.
    pub fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints what is left of a list, at most `limit` rows.
    pub fn print_all(
        &mut self,
        rows: &mut Cursor,
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

    /// Prints one row.
    pub fn print(&mut self, row: &Row, out: &mut Output) -> Result<(), Failure> {
        let first = self.printed == 0;
        self.printed += 1;
        if self.options.json {
            return out.line(row.to_json()?);
        }
        match self.detail {
            Detail::Line => {
                if first {
                    let head = format!(
                        "{:<20}  {:<26}  {:<13}  {:<20}  {}",
                        "ID", "SINCE", "WHY", "USER", "EVENT"
                    );
                    out.line(out.paint(Tone::Label, &head))?;
                }
                out.line(self.line_of(row, out))
            }
            Detail::Full => self.print_full(row, out),
        }
    }

    fn line_of(&self, row: &Row, out: &Output) -> String {
        let why = format!("{:<13}", plain(why(row)));
        let why = match row.reason {
            RowReason::Pending | RowReason::Journalled => why,
            RowReason::InDoubt | RowReason::SetAside => out.paint(Tone::Warning, &why),
            RowReason::Refused { .. } | RowReason::Expired { .. } => out.paint(Tone::Bad, &why),
        };
        let (user, what) = match serde_json::from_str::<Event>(&row.event_json) {
            Ok(Event {
                partner_user_id,
                event,
                event_value: Some(value),
            }) => (partner_user_id, format!("{event} {value}")),
            Ok(Event {
                partner_user_id,
                event,
                event_value: None,
            }) => (partner_user_id, event),
            Err(_) => (String::new(), row.event_json.clone()),
        };
        format!(
            "{:<20}  {:<26}  {why}  {:<20}  {}",
            row.id,
            self.zone.show(since(row)),
            plain(&user),
            plain(&what)
        )
    }

    fn print_full(&self, row: &Row, out: &mut Output) -> Result<(), Failure> {
        let mut fields = vec![
            ("id", row.id.to_string()),
            ("why", explained(row)),
            ("enqueued", self.zone.show(row.first_ms)),
        ];
        if row.last_ms != 0 {
            fields.push(("last", self.zone.show(row.last_ms)));
        }
        if let Some(status) = row.http_status {
            fields.push(("HTTP", status.to_string()));
        }
        if !row.message.is_empty() {
            fields.push(("message", plain(&row.message)));
        }
        fields.push(("requests", row.attempts.to_string()));
        fields.push(("event", plain(&row.event_json)));
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

/// When it became what it is: rejected, in doubt, or waiting.
fn since(row: &Row) -> i64 {
    match row.reason {
        RowReason::Refused { .. } | RowReason::Expired { .. } | RowReason::SetAside => row.last_ms,
        RowReason::InDoubt | RowReason::Pending | RowReason::Journalled => row.first_ms,
    }
}

fn why(row: &Row) -> &str {
    match row.reason {
        RowReason::Refused { .. } if row.api_code.is_empty() => "refused",
        RowReason::Refused { .. } => &row.api_code,
        RowReason::Expired { .. } => "expired",
        RowReason::InDoubt => "in doubt",
        RowReason::SetAside => "set aside",
        RowReason::Pending => "pending",
        RowReason::Journalled => "in the journal",
    }
}

fn explained(row: &Row) -> String {
    let may = |may: bool| {
        if may {
            "; an earlier request may have delivered it"
        } else {
            ""
        }
    };
    match row.reason {
        RowReason::Refused { may_be_delivered } => {
            format!("refused {}{}", plain(&row.api_code), may(may_be_delivered))
        }
        RowReason::Expired { may_be_delivered } => format!("expired{}", may(may_be_delivered)),
        RowReason::InDoubt => {
            "in doubt: a request with it was not answered, and is repeated".to_owned()
        }
        RowReason::SetAside => format!("set aside{}", may(true)),
        RowReason::Pending => "pending: it waits to be sent".to_owned(),
        RowReason::Journalled => "pending: no sender has taken it over yet".to_owned(),
    }
}
