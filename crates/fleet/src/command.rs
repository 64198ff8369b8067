//! What operators ask of a lane, and what its owner answers: the rows of `meditopia.command`.
//!
//! Only the owner of a lane changes it. So an operator puts a row down, the owner carries it out with its next
//! step, and answers in the same row. Every command can be carried out twice without harm, so the answer need
//! not be part of the step.
//!
//! ```text
//! command  {"command": "resume", "by": "ops@host-1", "asked_ms": 1722956645000, "until_ms": null}
//!          {"command": {"resume_allowing": {"rejections": 5}}, ...}
//!          {"command": {"set_aside": [17, 18]}, ...}
//!          {"command": {"bisect": [17]}, ...}
//! answer   {"changed": 2} or {"error": "what went wrong"}
//! ```
//!
//! `command` in it is what the library's dispatcher reads of a spool's commands. Times are those of the server's
//! clock; after `until_ms` nobody waits for the answer, and no owner begins with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use crate::connection::{Connection, column};
use crate::failure::Result;

/// What an owner is asked to do with its lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// End the lane's pause and its rest after failed requests. The hold is the whole fleet's, and no lane's.
    Resume,
    /// The same, and let so many events be rejected whatever the brake would say.
    ResumeAllowing {
        /// In this lane.
        rejections: u64,
    },
    /// Take the events with these ids out of the batch in doubt.
    SetAside(Vec<i64>),
    /// Search the batch in doubt for the event on which the API fails, if it has one of these.
    Bisect(Vec<i64>),
}

impl Command {
    /// As it stands in a row.
    pub fn encode(&self) -> String {
        // Numbers and names cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads it back; `None`: a newer version has written it.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// What an owner answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is carried out, and has changed so much: events set aside, events of the batch that is searched, or 1 if
    /// a pause has ended.
    Changed(u64),
    /// It is not carried out, or not known to be.
    Error(String),
}

impl Answer {
    /// As it stands in a row.
    pub fn encode(&self) -> String {
        // Neither can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads it back. What a newer version has written is an error.
    pub fn decode(text: &str) -> Self {
        let unknown = || Self::Error("its relay has a newer version; use a newer program".into());
        serde_json::from_str(text).unwrap_or_else(|_| unknown())
    }
}

/// Who is asked: a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked {
    /// The lane.
    pub lane: i16,
    /// Which of its commands.
    pub id: i64,
}

/// A command that waits for the owner of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its row.
    pub asked: Asked,
    /// What is to be done; `None`: a newer version asks for it. It is to be answered by an error.
    pub command: Option<Command>,
}

/// A row that is older, and answered or too late, was left by an operator's process that died.
const LEFT_MS: i64 = 3_600_000;

/// Asks the owners of these lanes, all of them or none. After `wait` no owner begins with it; `None`: the next owner
/// carries it out whenever that comes. Needs the role `meditopia_relay`.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn ask(
    connection: &mut Connection,
    commands: &[(i16, Command)],
    by: &str,
    wait: Option<Duration>,
) -> Result<Vec<Asked>> {
    let lanes: Vec<i16> = commands.iter().map(|(lane, _)| *lane).collect();
    let texts: Vec<String> = commands.iter().map(|(_, what)| what.encode()).collect();
    let wait_ms = wait.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2));
    let rows = connection.query(
        "WITH now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms),
         old AS (DELETE FROM meditopia.command c USING now
           WHERE (c.answer IS NOT NULL OR (c.command->>'until_ms')::bigint < now.ms)
             AND (c.command->>'asked_ms')::bigint < now.ms - $5::bigint)
         INSERT INTO meditopia.command (lane, command)
         SELECT asked.lane, jsonb_build_object('command', asked.command::jsonb, 'by', $3::text,
           'asked_ms', now.ms, 'until_ms', now.ms + $4::bigint)
         FROM now, unnest($1::smallint[], $2::text[]) AS asked(lane, command)
         RETURNING lane, id",
        &[
            (&lanes, Type::INT2_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&by, Type::TEXT),
            (&wait_ms, Type::INT8),
            (&LEFT_MS, Type::INT8),
        ],
    )?;
    let asked = |row| {
        Ok(Asked {
            lane: column(row, 0)?,
            id: column(row, 1)?,
        })
    };
    rows.iter().map(asked).collect()
}

/// The answers that have come, in any order.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn answers(connection: &mut Connection, asked: &[Asked]) -> Result<Vec<(Asked, Answer)>> {
    let (lanes, ids) = columns(asked);
    let rows = connection.query(
        "SELECT c.lane, c.id, c.answer::text FROM unnest($1::smallint[], $2::bigint[]) AS asked(lane, id)
         JOIN meditopia.command c ON c.lane = asked.lane AND c.id = asked.id WHERE c.answer IS NOT NULL",
        &[(&lanes, Type::INT2_ARRAY), (&ids, Type::INT8_ARRAY)],
    )?;
    let answered = |row| {
        let asked = Asked {
            lane: column(row, 0)?,
            id: column(row, 1)?,
        };
        Ok((asked, Answer::decode(column(row, 2)?)))
    };
    rows.iter().map(answered).collect()
}

/// Takes rows away: those whose answer was read, and those that nobody has answered. An owner that has begun with one
/// of these may still carry it out.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn withdraw(connection: &mut Connection, asked: &[Asked]) -> Result<()> {
    let (lanes, ids) = columns(asked);
    connection.query(
        "DELETE FROM meditopia.command c USING unnest($1::smallint[], $2::bigint[]) AS asked(lane, id)
         WHERE c.lane = asked.lane AND c.id = asked.id",
        &[(&lanes, Type::INT2_ARRAY), (&ids, Type::INT8_ARRAY)],
    )?;
    Ok(())
}

/// For owners: the commands that wait for these lanes, in the order in which they were asked.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn waiting(connection: &mut Connection, lanes: &[i16]) -> Result<Vec<Waiting>> {
    let rows = connection.query(
        "SELECT lane, id, (command->'command')::text FROM meditopia.command
         WHERE lane = ANY($1) AND answer IS NULL AND coalesce(
           (command->>'until_ms')::bigint > extract(epoch FROM clock_timestamp()) * 1000, true)
         ORDER BY id",
        &[(&lanes, Type::INT2_ARRAY)],
    )?;
    let waiting = |row| {
        let command: Option<&str> = column(row, 2)?;
        Ok(Waiting {
            asked: Asked {
                lane: column(row, 0)?,
                id: column(row, 1)?,
            },
            command: command.and_then(Command::decode),
        })
    };
    rows.iter().map(waiting).collect()
}

/// For owners: answers a command. One that was withdrawn meanwhile is left alone.
///
/// # Errors
/// Those of [`Connection::query`].
pub fn answer(connection: &mut Connection, asked: Asked, answer: &Answer) -> Result<()> {
    connection.query(
        "UPDATE meditopia.command SET answer = $3::jsonb WHERE lane = $1 AND id = $2",
        &[
            (&asked.lane, Type::INT2),
            (&asked.id, Type::INT8),
            (&answer.encode(), Type::TEXT),
        ],
    )?;
    Ok(())
}

fn columns(asked: &[Asked]) -> (Vec<i16>, Vec<i64>) {
    asked.iter().map(|row| (row.lane, row.id)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_answers_are_written_as_the_page_says_and_read_back() {
        let commands = [
            (Command::Resume, r#""resume""#),
            (
                Command::ResumeAllowing { rejections: 5 },
                r#"{"resume_allowing":{"rejections":5}}"#,
            ),
            (Command::SetAside(vec![17, 18]), r#"{"set_aside":[17,18]}"#),
            (Command::Bisect(vec![17]), r#"{"bisect":[17]}"#),
        ];
        for (command, text) in commands {
            assert_eq!(command.encode(), text);
            assert_eq!(Command::decode(text), Some(command));
        }
        assert_eq!(Command::decode(r#"{"forget":[]}"#), None);
        let answers = [
            (Answer::Changed(2), r#"{"changed":2}"#),
            (Answer::Error("why".into()), r#"{"error":"why"}"#),
        ];
        for (answer, text) in answers {
            assert_eq!(answer.encode(), text);
            assert_eq!(Answer::decode(text), answer);
        }
        assert!(matches!(Answer::decode("{}"), Answer::Error(_)));
    }
}
