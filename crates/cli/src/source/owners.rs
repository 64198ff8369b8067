//! Has the owners of a fleet's lanes carry something out, and waits for their answers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use meditopia_fleet::command::{self, Answer, Asked, Command};
use meditopia_fleet::look::Look;
use meditopia_fleet::members;

use crate::failure::{FAILED, Failure};
use crate::owner::current_user;

/// How often answers are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An owner answers with its next step, and a step may wait for a request to time out.
const OWNER_TIMEOUT: Duration = Duration::from_secs(60);

/// Who asks, for those who look at the database.
pub fn author() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", current_user(), host.trim())
}

/// The lanes among these that no relay owns.
pub fn without_owner(look: &mut Look, lanes: &[i16]) -> Result<Vec<i16>, Failure> {
    let mut found = members::lanes(&mut look.connection)?;
    found.retain(|lane| lane.owner.is_none() && lanes.contains(&lane.lane));
    Ok(found.iter().map(|lane| lane.lane).collect())
}

/// Has the owners carry the commands out; says the sum of what was changed.
pub fn ask(look: &mut Look, commands: &[(i16, Command)]) -> Result<u64, Failure> {
    let lanes: Vec<i16> = commands.iter().map(|(lane, _)| *lane).collect();
    if let Some(lane) = without_owner(look, &lanes)?.first() {
        return Err(Failure::new(
            FAILED,
            format!(
                "no relay owns lane {lane}, and only its owner can change it; nothing was done; start a relay, then run the command again"
            ),
        ));
    }
    let asked = command::ask(
        &mut look.connection,
        commands,
        &author(),
        Some(OWNER_TIMEOUT),
    )?;
    let answers = wait(look, &asked, OWNER_TIMEOUT)?;
    let mut changed = 0;
    let mut failed = None;
    for (asked, answer) in &answers {
        match answer {
            Answer::Changed(count) => changed += count,
            Answer::Error(why) => failed = Some((asked.lane, why)),
        }
    }
    if let Some((lane, why)) = failed {
        return Err(Failure::new(
            FAILED,
            format!("the relay that owns lane {lane} has not done it: {why}; see its log"),
        ));
    }
    match asked
        .iter()
        .find(|row| !answers.iter().any(|(answered, _)| answered == *row))
    {
        None => Ok(changed),
        Some(row) => Err(Failure::new(
            FAILED,
            format!(
                "the relay that owns lane {} has not answered for {} s; the command is withdrawn, unless the relay has begun with it; see that the relay runs, then run the command again",
                row.lane,
                OWNER_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// The answers that come within `timeout`; the rows are withdrawn after it.
fn wait(
    look: &mut Look,
    asked: &[Asked],
    timeout: Duration,
) -> Result<Vec<(Asked, Answer)>, Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let answers = command::answers(&mut look.connection, asked)?;
        if answers.len() >= asked.len() || Instant::now() >= deadline {
            command::withdraw(&mut look.connection, asked)?;
            return Ok(answers);
        }
        sleep(LOOK_EVERY);
    }
}
