//! The store of a lane over the model of the database. What it knows and what a statement will say is decided by the
//! code of the real one ([`State`], [`Draft`], `KnownRuns`); only the statements are the model's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use meditopia::internals::clock::Moment;
use meditopia::internals::store::syncs::Syncs;
use meditopia::internals::store::{
    Change, LaneState, PauseState, Place, Rejected, RejectedFilter, Rest, SavedLane, Store,
    StoredRun, Suspect, Totals,
};
use meditopia::{Error, ErrorKind};

use super::database::{
    Claim, Database, Known as KnownRow, LaneRow, LaneStep, Refused, Rows, RunRow,
};
use super::events::Doubt;
use super::server::{Connection, Failed, query_now};
use super::tasks::{Ms, Process};
use super::world::{World, world};
use crate::lane_store::draft::Draft;
use crate::lane_store::known::{Known, KnownRuns};
use crate::lane_store::state::{ServerTime, State, queue_of};
use crate::relay::lease::EPOCH_MS;

/// As with the default timeouts: those of a request, and 4 s.
const IN_DOUBT_MS: Ms = 44_000;
const IDLE_MS: Ms = 10_000;

/// By what a batch in doubt is told from the next one: queue, events, time of the first attempt.
type Batch = (u8, u32, i64);

fn batch_of(state: &LaneState) -> Option<Batch> {
    let batch = state.in_doubt?;
    Some((batch.queue, batch.events, batch.first_ms))
}

/// The lease of a lane, which its store and its thread share.
#[derive(Debug)]
pub struct Lease {
    pub process: Process,
    pub lane: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    claim: Claim,
    /// The ids that it may have in the database.
    leases: Vec<u64>,
    /// Its end, counted from before the statement was sent.
    until: Ms,
    length: Ms,
    is_lost: bool,
    doubt: Arc<Doubt>,
    /// Which batch that is.
    batch: Option<Batch>,
    connections: [Connection; 2],
}

impl Lease {
    fn held<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the lease of a lane; `None`: it is another's.
    pub fn take(
        world: &World,
        process: Process,
        lane: usize,
    ) -> Result<Option<(Arc<Self>, ModelStore)>, Failed> {
        let (id, link, sent) = (world.draw_number(), world.draw_number(), world.tasks.now());
        let connection = world.server.connect(world);
        let lease = Arc::new(Self {
            process,
            lane,
            held: Mutex::new(Held {
                claim: Claim::default(),
                leases: Vec::new(),
                until: sent + IN_DOUBT_MS,
                length: IN_DOUBT_MS,
                is_lost: false,
                doubt: Arc::default(),
                batch: None,
                connections: [connection; 2],
            }),
        });
        let taken = lease.query(move |database, now| {
            database.take_lane(lane, (id, link), (now, now + IN_DOUBT_MS as i64))
        });
        match taken {
            Ok(row) => {
                let store = ModelStore::read(&lease, row, sent)?;
                Ok(Some((lease, store)))
            }
            Err(Failed::Refused(_)) => Ok(None),
            Err(unknown) => Err(unknown),
        }
    }

    /// Reads the lane again after an error; `None`: it is lost.
    pub fn open_again(self: &Arc<Self>, world: &World) -> Result<Option<ModelStore>, Failed> {
        match self.read_again(world) {
            Ok((row, sent)) => ModelStore::read(self, row, sent).map(Some),
            Err(Failed::Refused(_)) => {
                self.held(|held| held.is_lost = true);
                Ok(None)
            }
            Err(unknown) => Err(unknown),
        }
    }

    /// The claim alone is read again, and what is known of the lane stays: an ablation.
    pub fn read_again(&self, world: &World) -> Result<(LaneRow, Ms), Failed> {
        let (lane, link, sent) = (self.lane, world.draw_number(), world.tasks.now());
        let known = self.held(|held| held.leases.clone());
        let id = match world.guards.lease_drawn_again {
            true => world.draw_number(),
            false => known[0],
        };
        // Whether this is committed is not known before it is answered.
        self.held(|held| held.leases.push(id));
        let row = self.query(move |database, now| {
            database.read_lane_again(lane, &known, (id, link), now + IN_DOUBT_MS as i64)
        })?;
        self.held(|held| {
            held.claim = row.claim;
            held.leases = vec![row.claim.lease];
        });
        Ok((row, sent))
    }

    pub fn doubt(&self) -> Arc<Doubt> {
        self.held(|held| held.doubt.clone())
    }

    pub fn outlasts(&self, time: Ms) -> bool {
        let now = world().tasks.now();
        self.held(|held| !held.is_lost && held.until > now + time)
    }

    /// Renews it while the lane has no step to take, or gives it up.
    pub fn renew(&self, world: &World, is_last: bool) -> Result<(), Failed> {
        let (lane, link, sent) = (self.lane, world.draw_number(), world.tasks.now());
        let guards = world.guards;
        let (claim, length) = self.held(|held| (held.claim, held.length));
        if is_last {
            self.held(|held| held.is_lost = true);
        }
        let check = world.checks_links();
        self.query(move |database, now| {
            let before = database.lanes[lane].claim;
            let until = if is_last { 0 } else { now + length as i64 };
            database.renew_lane(lane, claim, link, until, &guards)?;
            check(before, claim);
            Ok(())
        })?;
        self.held(|held| {
            held.claim.step += 1;
            held.claim.link = link;
            held.until = sent + length;
        });
        Ok(())
    }

    /// One statement, on one of the relay's connections.
    fn query<T: 'static>(
        &self,
        statement: impl FnOnce(&mut Database, i64) -> Result<T, Refused> + 'static,
    ) -> Result<T, Failed> {
        let at = world().draw(0..2) as usize;
        let mut connection = self.held(|held| held.connections[at]);
        let done = query_now(self.process, &mut connection, statement);
        self.held(|held| held.connections[at] = connection);
        done
    }
}

/// The store of a lane.
#[derive(Debug)]
pub struct ModelStore {
    lease: Arc<Lease>,
    state: State,
    draft: Draft,
    is_joint: bool,
    is_spent: bool,
    syncs: Arc<Syncs>,
}

/// The server's time as ids count it, which stands still until the server says it again.
fn server_time(world: &World) -> ServerTime {
    let ms = world.server.clock_ms(world) - EPOCH_MS;
    ServerTime {
        ms: if world.guards.ids_from_time { ms } else { 0 },
        read: Moment {
            boot_ns: u64::MAX,
            wall_ms: 0,
        },
    }
}

impl ModelStore {
    /// As `opening::read`: the row is that of the lease, the rest another statement.
    fn read(lease: &Arc<Lease>, row: LaneRow, sent: Ms) -> Result<Self, Failed> {
        let lane = lease.lane;
        lease.held(|held| {
            held.claim = row.claim;
            held.leases = vec![row.claim.lease];
            held.until = sent + IN_DOUBT_MS;
            held.length = IN_DOUBT_MS;
            held.doubt = row.doubt.clone();
            held.batch = batch_of(&row.state);
        });
        let (suspects, refused, last_run, appended) = lease.query(move |database, _| {
            let suspects = database.suspects.iter().filter(|((of, _), _)| *of == lane);
            let suspects: HashMap<Vec<u8>, Suspect> = suspects
                .map(|((_, user), suspect)| (user.clone(), suspect.clone()))
                .collect();
            let sorter = &database.sorter;
            Ok((
                suspects,
                database.refused_in_a_row.clone(),
                sorter.last_run,
                sorter.appended[lane],
            ))
        })?;
        let saved = SavedLane {
            state: row.state,
            rest: row.rest,
            pause: row.pause,
            totals: row.totals,
        };
        Ok(Self {
            lease: lease.clone(),
            state: State {
                lane: lane as i16,
                saved,
                known: [KnownRuns::default(), KnownRuns::default()],
                first_runs: row.first_runs,
                last_suspect_run: row.last_suspect_run,
                stored_suspect_run: row.last_suspect_run,
                last_run,
                appended_events: appended,
                left_events: row.left_events,
                last_rejected: row.last_rejected,
                last_receipt: 0,
                suspects,
                refused_in_a_row: refused.into_iter().collect(),
                time: server_time(&world()),
            },
            draft: Draft::default(),
            is_joint: false,
            is_spent: false,
            syncs: Arc::new(Syncs::of_durable_commits()),
        })
    }

    fn guarded(
        &mut self,
        act: impl FnOnce(&mut Self) -> meditopia::Result<()>,
    ) -> meditopia::Result<()> {
        if self.is_spent {
            return Err(self.error("it has to be opened again after an error"));
        }
        let done = act(self);
        self.is_spent = done.is_err() && world().guards.drops_after_error;
        done
    }

    fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Io, format!("lane {}: {what}", self.state.lane))
    }

    fn failed(&self, failed: Failed) -> Error {
        self.error(&format!("{failed:?}"))
    }

    fn send(&mut self) -> meditopia::Result<()> {
        let draft = std::mem::take(&mut self.draft);
        if !draft.is_wanted {
            return Ok(());
        }
        let world = world();
        let state = &self.state;
        let in_doubt = state.saved.state.in_doubt;
        let length = match in_doubt {
            Some(_) => IN_DOUBT_MS,
            None => IDLE_MS,
        };
        let batch = batch_of(&state.saved.state);
        let known = self.lease.held(|held| held.batch);
        let doubt = match batch.is_some() && batch == known {
            true => self.lease.doubt(),
            false => Arc::default(),
        };
        let is_new = batch.is_some() && batch != known;
        let put = doubt.clone();
        let (link, sent) = (world.draw_number(), world.tasks.now());
        let read = self.lease.held(|held| held.claim);
        let step = self.statement(draft, doubt.clone(), read);
        let guards = world.guards;
        let lane = step.lane;
        let check = world.checks_links();
        let done = self.lease.query(move |database, now| {
            let before = database.lanes[lane].claim;
            let step = LaneStep {
                lease_until: now + length as i64,
                ..step
            };
            database.step(step, link, &guards)?;
            check(before, read);
            if is_new {
                let world = super::world::world();
                let place = world.next_place();
                world.events.borrow_mut().put_in_doubt(&put, place);
            }
            Ok(())
        });
        done.map_err(|failed| self.failed(failed))?;
        self.lease.held(|held| {
            held.claim.step += 1;
            held.claim.link = link;
            held.until = sent + length;
            held.length = length;
            held.doubt = doubt;
            held.batch = batch;
        });
        self.state.stored_suspect_run = self.state.last_suspect_run;
        self.state.time = server_time(&world);
        Ok(())
    }

    /// As `step::send` words it.
    fn statement(&self, draft: Draft, doubt: Arc<Doubt>, read: Claim) -> LaneStep {
        let state = &self.state;
        let doubted = match draft.puts_in_doubt {
            true => {
                let (queue, runs) = state.runs_in_doubt(&draft);
                runs.into_iter().map(|run| row_of(queue, run)).collect()
            }
            false => Vec::new(),
        };
        let saved = &state.saved;
        let heads = state.heads(&draft);
        LaneStep {
            lane: state.lane as usize,
            read,
            lease_until: 0,
            row: LaneRow {
                first_runs: state.first_runs,
                last_suspect_run: state.last_suspect_run,
                last_rejected: state.last_rejected,
                state: saved.state.clone(),
                rest: saved.rest,
                pause: saved.pause.clone(),
                totals: saved.totals,
                left_events: state.left_events,
                doubt,
                ..LaneRow::default()
            },
            doubted,
            heads,
            gone: draft
                .settled
                .iter()
                .map(|(queue, run)| row_of(*queue, run))
                .collect(),
            marked: draft
                .marked
                .iter()
                .map(|((queue, id), (checksum, marks))| {
                    let known = KnownRow {
                        queue: *queue,
                        id: *id,
                        checksum: *checksum,
                    };
                    (known, *marks)
                })
                .collect(),
            appended: draft
                .appended
                .into_values()
                .map(|(run, _)| {
                    let row = RunRow {
                        origin: run.origin,
                        rows: Rows::of(run.run),
                        marks: run.marks,
                    };
                    (run.id, row)
                })
                .collect(),
            rejected: draft.rejected.into_iter().collect(),
            suspects: draft.suspects,
            refused: draft.refused,
            is_accepted_since: draft.is_accepted,
            receipts: draft.receipts.len() as u64,
        }
    }

    /// As `LaneStore::know_upto`.
    fn know_upto(&mut self, queue: u8, run: i64) -> meditopia::Result<()> {
        let lane = self.lease.lane;
        let at = usize::from(queue);
        let from = self.from(at, self.state.known[at].read_upto());
        if run < from {
            return Ok(());
        }
        let read = self.lease.query(move |database, _| {
            let runs = database
                .runs
                .range((lane, queue, from)..=(lane, queue, run));
            let known =
                runs.map(|((_, _, id), row)| Known::of(&row.stored(*id), row.rows.checksum));
            Ok(known.collect::<Vec<_>>())
        });
        for known in read.map_err(|failed| self.failed(failed))? {
            self.state.known[at].learn(known);
        }
        Ok(())
    }

    fn from(&self, queue: usize, after: i64) -> i64 {
        after.saturating_add(1).max(self.state.first_runs[queue])
    }

    /// As `LaneStore::read_stored`.
    fn read_stored(
        &mut self,
        queue: u8,
        after: i64,
        limit: usize,
    ) -> meditopia::Result<Vec<StoredRun>> {
        let at = usize::from(queue);
        let from = self.from(at, after);
        if after == i64::MAX || (queue == 1 && from > self.state.stored_suspect_run) {
            return Ok(Vec::new());
        }
        let lane = self.lease.lane;
        let read = self.lease.query(move |database, _| {
            let runs = database
                .runs
                .range((lane, queue, from)..=(lane, queue, i64::MAX));
            let runs = runs
                .take(limit)
                .map(|((_, _, id), row)| (row.stored(*id), row.rows.checksum));
            let sorter = &database.sorter;
            Ok((
                runs.collect::<Vec<_>>(),
                sorter.last_run,
                sorter.appended[lane],
            ))
        });
        let (runs, last_run, appended) = read.map_err(|failed| self.failed(failed))?;
        self.state.last_run = self.state.last_run.max(last_run);
        self.state.appended_events = appended;
        let mut found = Vec::with_capacity(runs.len());
        for (mut run, checksum) in runs {
            let known = &mut self.state.known[at];
            match known.find(run.id) {
                Some(known) => run.marks |= known.marks,
                None => known.learn(Known::of(&run, checksum)),
            }
            found.push(run);
        }
        Ok(found)
    }
}

fn row_of(queue: u8, run: &Known) -> KnownRow {
    KnownRow {
        queue,
        id: run.id,
        checksum: run.checksum,
    }
}

impl Store for ModelStore {
    fn commit(&mut self, changes: &[Change<'_>]) -> meditopia::Result<()> {
        self.guarded(|store| {
            for change in changes {
                let taken = store.state.take_in(change, &mut store.draft);
                taken.map_err(|what| store.error(what))?;
            }
            match store.is_joint {
                true => Ok(()),
                false => store.send(),
            }
        })
    }

    fn begin_joint_commit(&mut self) {
        self.is_joint = true;
    }

    fn end_joint_commit(&mut self) -> meditopia::Result<()> {
        self.is_joint = false;
        self.guarded(Self::send)
    }

    fn committed(&self) -> u64 {
        self.lease.held(|held| held.claim.step.unsigned_abs())
    }

    fn syncs(&self) -> Arc<Syncs> {
        self.syncs.clone()
    }

    fn check_lock(&self) -> meditopia::Result<()> {
        match self.lease.outlasts(0) {
            true => Ok(()),
            false => Err(self.error("this relay has not its lease any more")),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Store,
            format!("lane {}: {what}", self.state.lane),
        )
    }

    fn as_argument(&self) -> String {
        "model".to_owned()
    }

    fn lane(&self, _: u8) -> LaneState {
        self.state.saved.state.clone()
    }

    fn rest(&self, _: u8) -> Rest {
        self.state.saved.rest
    }

    fn runs(
        &mut self,
        place: Place,
        after: i64,
        limit: usize,
    ) -> meditopia::Result<Vec<StoredRun>> {
        let queue = queue_of(place).map_err(|what| self.error(what))?;
        self.know_upto(place.queue, after.min(i64::MAX - 1))?;
        let mut found = self.read_stored(place.queue, after, limit)?;
        if queue == 1 && found.len() < limit {
            let after = after.max(self.state.stored_suspect_run);
            let left = limit - found.len();
            let appended = self.draft.appended.values();
            for (run, checksum) in appended.filter(|(run, _)| run.id > after).take(left) {
                self.state.known[queue].learn(Known::of(run, *checksum));
                found.push(run.clone());
            }
        }
        Ok(found)
    }

    fn last_run(&self) -> i64 {
        self.state.last_run.max(self.state.last_suspect_run)
    }

    fn first_origin(&mut self) -> meditopia::Result<Option<i64>> {
        // No flush is asked for in a fleet.
        Ok(None)
    }

    fn suspects(&self) -> Vec<Suspect> {
        self.state.suspects.values().cloned().collect()
    }

    fn refused_in_a_row(&self) -> Vec<String> {
        self.state.refused_in_a_row.iter().cloned().collect()
    }

    fn rejected_matching(
        &self,
        _: &RejectedFilter,
        _: usize,
    ) -> meditopia::Result<Vec<(i64, Rejected)>> {
        Ok(Vec::new())
    }

    fn rejected(&self, _: &[i64]) -> meditopia::Result<Vec<(i64, Rejected)>> {
        Ok(Vec::new())
    }

    fn last_rejected(&self) -> i64 {
        self.state.last_rejected
    }

    fn pause(&self) -> Option<PauseState> {
        self.state.saved.pause.clone()
    }

    fn lanes(&self) -> u8 {
        1
    }

    fn totals(&self) -> Totals {
        Totals {
            pending: self.state.pending(),
            ..self.state.saved.totals
        }
    }
}
