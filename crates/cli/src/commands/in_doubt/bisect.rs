//! `meditopia in-doubt bisect`: finds the event on which the API fails, and sets it aside.
//!
//! The sender does the search: it sends ever smaller parts of the batch, in order, and pauses once one
//! event has failed alone. This command asks for that, watches, and takes the event out. If no process
//! sends from the spool, this one does meanwhile.
//!
//! An API that fails on everything would have one event after the other look bad. So at most
//! [`IN_A_ROW_MAX`] events are set aside of which the API has accepted nothing in between. If it has accepted
//! nothing at all since the search began, they go back.

use std::collections::HashSet;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use meditopia::internals::client::Elected;
use meditopia::internals::config::{Role, TokenSource};
use meditopia::internals::spelling::escape_unprintable;
use meditopia::{Client, PauseReason, RejectedFilter, RejectedReason, Row};
use meditopia_fleet::look::Look;
use meditopia_fleet::rejected::Which;

use crate::failure::{EVENTS_LEFT, FAILED, Failure, PAUSED, USAGE};
use crate::options::confirmation::Confirmation;
use crate::options::sender_config::SenderConfig;
use crate::options::source::SourceOptions;
use crate::options::typed::Typed;
use crate::output::{event_count, print_line};
use crate::source::Source;

/// How often the search is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// So many bad events may stand side by side, with nothing between them that the API accepts.
const IN_A_ROW_MAX: usize = 10;

/// The arguments of `bisect`.
#[derive(clap::Args)]
pub struct BisectOptions {
    #[command(flatten)]
    source: SourceOptions,
    /// How long the search may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Searches, sets aside what is found, and prints it.
pub fn bisect(options: &BisectOptions) -> Result<(), Failure> {
    let (mut source, typed, has_token) = open(options)?;
    let in_doubt = source.rows_in_doubt()?;
    // What a search has left that was begun and not carried on.
    let left = source.search()?.left;
    if in_doubt.is_empty() && left == 0 {
        return print_line("nothing is in doubt; nothing was done");
    }
    check_pause(&mut source, &typed)?;
    options.confirmation.ask(&format!(
        "send the {} in doubt again in smaller requests, until the one is found on which the API fails; those that the API has taken already arrive twice",
        event_count(left.max(in_doubt.len() as u64))
    ))?;
    let mut search = Search {
        deadline: Instant::now() + Duration::from_secs(options.timeout.into()),
        typed,
        has_token,
        sends: false,
        watched: in_doubt.iter().map(|row| row.id).collect(),
        set_aside: 0,
        source,
    };
    let outcome = search.run();
    if let (true, Source::Spool(client)) = (search.sends, &search.source) {
        let _ = client.close(Duration::from_secs(5));
    }
    outcome
}

/// Opens the spool as an application that may send, or the store; says whether there is a token to send with.
fn open(options: &BisectOptions) -> Result<(Source, Typed, bool), Failure> {
    if let Some((address, typed)) = options.source.store()? {
        let look = Look::open_to_change(&address)?;
        return Ok((Source::store(look), typed, false));
    }
    let spool = options.source.spool();
    let sender = SenderConfig::read(spool, Role::Both)?;
    let client = Client::open(&sender.config)?;
    let dir = sender.settings.spool.as_deref().unwrap_or(Path::new(""));
    let has_token = !matches!(sender.settings.bearer_token, TokenSource::Absent);
    Ok((Source::Spool(client), spool.typed(dir), has_token))
}

/// A search that is under way.
struct Search {
    source: Source,
    /// How the caller named the spool or the store.
    typed: Typed,
    /// This process could send.
    has_token: bool,
    /// It does, because no other did.
    sends: bool,
    deadline: Instant,
    /// What was in doubt at the beginning, and what is searched with it. A busy sender always has other
    /// batches in flight.
    watched: HashSet<i64>,
    /// How many events were set aside so far.
    set_aside: u64,
}

/// An event that was set aside, and how often the API had accepted something by then.
struct Found {
    row: Row,
    delivered: u64,
}

impl Search {
    fn run(&mut self) -> Result<(), Failure> {
        let begun = self.source.progress()?.delivered;
        self.begin(self.watched.iter().copied().collect())?;
        let mut found: Vec<Found> = Vec::new();
        loop {
            self.need_sender()?;
            let now = self.source.progress()?;
            let proven = now.delivered > begun;
            let search = self.source.search()?;
            self.watched.extend(&search.searched);
            match now.paused {
                Some(PauseReason::ServerError) => match search.found.first() {
                    Some(_) if in_a_row(&found, now.delivered) >= IN_A_ROW_MAX => {
                        return Err(self.give_up(&found, proven)?);
                    }
                    Some(id) => found.extend(self.set_aside(*id, now.delivered)?),
                    // Another batch fails, and keeps all others back.
                    None => {
                        let failing = failing(&mut self.source)?;
                        self.begin(failing)?;
                    }
                },
                Some(reason) => {
                    return Err(Failure::new(
                        PAUSED,
                        format!(
                            "delivery has paused meanwhile ({reason}); every event is kept; to see why: {}; when it has ended, search again: {}",
                            self.typed.command("status"),
                            self.search_again()
                        ),
                    ));
                }
                None => {
                    let mut failing = failing(&mut self.source)?;
                    // Until the API has accepted something, any batch that fails may tell whether it can.
                    failing.retain(|id| !proven || self.watched.contains(id));
                    let is_over = search.left == 0
                        && !search.heads.iter().any(|id| self.watched.contains(id))
                        && (proven || now.pending == 0);
                    if !failing.is_empty() {
                        // The rest fails as well, or another sender has begun, which does not search.
                        self.begin(failing)?;
                    } else if is_over {
                        return self.report(&found, proven);
                    }
                }
            }
            if Instant::now() >= self.deadline {
                return Err(self.timed_out()?);
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Has the sender search the batches that have these events, once no request of theirs is in flight.
    fn begin(&mut self, mut ids: Vec<i64>) -> Result<(), Failure> {
        while !ids.is_empty() {
            // Without one the search would be begun, and by nobody carried on.
            self.need_sender()?;
            if self.source.bisect(&ids)? > 0 {
                break;
            }
            let still = self.source.rows_in_doubt()?;
            let still: HashSet<i64> = still.iter().map(|row| row.id).collect();
            ids.retain(|id| still.contains(id));
            if Instant::now() >= self.deadline {
                return Err(self.timed_out()?);
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Sends from here on if no other process does.
    fn need_sender(&mut self) -> Result<(), Failure> {
        // Of a fleet the owners of lanes search, and say so if there are none.
        let Source::Spool(client) = &self.source else {
            return Ok(());
        };
        if self.sends || client.elected()? != Elected::Nobody {
            return Ok(());
        }
        if !self.has_token {
            let message = "no process sends from this spool, and this command has no bearer token to do so: give it --config FILE, or start the sender";
            return Err(Failure::new(USAGE, message));
        }
        self.sends = true;
        client.start()?;
        while client.elected()? == Elected::Nobody {
            if Instant::now() >= self.deadline {
                return Err(self.timed_out()?);
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Takes an event that has failed alone out of the queue, and has the others go on.
    fn set_aside(&mut self, id: i64, delivered: u64) -> Result<Option<Found>, Failure> {
        let mut rows = self.source.rows_in_doubt()?.into_iter();
        let row = rows.find(|row| row.id == id);
        let Some(row) = row.filter(|_| self.source.set_aside(&[id]).is_ok_and(|count| count > 0))
        else {
            // A probe of the pause is under way with it.
            return Ok(None);
        };
        self.set_aside += 1;
        self.source.go_on()?;
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

    /// The API fails on one event after the other, each sent alone, and accepts nothing in between.
    fn give_up(&mut self, found: &[Found], proven: bool) -> Result<Failure, Failure> {
        if proven {
            return Ok(Failure::new(
                FAILED,
                format!(
                    "the API has failed on each of {IN_A_ROW_MAX} events in a row that were sent alone; set {} aside; if the API works, search again: {}; if not, put them back: {} --reason set-aside",
                    event_count(found.len() as u64),
                    self.search_again(),
                    self.typed.command("rejected requeue")
                ),
            ));
        }
        let mut ids = Vec::new();
        for event in found {
            ids.extend(self.ids_set_aside(&event.row)?);
        }
        let requeued = self.source.requeue(Which::Ids(&ids))?;
        Ok(Failure::new(
            FAILED,
            format!(
                "the API fails on each event that is sent alone, and accepts nothing: it is the API that fails, and no event; {} went back to the end of the queue; wait, or ask Meditopia, then: {}",
                event_count(requeued),
                self.typed.command("resume")
            ),
        ))
    }

    /// The rejected event that was this one.
    fn ids_set_aside(&mut self, set_aside: &Row) -> Result<Vec<i64>, Failure> {
        let filter = RejectedFilter {
            reason: Some(RejectedReason::SetAside),
            ..RejectedFilter::default()
        };
        let mut rows = self.source.rejected_matching(&filter)?;
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
            "set {} aside; see: {} --reason set-aside",
            event_count(found.len() as u64),
            self.typed.command("rejected list")
        ))?;
        match (proven, self.sends) {
            (false, _) => {
                print_line("no other event waits, so whether the API accepts others is not known")
            }
            (true, false) => print_line("the others are being delivered"),
            (true, true) => print_line(format_args!(
                "no sender runs; start it, or deliver what waits: {}",
                self.typed.command("flush")
            )),
        }
    }

    /// The search goes on, or it has come down to one event on which the connection is lost. That tells nothing
    /// of the event, so an operator decides.
    fn timed_out(&mut self) -> Result<Failure, Failure> {
        let alone = self.source.search()?.alone;
        let rows = self.source.rows_in_doubt()?;
        let mut unanswered = rows
            .iter()
            .filter(|row| alone.contains(&row.id) && row.http_status.is_none());
        let message = match unanswered.next() {
            Some(row) => format!(
                "the search has come down to one event, and the connection is lost each time that it is sent alone, so whether the API fails on it is not known; it is kept: {}; {}to see whether the API answers other requests: {}; if it does, set the event aside: {} --id {} --yes",
                escape_unprintable(&row.event_json),
                self.set_aside_so_far(),
                self.typed.command("doctor"),
                self.typed.command("in-doubt set-aside"),
                row.id
            ),
            None => format!(
                "the search has not come to its end in time; every event is kept; {}to see what is in doubt: {}; to search on: {}",
                self.set_aside_so_far(),
                self.typed.command("in-doubt list"),
                self.search_again()
            ),
        };
        Ok(Failure::new(EVENTS_LEFT, message))
    }

    /// What was found may be all that there was in doubt, and then the lists have nothing more of it.
    fn set_aside_so_far(&self) -> String {
        match self.set_aside {
            0 => String::new(),
            count => format!(
                "{} set aside so far: {} --reason set-aside; ",
                event_count(count),
                self.typed.command("rejected list")
            ),
        }
    }

    fn search_again(&self) -> String {
        self.typed.command("in-doubt bisect")
    }
}

/// Refuses to search while delivery is paused for another reason.
fn check_pause(source: &mut Source, typed: &Typed) -> Result<(), Failure> {
    match source.progress()?.paused {
        None | Some(PauseReason::ServerError) => Ok(()),
        Some(reason) => Err(Failure::new(
            PAUSED,
            format!(
                "delivery is paused ({reason}), so nothing can be searched; end that first; to see how: {}",
                typed.command("status")
            ),
        )),
    }
}

/// How many events were set aside since the API last accepted one.
fn in_a_row(found: &[Found], delivered: u64) -> usize {
    let last = found.iter().rev();
    last.take_while(|event| event.delivered == delivered)
        .count()
}

/// The events in doubt whose last request was answered with a server error.
fn failing(source: &mut Source) -> Result<Vec<i64>, Failure> {
    let rows = source.rows_in_doubt()?.into_iter();
    let failing = rows.filter(|row| row.http_status.is_some_and(|status| status >= 500));
    Ok(failing.map(|row| row.id).collect())
}
