//! One step of a lane as one statement: a compare-and-set on its step and lease, and a part for each kind of change
//! that occurs, with arrays for its rows. All of it happens or nothing.
//!
//! No body of a run is read: what is deleted, marked or put in doubt is found by its key, and compared by its checksum.

mod beside;

use tokio_postgres::types::Type;

use super::draft::Draft;
use super::known::Known;
use super::runs::encode_marks;
use super::sql::Parameters;
use super::state::State;
use crate::connection::{Connection, column};
use crate::failure::Result;
use crate::parcel::encode_slots;
use crate::relay::lease::{Lease, SERVER_MS};

/// What the database has said of a step.
#[derive(Debug)]
pub(super) struct Stepped {
    /// The time on its clock.
    pub(super) server_ms: i64,
    /// The users refused in a row before this step, if it has counted one.
    pub(super) refused_in_a_row: Option<Vec<String>>,
}

/// A statement that is being put together.
struct Step<'a> {
    parameters: Parameters<'a>,
    parts: Vec<String>,
    /// What has to hold, and what is wrong if it does not.
    checks: Vec<(String, &'static str)>,
}

/// Sends the step that makes the database what `state` and `draft` say.
pub(super) fn send(
    connection: &mut Connection,
    lease: &Lease,
    seconds: f64,
    state: &State,
    draft: &Draft,
) -> Result<Stepped> {
    let mut step = Step {
        parameters: Parameters::default(),
        parts: Vec::new(),
        checks: Vec::new(),
    };
    step.set_lane(lease, seconds, state, draft);
    step.settle(&draft.settled);
    step.mark(draft);
    step.append(draft);
    step.check_in_doubt(state, draft);
    step.check_heads(state, draft);
    step.reject(draft);
    step.keep_receipts(draft);
    step.change_suspects(draft);
    step.count_refused(draft);
    let counts_refused = !draft.refused.is_empty();
    let row = step
        .parameters
        .query_one(connection, &step.text(state.lane, counts_refused))?;
    Ok(Stepped {
        server_ms: column(&row, 1)?,
        refused_in_a_row: match counts_refused {
            true => Some(column(&row, 2)?),
            false => None,
        },
    })
}

impl<'a> Step<'a> {
    fn text(&self, lane: i16, counts_refused: bool) -> String {
        let parts = self.parts.join(",\n ");
        let checks: String = (self.checks.iter())
            .map(|(holds, wrong)| {
                format!(" WHEN ({holds}) IS NOT TRUE THEN 'lane {lane}: {wrong}'")
            })
            .collect();
        let refused = match counts_refused {
            true => ", ARRAY(SELECT \"user\" FROM meditopia.refused_in_a_row)",
            false => "",
        };
        format!(
            "WITH {parts}\nSELECT meditopia.require(checked.wrong IS NULL, checked.wrong), {SERVER_MS}{refused}\nFROM (SELECT CASE{checks} END AS wrong OFFSET 0) AS checked"
        )
    }

    /// `$1` is the lane in every part.
    fn set_lane(&mut self, lease: &'a Lease, seconds: f64, state: &'a State, draft: &Draft) {
        let p = &mut self.parameters;
        let lane = p.add(state.lane, Type::INT2);
        let step = p.add(lease.step, Type::INT8);
        let id = p.add(&lease.id, Type::TEXT);
        let seconds = p.add(seconds, Type::FLOAT8);
        let mut columns = vec![
            ("first_run", p.add(state.first_runs[0], Type::INT8)),
            ("first_suspect_run", p.add(state.first_runs[1], Type::INT8)),
            (
                "last_suspect_run",
                p.add(state.last_suspect_run, Type::INT8),
            ),
            ("last_rejected", p.add(state.last_rejected, Type::INT8)),
            ("left_events", p.add(state.left_events, Type::INT8)),
        ];
        let saved = &state.saved;
        if draft.has_state {
            let since = saved.state.in_doubt.map(|batch| batch.first_ms);
            columns.push(("state", p.add(saved.encode_state(), Type::BYTEA)));
            columns.push(("in_doubt_since_ms", p.add(since, Type::INT8)));
        }
        if draft.has_totals {
            let totals = &saved.totals;
            columns.push(("totals", p.add(saved.encode_totals(), Type::BYTEA)));
            for (name, sum) in [
                ("delivered", totals.delivered),
                ("rejected", totals.rejected),
                ("expired", totals.expired),
            ] {
                columns.push((name, p.add(number(sum), Type::INT8)));
            }
        }
        let columns: String = (columns.iter())
            .map(|(name, value)| format!(", {name} = {value}"))
            .collect();
        self.parts.push(format!(
            "mine AS (UPDATE meditopia.lane SET step = step + 1, lease_until = clock_timestamp() + make_interval(secs => {seconds}){columns} WHERE lane = {lane} AND step = {step} AND lease = {id}::uuid RETURNING lane)"
        ));
        self.check(
            "EXISTS (SELECT FROM mine)".to_owned(),
            "another relay has taken it over, or the database is older than what this one has read",
        );
    }

    fn check(&mut self, holds: String, wrong: &'static str) {
        self.checks.push((holds, wrong));
    }

    /// A part that has to touch each of so many rows.
    fn touch(&mut self, name: &str, part: &str, rows: usize, wrong: &'static str) {
        self.parts.push(format!("{name} AS ({part})"));
        self.check(format!("(SELECT count(*) FROM {name}) = {rows}"), wrong);
    }

    /// Names runs of a queue: a table `t` of their ids and checksums and these columns, and what finds them in `r`.
    ///
    /// They stand side by side, but for a few between them. Their range is said with constants, so that it is looked up
    /// in the index whatever the statistics say: where they are old, the planner believes that a lane is empty and
    /// would walk all of it.
    fn name_runs(
        &mut self,
        queue: u8,
        runs: &[(i64, &'a [u8])],
        more: &[(&str, String)],
    ) -> (String, String) {
        let ids: Vec<i64> = runs.iter().map(|(id, _)| *id).collect();
        let sums: Vec<&[u8]> = runs.iter().map(|(_, sum)| *sum).collect();
        let range = [ids.iter().min(), ids.iter().max()].map(|id| id.copied().unwrap_or(0));
        let p = &mut self.parameters;
        let [first, last] = range.map(|id| p.add(id, Type::INT8));
        let queue = p.add(i16::from(queue), Type::INT2);
        let mut values = vec![p.add(ids, Type::INT8_ARRAY), p.add(sums, Type::BYTEA_ARRAY)];
        let mut names = vec!["id", "checksum"];
        for (name, value) in more {
            names.push(name);
            values.push(value.clone());
        }
        (
            format!("unnest({}) AS t({})", values.join(", "), names.join(", ")),
            format!(
                "r.lane = $1 AND r.queue = {queue} AND r.id BETWEEN {first} AND {last} AND r.id = t.id AND r.checksum = t.checksum"
            ),
        )
    }

    fn settle(&mut self, settled: &'a [(u8, Known)]) {
        for queue in [0, 1] {
            let runs = settled.iter().filter(|(of, _)| *of == queue);
            let runs: Vec<_> = runs.map(|(_, run)| (run.id, &run.checksum[..])).collect();
            if runs.is_empty() {
                continue;
            }
            let (named, found) = self.name_runs(queue, &runs, &[]);
            self.touch(
                &format!("gone_{queue}"),
                &format!(
                    "DELETE FROM meditopia.run r USING mine, {named} WHERE {found} RETURNING 1"
                ),
                runs.len(),
                "a run that is settled is not in the database as it was read",
            );
        }
    }

    fn mark(&mut self, draft: &'a Draft) {
        for queue in [0, 1] {
            let marked = || draft.marked.iter().filter(|((of, _), _)| *of == queue);
            let runs: Vec<_> = marked()
                .map(|((_, id), (sum, _))| (*id, &sum[..]))
                .collect();
            if runs.is_empty() {
                continue;
            }
            let marks = marked().map(|(_, (_, marks))| encode_marks(*marks));
            let marks = marks.collect::<Vec<_>>();
            let marks = self.parameters.add(marks, Type::BYTEA_ARRAY);
            let (named, found) = self.name_runs(queue, &runs, &[("marks", marks)]);
            self.touch(
                &format!("marked_{queue}"),
                &format!(
                    "UPDATE meditopia.run r SET marks = t.marks FROM mine, {named} WHERE {found} RETURNING 1"
                ),
                runs.len(),
                "a run that events have left is not in the database as it was read",
            );
        }
    }

    fn append(&mut self, draft: &'a Draft) {
        if draft.appended.is_empty() {
            return;
        }
        let runs = || draft.appended.values();
        let p = &mut self.parameters;
        let ids: Vec<i64> = runs().map(|(run, _)| run.id).collect();
        let origins: Vec<i64> = runs().map(|(run, _)| run.origin).collect();
        let events: Vec<i16> = runs().map(|(run, _)| run.run.slots.len() as i16).collect();
        let bodies: Vec<&[u8]> = runs().map(|(run, _)| &run.run.body[..]).collect();
        let slots: Vec<_> = runs()
            .map(|(run, _)| encode_slots(&run.run.slots))
            .collect();
        let sums: Vec<&[u8]> = runs().map(|(_, sum)| &sum[..]).collect();
        let marks: Vec<Option<Vec<u8>>> = runs()
            .map(|(run, _)| (run.marks != 0).then(|| encode_marks(run.marks)))
            .collect();
        let columns = [
            p.add(ids, Type::INT8_ARRAY),
            p.add(origins, Type::INT8_ARRAY),
            p.add(events, Type::INT2_ARRAY),
            p.add(bodies, Type::BYTEA_ARRAY),
            p.add(slots, Type::BYTEA_ARRAY),
            p.add(sums, Type::BYTEA_ARRAY),
            p.add(marks, Type::BYTEA_ARRAY),
        ];
        self.parts.push(format!(
            "put AS (INSERT INTO meditopia.run (lane, queue, id, origin, events, body, slots, checksum, marks) SELECT mine.lane, 1, t.* FROM mine, unnest({}) AS t)",
            columns.join(", ")
        ));
    }

    /// What is sent next has to be what the database holds: it may have been set back while nothing of this lane
    /// changed, to before these runs were appended, and other runs may stand there now.
    fn check_in_doubt(&mut self, state: &'a State, draft: &'a Draft) {
        if !draft.puts_in_doubt {
            return;
        }
        let (queue, runs) = state.runs_in_doubt(draft);
        if runs.is_empty() {
            return;
        }
        let runs: Vec<_> = runs.iter().map(|run| (run.id, &run.checksum[..])).collect();
        let (named, found) = self.name_runs(queue, &runs, &[]);
        self.touch(
            "sent",
            &format!("SELECT FROM {named} JOIN meditopia.run r ON {found}"),
            runs.len(),
            "a run that was to be sent is not in the database as it was read",
        );
    }

    /// Of what is settled or sent, the owner knows every run: none is skipped.
    fn check_heads(&mut self, state: &State, draft: &Draft) {
        for head in state.heads(draft) {
            let p = &mut self.parameters;
            let queue = p.add(i16::from(head.queue), Type::INT2);
            let (from, upto) = (p.add(head.from, Type::INT8), p.add(head.upto, Type::INT8));
            self.check(
                format!(
                    "(SELECT count(*) FROM meditopia.run r WHERE r.lane = $1 AND r.queue = {queue} AND r.id BETWEEN {from} AND {upto}) = {}",
                    head.runs
                ),
                "a run stands before those that are sent or settled, and was not read",
            );
        }
    }
}

/// A number as the database has it.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
