//! `meditopia in-doubt bisect`: finds the event on which the API fails, and sets it aside.
//!
//! The sender does the search: it sends ever smaller parts of the batch, in order, and pauses once one
//! event has failed alone. This command asks for that, watches, and takes the event out. If no process
//! sends from the spool, this one does meanwhile.
//!
//! An API that fails on everything would have one event after the other look bad. So no second event is
//! set aside before the API has accepted something: then the first one goes back as well.

use std::thread::sleep;
use std::time::{Duration, Instant};

use meditopia::internals::client::Elected;
use meditopia::internals::config::{Role, TokenSource};
use meditopia::internals::spelling::escape_unprintable;
use meditopia::{Client, PauseReason, RejectedFilter, RejectedReason, Row};

use crate::failure::{EVENTS_LEFT, FAILED, Failure, PAUSED, USAGE};
use crate::options::confirmation::Confirmation;
use crate::options::sender_config::SenderConfig;
use crate::options::spool::SpoolOptions;
use crate::output::{event_count, print_line};

/// How often the search is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The arguments of `bisect`.
#[derive(clap::Args)]
pub struct BisectOptions {
    #[command(flatten)]
    spool: SpoolOptions,
    /// How long the search may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Searches, sets aside what is found, and prints it.
pub fn bisect(options: &BisectOptions) -> Result<(), Failure> {
    let sender = SenderConfig::read(&options.spool, Role::Both)?;
    let client = Client::open(&sender.config)?;
    let in_doubt = rows(&client)?;
    if in_doubt.is_empty() {
        return print_line("nothing is in doubt; nothing was done");
    }
    check_pause(&client)?;
    options.confirmation.ask(&format!(
        "send the {} in doubt again in smaller requests, until the one is found on which the API fails; those that the API has taken already arrive twice",
        event_count(in_doubt.len() as u64)
    ))?;
    let mut search = Search {
        deadline: Instant::now() + Duration::from_secs(options.timeout.into()),
        spool: sender.spool_name(),
        has_token: !matches!(sender.settings.bearer_token, TokenSource::Absent),
        sends: false,
        client,
    };
    let outcome = search.run();
    if search.sends {
        let _ = search.client.close(Duration::from_secs(5));
    }
    outcome
}

/// A search that is under way.
struct Search {
    client: Client,
    /// The spool as commands name it.
    spool: String,
    /// This process could send.
    has_token: bool,
    /// It does, because no other did.
    sends: bool,
    deadline: Instant,
}

/// An event that was set aside, and how often the API had accepted something by then.
struct Found {
    row: Row,
    delivered: u64,
}

impl Search {
    fn run(&mut self) -> Result<(), Failure> {
        let begun = self.client.stats()?.delivered;
        self.begin()?;
        let mut found: Vec<Found> = Vec::new();
        loop {
            self.need_sender()?;
            let stats = self.client.stats()?;
            let proven = found
                .last()
                .is_none_or(|last| stats.delivered > last.delivered);
            let search = self.client.search()?;
            match stats.paused {
                Some(PauseReason::ServerError) => match search.found.first() {
                    Some(_) if !proven => return self.give_back(&found),
                    Some(id) => found.extend(self.set_aside(*id, stats.delivered)?),
                    // The rest fails as well.
                    None => self.begin()?,
                },
                Some(reason) => {
                    return Err(Failure::new(
                        PAUSED,
                        format!(
                            "delivery has paused meanwhile ({reason}); every event is kept; see meditopia status {}, then search again",
                            self.spool
                        ),
                    ));
                }
                None => {
                    let rows = rows(&self.client)?;
                    if rows.iter().any(|row| row.http_status.is_some()) {
                        // The rest fails as well, or another sender has begun, which does not search.
                        self.begin()?;
                    } else if search.left == 0
                        && (stats.pending == 0
                            || (proven && stats.delivered > begun && rows.is_empty()))
                    {
                        return self.report(&found, proven);
                    }
                }
            }
            if Instant::now() >= self.deadline {
                return Err(self.timed_out());
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Has the sender search what is in doubt, once no request is in flight.
    fn begin(&mut self) -> Result<(), Failure> {
        loop {
            // Without one the search would be begun, and by nobody carried on.
            self.need_sender()?;
            if self.client.bisect()? > 0 {
                break;
            }
            if rows(&self.client)?.is_empty() {
                break;
            }
            if Instant::now() >= self.deadline {
                return Err(self.timed_out());
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Sends from here on if no other process does.
    fn need_sender(&mut self) -> Result<(), Failure> {
        if self.sends || self.client.elected()? != Elected::Nobody {
            return Ok(());
        }
        if !self.has_token {
            let message = "no process sends from this spool, and this command has no bearer token to do so: give it --config FILE, or start the sender";
            return Err(Failure::new(USAGE, message));
        }
        self.sends = true;
        self.client.start()?;
        while self.client.elected()? == Elected::Nobody {
            if Instant::now() >= self.deadline {
                return Err(self.timed_out());
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Takes an event that has failed alone out of the queue, and has the others go on.
    fn set_aside(&self, id: i64, delivered: u64) -> Result<Option<Found>, Failure> {
        let row = rows(&self.client)?.into_iter().find(|row| row.id == id);
        let Some(row) = row.filter(|_| self.client.set_aside(&[id]).is_ok_and(|count| count > 0))
        else {
            // A probe of the pause is under way with it.
            return Ok(None);
        };
        self.client.resume()?;
        let answer = match row.http_status {
            Some(status) => format!("the API answers HTTP {status} to it alone"),
            None => "the API does not answer to it alone".to_owned(),
        };
        print_line(format_args!(
            "found: {}; {answer}",
            escape_unprintable(&row.event_json)
        ))?;
        Ok(Some(Found { row, delivered }))
    }

    /// The API has accepted nothing since the last event was set aside, and fails on another one.
    fn give_back(&self, found: &[Found]) -> Result<(), Failure> {
        let mut requeued = 0;
        if let Some(last) = found.last() {
            let ids = self.ids_set_aside(&last.row)?;
            requeued = self.client.requeue_rejected(&ids)?;
        }
        Err(Failure::new(
            FAILED,
            format!(
                "the API fails on each event that is sent alone, and accepts nothing: it is the API that fails, and no event; {} went back to the end of the queue; wait, or ask Meditopia, then: meditopia resume {}",
                event_count(requeued as u64),
                self.spool
            ),
        ))
    }

    /// The rejected event that was this one.
    fn ids_set_aside(&self, set_aside: &Row) -> Result<Vec<i64>, Failure> {
        let filter = RejectedFilter {
            reason: Some(RejectedReason::SetAside),
            ..RejectedFilter::default()
        };
        let mut rows = self.client.rejected_matching(&filter)?;
        let mut last = None;
        while let Some(row) = rows.next_row()? {
            if row.event_json == set_aside.event_json {
                last = Some(row.id);
            }
        }
        Ok(last.into_iter().collect())
    }

    fn report(&self, found: &[Found], proven: bool) -> Result<(), Failure> {
        if found.is_empty() {
            return print_line("the API has accepted all of them now; no event was set aside");
        }
        print_line(format_args!(
            "set {} aside; see meditopia rejected list {} --reason set-aside",
            event_count(found.len() as u64),
            self.spool
        ))?;
        match (proven, self.sends) {
            (false, _) => {
                print_line("no other event waits, so whether the API accepts others is not known")
            }
            (true, false) => print_line("the others are being delivered"),
            (true, true) => print_line(format_args!(
                "no sender runs: deliver what waits with meditopia flush, or start meditopia run"
            )),
        }
    }

    fn timed_out(&self) -> Failure {
        Failure::new(
            EVENTS_LEFT,
            format!(
                "the search has not come to its end in time; every event is kept; see meditopia in-doubt list {}, then search again",
                self.spool
            ),
        )
    }
}

/// Refuses to search while delivery is paused for another reason.
fn check_pause(client: &Client) -> Result<(), Failure> {
    match client.stats()?.paused {
        None | Some(PauseReason::ServerError) => Ok(()),
        Some(reason) => Err(Failure::new(
            PAUSED,
            format!(
                "delivery is paused ({reason}), so nothing can be searched; end that first: see meditopia status"
            ),
        )),
    }
}

fn rows(client: &Client) -> Result<Vec<Row>, Failure> {
    let mut list = client.in_doubt(0)?;
    let mut rows = Vec::new();
    while let Some(row) = list.next_row()? {
        rows.push(row);
    }
    Ok(rows)
}
