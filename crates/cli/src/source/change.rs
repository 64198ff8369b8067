//! What operators change. In a spool its sender carries it out; in a fleet the database does, or the owner of a lane.

use std::collections::BTreeMap;

use meditopia::PauseReason;
use meditopia_fleet::command::{self, Command};
use meditopia_fleet::hold::{self, Hold};
use meditopia_fleet::look::Look;
use meditopia_fleet::rejected::{Decision, Which, decide};

use super::{Source, owners};
use crate::failure::Failure;
use crate::output::fleet::pause;

/// What a resume has ended.
pub struct Resumed {
    pub was: Option<PauseReason>,
    /// Of a fleet: lanes that no relay owns. What they are paused for ends with their next owner.
    pub without_owner: usize,
}

impl Source {
    /// Puts rejected events back; says how many.
    pub fn requeue(&mut self, which: Which<'_>) -> Result<u64, Failure> {
        Ok(match (self, which) {
            (Self::Spool(client), Which::Ids(ids)) => client.requeue_rejected(ids)? as u64,
            (Self::Spool(client), Which::Matching(filter)) => {
                client.requeue_matching(filter)? as u64
            }
            (Self::Store(look), which) => decide(&mut look.connection, which, Decision::Requeue)?,
        })
    }

    /// Removes rejected events for good; says how many.
    pub fn discard(&mut self, which: Which<'_>) -> Result<u64, Failure> {
        Ok(match (self, which) {
            (Self::Spool(client), Which::Ids(ids)) => client.discard_rejected(ids)? as u64,
            (Self::Spool(client), Which::Matching(filter)) => {
                client.discard_matching(filter)? as u64
            }
            (Self::Store(look), which) => decide(&mut look.connection, which, Decision::Discard)?,
        })
    }

    /// Takes events out of the batches in doubt; says how many.
    pub fn set_aside(&mut self, ids: &[i64]) -> Result<u64, Failure> {
        match self {
            Self::Spool(client) => Ok(client.set_aside(ids)? as u64),
            Self::Store(look) => ask_of(look, ids, Command::SetAside),
        }
    }

    /// Has the batches in doubt searched that have one of these events; says how many events they have.
    pub fn bisect(&mut self, ids: &[i64]) -> Result<u64, Failure> {
        match self {
            Self::Spool(client) => Ok(client.bisect(ids)? as u64),
            Self::Store(look) => ask_of(look, ids, Command::Bisect),
        }
    }

    /// Ends the pauses for an API that fails on one batch, so that a search goes on.
    pub fn go_on(&mut self) -> Result<(), Failure> {
        match self {
            Self::Spool(client) => Ok(client.resume()?),
            Self::Store(look) => {
                let pauses = look.figures()?.pauses.into_iter();
                let paused = pauses.filter(|(_, pause)| pause.reason == PauseReason::ServerError);
                let commands: Vec<_> = paused.map(|(lane, _)| (lane, Command::Resume)).collect();
                owners::ask(look, &commands).map(drop)
            }
        }
    }

    /// Stops sending; of a fleet it says how it is held now. `reason` is for a fleet alone.
    pub fn hold(&mut self, reason: Option<&str>) -> Result<Option<Hold>, Failure> {
        Ok(match self {
            Self::Spool(client) => {
                client.hold()?;
                None
            }
            Self::Store(look) => Some(hold::hold(&mut look.connection, &owners::author(), reason)?),
        })
    }

    /// Ends any pause, and lets so many events be rejected before the next one for refusals of many users.
    pub fn resume(&mut self, allowing: Option<u64>) -> Result<Resumed, Failure> {
        match self {
            Self::Spool(client) => {
                let was = client.stats()?.paused;
                match allowing {
                    Some(rejections) => client.resume_allowing(rejections)?,
                    None => client.resume()?,
                }
                Ok(Resumed {
                    was,
                    without_owner: 0,
                })
            }
            Self::Store(look) => {
                let was = pause(&look.figures()?);
                hold::end(&mut look.connection)?;
                let lanes = look.place.lanes;
                let commands: Vec<_> = (0..lanes)
                    .map(|lane| (lane.cast_signed(), resume_command(lane, lanes, allowing)))
                    .collect();
                let all: Vec<i16> = commands.iter().map(|(lane, _)| *lane).collect();
                let without = owners::without_owner(look, &all)?;
                let (unowned, owned): (Vec<_>, Vec<_>) = commands
                    .into_iter()
                    .partition(|(lane, _)| without.contains(lane));
                command::ask(&mut look.connection, &unowned, &owners::author(), None)?;
                if !owned.is_empty() {
                    owners::ask(look, &owned)?;
                }
                Ok(Resumed {
                    was,
                    without_owner: unowned.len(),
                })
            }
        }
    }
}

/// What is allowed to the whole fleet is spread over its lanes.
fn resume_command(lane: u16, lanes: u16, allowing: Option<u64>) -> Command {
    match allowing {
        None => Command::Resume,
        Some(all) => {
            let (each, rest) = (all / u64::from(lanes), all % u64::from(lanes));
            Command::ResumeAllowing {
                rejections: each + u64::from(u64::from(lane) < rest),
            }
        }
    }
}

/// Asks the owners of the lanes in which these events are in doubt.
fn ask_of(look: &mut Look, ids: &[i64], command: fn(Vec<i64>) -> Command) -> Result<u64, Failure> {
    let mut lanes: BTreeMap<i16, Vec<i64>> = BTreeMap::new();
    for event in look.in_doubt()? {
        if ids.contains(&event.row.id) {
            lanes.entry(event.lane).or_default().push(event.row.id);
        }
    }
    let commands: Vec<_> = lanes
        .into_iter()
        .map(|(lane, ids)| (lane, command(ids)))
        .collect();
    owners::ask(look, &commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_to_a_fleet_is_spread_over_its_lanes_and_nothing_of_it_is_lost() {
        for (all, lanes) in [(3_000, 16), (5, 16), (0, 4), (7, 1)] {
            let each = (0..lanes).map(|lane| match resume_command(lane, lanes, Some(all)) {
                Command::ResumeAllowing { rejections } => rejections,
                _ => u64::MAX,
            });
            assert_eq!(each.sum::<u64>(), all);
        }
        assert_eq!(resume_command(0, 4, None), Command::Resume);
    }
}
