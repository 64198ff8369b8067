//! The parts of a step about rows beside the lane and its runs: rejected events, receipts, suspects, and users refused
//! in a row.

use meditopia::internals::store::{Rejected, Suspect};
use tokio_postgres::types::Type;

use super::{Draft, Step, number};

impl<'a> Step<'a> {
    pub(super) fn reject(&mut self, draft: &'a Draft) {
        if !draft.rejected.is_empty() {
            let columns = self.rejected_columns(draft.rejected.values());
            let ids: Vec<i64> = draft.rejected.keys().copied().collect();
            let ids = self.parameters.add(ids, Type::INT8_ARRAY);
            self.parts.push(format!(
                "refused AS (INSERT INTO meditopia.rejected (lane, id, \"user\", event, reason, may_be_delivered, api_code, message, http_status, attempts, first_ms, last_ms)
                SELECT mine.lane, t.* FROM mine, unnest({ids}, {}) AS t)",
                columns.join(", ")
            ));
        }
        if !draft.forgotten.is_empty() {
            let ids: Vec<i64> = draft.forgotten.iter().copied().collect();
            let ids = self.parameters.add(ids, Type::INT8_ARRAY);
            self.touch(
                "forgotten",
                &format!(
                    "DELETE FROM meditopia.rejected r USING mine WHERE r.id = ANY({ids}) AND r.lane = $1 RETURNING 1"
                ),
                draft.forgotten.len(),
                "an event is forgotten that is not among the rejected events",
            );
        }
    }

    fn rejected_columns(
        &mut self,
        events: impl Iterator<Item = &'a Rejected> + Clone,
    ) -> Vec<String> {
        let p = &mut self.parameters;
        let texts = |of: fn(&Rejected) -> &str| -> Vec<String> {
            events.clone().map(|event| text(of(event))).collect()
        };
        let bodies: Vec<&[u8]> = events.clone().map(|event| &event.event[..]).collect();
        let reasons: Vec<i16> = events.clone().map(|event| event.reason as i16).collect();
        let may: Vec<bool> = events.clone().map(|event| event.may_be_delivered).collect();
        let statuses = events
            .clone()
            .map(|event| event.http_status.map(|status| status as i16));
        let attempts = events.clone().map(|event| small(event.attempts));
        let first: Vec<i64> = events.clone().map(|event| event.first_ms).collect();
        let last: Vec<i64> = events.clone().map(|event| event.last_ms).collect();
        vec![
            p.add(texts(|event| &event.user), Type::TEXT_ARRAY),
            p.add(bodies, Type::BYTEA_ARRAY),
            p.add(reasons, Type::INT2_ARRAY),
            p.add(may, Type::BOOL_ARRAY),
            p.add(texts(|event| &event.api_code), Type::TEXT_ARRAY),
            p.add(texts(|event| &event.message), Type::TEXT_ARRAY),
            p.add(statuses.collect::<Vec<Option<i16>>>(), Type::INT2_ARRAY),
            p.add(attempts.collect::<Vec<i32>>(), Type::INT4_ARRAY),
            p.add(first, Type::INT8_ARRAY),
            p.add(last, Type::INT8_ARRAY),
        ]
    }

    pub(super) fn keep_receipts(&mut self, draft: &'a Draft) {
        if draft.receipts.is_empty() {
            return;
        }
        let receipts = || draft.receipts.iter();
        let p = &mut self.parameters;
        let ids: Vec<i64> = receipts().map(|(id, _)| *id).collect();
        let times: Vec<i64> = receipts().map(|(_, receipt)| receipt.time_ms).collect();
        let statuses = receipts().map(|(_, receipt)| receipt.http_status as i16);
        let attempts = receipts().map(|(_, receipt)| small(receipt.attempts));
        let events = receipts().map(|(_, receipt)| receipt.events as i16);
        let shares: Vec<&[u8]> = receipts()
            .map(|(_, receipt)| receipt.shares.as_bytes())
            .collect();
        let columns = [
            p.add(ids, Type::INT8_ARRAY),
            p.add(times, Type::INT8_ARRAY),
            p.add(statuses.collect::<Vec<i16>>(), Type::INT2_ARRAY),
            p.add(attempts.collect::<Vec<i32>>(), Type::INT4_ARRAY),
            p.add(events.collect::<Vec<i16>>(), Type::INT2_ARRAY),
            p.add(shares, Type::BYTEA_ARRAY),
        ];
        self.parts.push(format!(
            "kept AS (INSERT INTO meditopia.receipt (lane, id, time_ms, http_status, attempts, events, shares) SELECT mine.lane, t.* FROM mine, unnest({}) AS t)",
            columns.join(", ")
        ));
    }

    pub(super) fn change_suspects(&mut self, draft: &'a Draft) {
        let changed = || draft.suspects.iter();
        let cleared: Vec<&[u8]> = changed()
            .filter(|(_, suspect)| suspect.is_none())
            .map(|(user, _)| &user[..])
            .collect();
        let known: Vec<&Suspect> = changed()
            .filter_map(|(_, suspect)| suspect.as_ref())
            .collect();
        let p = &mut self.parameters;
        if !cleared.is_empty() {
            let users = p.add(cleared, Type::BYTEA_ARRAY);
            self.parts.push(format!(
                "cleared AS (DELETE FROM meditopia.suspect s USING mine WHERE s.lane = $1 AND s.\"user\" = ANY({users}))"
            ));
        }
        if !known.is_empty() {
            let known = known.iter();
            let users: Vec<&[u8]> = known.clone().map(|suspect| &suspect.user[..]).collect();
            let waiting: Vec<i64> = known
                .clone()
                .map(|suspect| number(suspect.waiting))
                .collect();
            let accepted: Vec<bool> = known.map(|suspect| suspect.accepted).collect();
            let users = p.add(users, Type::BYTEA_ARRAY);
            let waiting = p.add(waiting, Type::INT8_ARRAY);
            let accepted = p.add(accepted, Type::BOOL_ARRAY);
            self.parts.push(format!(
                "suspected AS (INSERT INTO meditopia.suspect (lane, \"user\", waiting, accepted) SELECT mine.lane, t.* FROM mine, unnest({users}, {waiting}, {accepted}) AS t
                ON CONFLICT (lane, \"user\") DO UPDATE SET waiting = excluded.waiting, accepted = excluded.accepted)"
            ));
        }
    }

    /// The count is the whole fleet's: another relay may have counted the same user.
    pub(super) fn count_refused(&mut self, draft: &'a Draft) {
        let users: Vec<String> = draft.refused.iter().map(|user| text(user)).collect();
        if users.is_empty() && !draft.is_accepted {
            return;
        }
        let none = users.is_empty();
        let users = self.parameters.add(users, Type::TEXT_ARRAY);
        if draft.is_accepted {
            self.parts.push(format!(
                "released AS (DELETE FROM meditopia.refused_in_a_row r USING mine WHERE r.\"user\" <> ALL({users}))"
            ));
        }
        if !none {
            self.parts.push(format!(
                "counted AS (INSERT INTO meditopia.refused_in_a_row (\"user\") SELECT t.name FROM mine, unnest({users}) AS t(name) ON CONFLICT DO NOTHING)"
            ));
        }
    }
}

/// A text that the database takes: what the API says may have a NUL.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
