//! The server: a statement is carried out and answered, carried out and not answered, carried out late, or lost; and
//! the server itself crashes, or is replaced by one that is behind.

use std::cell::{Cell, Ref, RefCell};

use super::database::{Database, Refused};
use super::tasks::{Ms, NETWORK, Process};
use super::world::{World, world};

/// How a statement has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// It was refused and changed nothing.
    Refused(&'static str),
    /// No answer has come: it may be committed, now or a little later.
    Unknown,
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.0)
    }
}

/// A connection, which breaks with the server that it leads to. One through a pooler leads to whichever server
/// there is: its client never learns that it is another one.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    server: u64,
    is_pooled: bool,
}

/// What comes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Answered,
    Lost,
    Unanswered,
    Late(Ms),
}

pub struct Server {
    database: RefCell<Database>,
    replica: RefCell<Database>,
    /// Since when the replica lacks something.
    behind_since: Cell<Option<Ms>>,
    /// Which server it is, and which history its database has.
    server: Cell<u64>,
    /// By how much its clock is ahead.
    ahead_ms: Cell<i64>,
}

impl Server {
    pub fn new(database: Database) -> Self {
        Self {
            replica: RefCell::new(database.clone()),
            behind_since: Cell::new(None),
            database: RefCell::new(database),
            server: Cell::new(0),
            ahead_ms: Cell::new(0),
        }
    }

    pub fn database(&self) -> Ref<'_, Database> {
        self.database.borrow()
    }

    pub fn connect(&self, world: &World) -> Connection {
        Connection {
            server: self.server.get(),
            is_pooled: world.plan.has_pooler,
        }
    }

    /// `clock_timestamp()`.
    pub fn clock_ms(&self, world: &World) -> i64 {
        world.tasks.now() as i64 + self.ahead_ms.get()
    }

    pub fn set_clock(&self, ahead_ms: i64) {
        self.ahead_ms.set(ahead_ms);
    }

    /// All connections to it end. Nothing that is committed is lost.
    pub fn crash(&self) {
        self.server.set(self.server.get() + 1);
    }

    /// The replica catches up.
    pub fn replicate(&self) {
        *self.replica.borrow_mut() = self.database().clone();
        self.behind_since.set(None);
    }

    fn window_ms(&self, world: &World) -> Ms {
        let since = self.behind_since.get();
        since.map_or(0, |since| world.tasks.now() - since)
    }

    /// The replica takes the place of the primary.
    pub fn fail_over(&self, world: &World) {
        if self.window_ms(world) > world.plan.lag_ms {
            self.replicate();
        }
        let window = self.window_ms(world);
        let older = self.replica.borrow().clone();
        world.tell(|| format!("FAILOVER to a replica that is {window} ms behind"));
        world.set_back(&older, window);
        *self.database.borrow_mut() = older;
        self.crash();
        world.check();
    }

    /// Which server it is now. A transaction does not outlast its server.
    pub fn number(&self) -> u64 {
        self.server.get()
    }

    fn is_broken(&self, connection: Connection) -> bool {
        !connection.is_pooled && connection.server != self.server.get()
    }

    /// Applies a statement, all of it or nothing.
    fn apply<T>(
        &self,
        world: &World,
        statement: impl FnOnce(&mut Database, i64) -> Result<T, Refused>,
    ) -> Result<T, Failed> {
        world.statements.set(world.statements.get() + 1);
        if self.window_ms(world) > world.plan.lag_ms {
            self.replicate();
        }
        let now = self.clock_ms(world);
        let mut after = self.database().clone();
        let done = statement(&mut after, now)?;
        after.place = world.next_place();
        *self.database.borrow_mut() = after;
        let behind = self.behind_since.get().unwrap_or(world.tasks.now());
        self.behind_since.set(Some(behind));
        world.check();
        if world.draw(0..1_000) < world.plan.replica_per_mille {
            self.replicate();
        }
        Ok(done)
    }

    /// What comes of the next statement on this connection.
    fn way(&self, world: &World, connection: Connection) -> Way {
        if self.is_broken(connection) {
            world.count_fault(true);
            return Way::Lost;
        }
        if !world.is_troubled(world.plan.statement_faults) {
            return Way::Answered;
        }
        world.count_fault(true);
        match world.draw(0..3) {
            0 => Way::Lost,
            1 => Way::Unanswered,
            _ => Way::Late(world.draw(1..12_000)),
        }
    }

    fn apply_late<T: 'static>(
        world: &World,
        late: Ms,
        statement: impl FnOnce(&mut Database, i64) -> Result<T, Refused> + 'static,
    ) {
        let server = world.server.server.get();
        world.tasks.spawn(NETWORK, async move {
            let world = super::world::world();
            world.tasks.sleep(late).await;
            // It was on its way to a server that is gone.
            if world.server.server.get() == server {
                let applied = world.server.apply(&world, statement);
                world.tell(|| format!("a statement was applied late: {:?}", applied.map(drop)));
            }
        });
    }
}

fn latency(world: &World) -> Ms {
    match world.draw(0..20) {
        0 => world.draw(0..2_000),
        1..8 => 0,
        _ => world.draw(0..10),
    }
}

/// Sends a statement on a connection, and waits for the answer.
pub async fn query<T: 'static>(
    connection: &mut Connection,
    statement: impl FnOnce(&mut Database, i64) -> Result<T, Refused> + 'static,
) -> Result<T, Failed> {
    let world = world();
    world.tasks.sleep(latency(&world)).await;
    let way = world.server.way(&world, *connection);
    let answered = match way {
        Way::Answered => world.server.apply(&world, statement),
        Way::Lost => Err(Failed::Unknown),
        Way::Unanswered => {
            let applied = world.server.apply(&world, statement);
            world.tell(|| format!("a statement is not answered: {:?}", applied.map(drop)));
            Err(Failed::Unknown)
        }
        Way::Late(late) => {
            Server::apply_late::<T>(&world, late, statement);
            Err(Failed::Unknown)
        }
    };
    world.tasks.sleep(latency(&world)).await;
    if way != Way::Answered {
        *connection = world.server.connect(&world);
    }
    answered
}

/// The same from code that cannot wait: everybody else acts inside of the call. After a death of `process` the outcome
/// is unknown.
pub fn query_now<T: 'static>(
    process: Process,
    connection: &mut Connection,
    statement: impl FnOnce(&mut Database, i64) -> Result<T, Refused> + 'static,
) -> Result<T, Failed> {
    let world = world();
    if !world.tasks.run_for(latency(&world), process) {
        return Err(Failed::Unknown);
    }
    let way = world.server.way(&world, *connection);
    let answered = match way {
        Way::Answered => world.server.apply(&world, statement),
        Way::Lost => Err(Failed::Unknown),
        Way::Unanswered => world
            .server
            .apply(&world, statement)
            .and(Err(Failed::Unknown)),
        Way::Late(late) => {
            Server::apply_late::<T>(&world, late, statement);
            Err(Failed::Unknown)
        }
    };
    if way != Way::Answered {
        *connection = world.server.connect(&world);
    }
    match world.tasks.run_for(latency(&world), process) {
        true => answered,
        false => Err(Failed::Unknown),
    }
}
