//! A host: its journal, and the process that forwards it.
//!
//! What outlasts the process is in [`Disk`], and decides with the code of the real forwarder: whose work a step is
//! ([`ForwardRecord::judge`]), and what the journal keeps ([`ForwardWindow`]). The order of its writes and statements
//! is that of `Forwarding` and `Forwarder`.

use std::time::Duration;

use meditopia::internals::client::{ForwardFound, ForwardRecord, ForwardWindow, Keep};
use meditopia::internals::clock::BootTime;
use meditopia::internals::journal::round::Offsets;
use meditopia::internals::store::Run;

use super::database::{Rows, SpoolRow};
use super::events::{Fate, Origin, fragment};
use super::server::{Connection, Failed, query};
use super::tasks::{Ms, Process};
use super::world::{World, world};

/// Writers of a journal, each with a segment.
const SEGMENTS: [&str; 2] = ["a", "b"];
const EVENT_BYTES: u64 = 100;
const FORWARD_EVERY_MS: Ms = 2_000;

/// What outlasts the processes of a host.
#[derive(Debug)]
pub struct Disk {
    /// Numbers and segments of the events, in the order in which they were enqueued.
    journal: Vec<(u32, usize)>,
    record: ForwardRecord,
    window: ForwardWindow,
    /// How far the ledger says that each segment is forwarded.
    ledger: Offsets,
    boot_count: u32,
    booted_ms: Ms,
}

/// How many events of a segment are before an offset.
fn events_before(offsets: &Offsets, segment: usize) -> usize {
    let offset = offsets.get(SEGMENTS[segment]).copied();
    (offset.unwrap_or(0) / EVENT_BYTES) as usize
}

impl Disk {
    pub fn new(now: Ms) -> Self {
        let mut record = ForwardRecord::draw();
        record.boot_count = 1;
        Self {
            journal: Vec::new(),
            record,
            window: ForwardWindow::default(),
            ledger: Offsets::new(),
            boot_count: 1,
            booted_ms: now,
        }
    }

    /// The events behind some offsets, with their segments, in order.
    fn behind(&self, offsets: &Offsets) -> impl Iterator<Item = (u32, usize)> {
        let skipped = [0, 1].map(|segment| events_before(offsets, segment));
        let mut seen = [0; SEGMENTS.len()];
        self.journal.iter().copied().filter(move |(_, segment)| {
            seen[*segment] += 1;
            seen[*segment] > skipped[*segment]
        })
    }

    /// The events that the journal still has.
    pub fn kept(&self) -> impl Iterator<Item = u32> {
        self.behind(self.window.freed()).map(|(number, _)| number)
    }

    /// The events that a database does not have from this host.
    pub fn not_forwarded(&self, row: Option<&SpoolRow>) -> Vec<u32> {
        let nothing = Offsets::new();
        let offsets = row.map_or(&nothing, |row| &row.offsets);
        self.behind(offsets).map(|(number, _)| number).collect()
    }

    fn boot_time(&self, now: Ms) -> BootTime {
        BootTime {
            boot_count: self.boot_count,
            boot_ns: (now - self.booted_ms) * 1_000_000,
        }
    }

    /// The host boots again.
    pub fn boot(&mut self, now: Ms) {
        self.boot_count += 1;
        self.booted_ms = now;
    }
}

/// An application of the host enqueues an event, which is acknowledged once it is in the journal.
pub fn enqueue(world: &World, host: usize) {
    let user = world.draw(0..u64::from(world.plan.users)) as u32;
    let segment = world.draw(0..2) as usize;
    let mut events = world.events.borrow_mut();
    let number = events.add(user, Origin::Journal(host), Fate::Acknowledged);
    world.hosts.borrow_mut()[host]
        .journal
        .push((number, segment));
}

/// A statement that was or will be sent, until it is known whether it is committed.
#[derive(Clone)]
struct Pending {
    step: i64,
    /// Of the statement that has made this step.
    after: u64,
    nonce: u64,
    offsets: Offsets,
    parcels: Vec<(Run, Vec<u32>)>,
}

struct Forwarder {
    host: usize,
    /// What it says is on the disk once the next statement leaves, or the round has ended.
    record: ForwardRecord,
    offsets: Offsets,
    pending: Option<Pending>,
    /// A round over the journal has begun.
    is_in_round: bool,
    is_positioned: bool,
    connection: Option<Connection>,
    failures: u32,
}

/// The process `meditopia forward` of a host.
pub async fn forward(host: usize) {
    let world = world();
    let mut forwarder = Forwarder {
        host,
        record: world.hosts.borrow()[host].record.clone(),
        offsets: world.hosts.borrow()[host].ledger.clone(),
        pending: None,
        is_in_round: false,
        is_positioned: false,
        connection: None,
        failures: 0,
    };
    loop {
        match forwarder.pass(&world).await {
            Ok(()) => world.tasks.sleep(FORWARD_EVERY_MS).await,
            Err(_) => {
                forwarder.connection = None;
                let bound = 200 << forwarder.failures.min(7);
                forwarder.failures += 1;
                world.tasks.sleep(world.draw(200..bound + 201)).await;
            }
        }
    }
}

impl Forwarder {
    /// Hands over everything that is in the journal now.
    async fn pass(&mut self, world: &World) -> Result<(), Failed> {
        if self.connection.is_none() && (self.failures > 0 || !self.is_positioned) {
            self.connect(world).await?;
        }
        while let Some(pending) = self.next(world) {
            if self.connection.is_none() {
                self.connect(world).await?;
                continue;
            }
            self.send(world, pending).await?;
        }
        self.end_round(world).await
    }

    async fn connect(&mut self, world: &World) -> Result<(), Failed> {
        self.connection = Some(world.server.connect(world));
        self.find_position(world).await?;
        self.failures = 0;
        Ok(())
    }

    async fn find_position(&mut self, world: &World) -> Result<(), Failed> {
        let host = self.host;
        let connection = self.connection.as_mut().ok_or(Failed::Unknown)?;
        let row = query(
            connection,
            move |database, _| Ok(database.begin_spool(host)),
        )
        .await?;
        self.found(world, row);
        Ok(())
    }

    /// As `Forwarding::found`.
    fn found(&mut self, world: &World, row: SpoolRow) {
        self.is_positioned = true;
        let mut hosts = world.hosts.borrow_mut();
        let disk = &mut hosts[self.host];
        let found = self.record.judge((row.step, row.nonce), disk.boot_count);
        world.tell(|| {
            format!(
                "host {}: step {} in the database, {} here: {found:?}",
                self.host, row.step, self.record.step
            )
        });
        match found {
            ForwardFound::New => {
                let offsets = self.offsets.clone();
                disk.window.start_at(&offsets);
                self.go_on_from(disk, offsets);
                self.record.settle(row.step, row.nonce);
            }
            ForwardFound::Unchanged if self.is_in_round => {}
            ForwardFound::Unchanged => self.go_on_from(disk, row.offsets),
            ForwardFound::Committed => {
                let is_pending = |pending: &Pending| pending.nonce == row.nonce;
                if self.pending.as_ref().is_some_and(is_pending) {
                    self.confirm(disk);
                } else {
                    self.go_on_from(disk, row.offsets);
                    self.record.settle(row.step, row.nonce);
                }
            }
            ForwardFound::Older => {
                self.is_in_round = false;
                self.pending = None;
                self.offsets = disk.window.set_back(row.step, &row.offsets);
                disk.ledger.clone_from(&self.offsets);
                self.record.settle(row.step, row.nonce);
            }
            ForwardFound::Foreign => {
                let how = format!(
                    "host {} takes a statement of its own for another's",
                    self.host
                );
                drop(hosts);
                return world.fail(how);
            }
        }
        self.record.boot_count = disk.boot_count;
        drop(hosts);
        world.check();
    }

    fn go_on_from(&mut self, disk: &mut Disk, mut offsets: Offsets) {
        self.is_in_round = false;
        self.pending = None;
        for (name, freed) in disk.window.freed() {
            let offset = offsets.entry(name.clone()).or_default();
            *offset = (*offset).max(*freed);
        }
        disk.ledger.clone_from(&offsets);
        self.offsets = offsets;
    }

    fn confirm(&mut self, disk: &mut Disk) {
        if let Some(pending) = self.pending.take() {
            self.offsets.clone_from(&pending.offsets);
            disk.ledger.clone_from(&pending.offsets);
            self.record.settle(pending.step + 1, pending.nonce);
        }
    }

    /// The next statement; the same one until it is settled. Its nonce is on the disk before it leaves.
    fn next(&mut self, world: &World) -> Option<Pending> {
        let mut hosts = world.hosts.borrow_mut();
        let disk = &mut hosts[self.host];
        if self.pending.is_none() {
            self.is_in_round = true;
            self.pending = self.read(world, disk);
        }
        let pending = self.pending.clone()?;
        self.record.send(pending.nonce);
        self.record.boot_count = disk.boot_count;
        disk.record.clone_from(&self.record);
        Some(pending)
    }

    fn read(&self, world: &World, disk: &Disk) -> Option<Pending> {
        let mut offsets = self.offsets.clone();
        let mut parcels: Vec<(Run, Vec<u32>)> = Vec::new();
        let (most, size) = (world.draw(1..20) as usize, world.draw(1..9) as usize);
        for (number, segment) in disk.behind(&self.offsets).take(most) {
            let user = world.events.borrow().all[number as usize].user;
            if parcels
                .last()
                .is_none_or(|(_, numbers)| numbers.len() >= size)
            {
                parcels.push(Default::default());
            }
            if let Some((run, numbers)) = parcels.last_mut() {
                run.push(fragment(user, number).as_bytes(), world.tasks.now() as i64);
                numbers.push(number);
            }
            *offsets.entry(SEGMENTS[segment].to_owned()).or_default() += EVENT_BYTES;
        }
        (!parcels.is_empty()).then(|| Pending {
            step: self.record.step,
            after: self.record.nonce,
            nonce: world.draw_number(),
            offsets,
            parcels,
        })
    }

    async fn send(&mut self, world: &World, pending: Pending) -> Result<(), Failed> {
        let host = self.host;
        let connection = self.connection.as_mut().ok_or(Failed::Unknown)?;
        // The ids are drawn by the statement, which may commit later than another one that has drawn larger ones.
        let count = pending.parcels.len();
        let (ids, drawn, server): (Vec<i64>, u64, u64) = query(connection, move |database, _| {
            let ids = (0..count).map(|_| database.draw_parcel()).collect();
            let world = super::world::world();
            Ok((ids, world.next_place(), world.server.number()))
        })
        .await?;
        let Pending {
            step,
            after,
            nonce,
            offsets,
            parcels,
        } = pending.clone();
        let guards = world.guards;
        let sent = query(connection, move |database, _| {
            let world = super::world::world();
            if world.server.number() != server {
                return Err(super::database::Refused("the statement is gone"));
            }
            let numbers: Vec<u32> = parcels
                .iter()
                .flat_map(|(_, numbers)| numbers.clone())
                .collect();
            let parcels = parcels.into_iter().map(|(run, _)| Rows::of(run));
            database.forward(
                host,
                (step, guards.nonce_in_key.then_some(after)),
                (nonce, offsets),
                ids.into_iter().zip(parcels).collect(),
            )?;
            let (place, now) = (world.next_place(), world.tasks.now());
            let mut events = world.events.borrow_mut();
            for number in numbers {
                let event = events.get(number);
                if event.first.is_none() {
                    event.handed_in = Some((drawn, place));
                }
                event.handed_in_ms = now;
            }
            Ok(())
        })
        .await;
        match sent {
            Ok(()) => {
                world.tell(|| {
                    let numbers: Vec<&Vec<u32>> =
                        pending.parcels.iter().map(|(_, numbers)| numbers).collect();
                    format!(
                        "host {host} forwards {numbers:?} to step {}",
                        pending.step + 1
                    )
                });
                let mut hosts = world.hosts.borrow_mut();
                self.confirm(&mut hosts[host]);
                Ok(())
            }
            Err(Failed::Refused(_)) => self.find_position(world).await,
            Err(Failed::Unknown) => Err(Failed::Unknown),
        }
    }

    /// As `Forwarding::end_round`: what need not be kept is freed.
    async fn end_round(&mut self, world: &World) -> Result<(), Failed> {
        if !std::mem::take(&mut self.is_in_round) {
            return Ok(());
        }
        let keep = match world.guards.journal_keeps {
            true => Keep {
                time: Duration::from_millis(world.plan.keep_ms),
                bytes: u64::MAX,
            },
            false => Keep::NOTHING,
        };
        if world.guards.asks_before_freeing && self.would_free(world, keep) {
            match self.connection {
                Some(_) => self.find_position(world).await?,
                None => self.connect(world).await?,
            }
        }
        let mut hosts = world.hosts.borrow_mut();
        let disk = &mut hosts[self.host];
        let (now, wall_ms) = (disk.boot_time(world.tasks.now()), world.tasks.now() as i64);
        // The window counts on a step that the record knows.
        if world.guards.record_before_window {
            disk.record.clone_from(&self.record);
        }
        let step = self.record.step;
        disk.window
            .note((now, wall_ms), (step, &self.offsets), keep);
        let has_freed = disk.window.free(now, &self.offsets, keep);
        drop(hosts);
        if has_freed {
            world.tell(|| format!("host {} frees what it has forwarded long ago", self.host));
            world.check();
        }
        Ok(())
    }

    /// Whether something of the journal is old enough to go.
    fn would_free(&self, world: &World, keep: Keep) -> bool {
        let hosts = world.hosts.borrow();
        let disk = &hosts[self.host];
        let now = disk.boot_time(world.tasks.now());
        disk.window.clone().free(now, &self.offsets, keep)
    }
}

/// What dies with the process, and what a boot changes, is up to the caller; this begins it again.
pub fn start(world: &World, host: usize) -> Process {
    let process = world.tasks.new_process();
    world.tasks.spawn(process, forward(host));
    process
}
