//! One simulated fleet: everything that its processes share, and the promises that are checked after each step.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use super::api::Api;
use super::database::{Claim, Database};
use super::events::{Events, Fate, Origin};
use super::faults::Processes;
use super::guards::Guards;
use super::host::Disk;
use super::plan::Plan;
use super::server::Server;
use super::tasks::{Ms, Tasks};

/// The time at which every fleet begins.
pub const START_MS: Ms = 1_780_000_000_000;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The fleet that is simulated on this thread. Its tasks run on one thread, one at a time.
pub fn world() -> Rc<World> {
    WORLD.with_borrow(|world| world.clone().expect("a fleet is simulated"))
}

pub struct World {
    pub plan: Plan,
    pub guards: Guards,
    pub tasks: Tasks,
    pub server: Server,
    pub hosts: RefCell<Vec<Disk>>,
    pub events: RefCell<Events>,
    pub api: RefCell<Api>,
    pub processes: Processes,
    /// Things go wrong. Towards the end nothing does any more.
    pub is_bad: Cell<bool>,
    /// How often something went wrong after which a batch in flight may be repeated.
    pub faults: Cell<u64>,
    pub statements: Cell<u64>,
    pub checks: Cell<u64>,
    rng: RefCell<fastrand::Rng>,
    failure: RefCell<Option<String>>,
    story: RefCell<Option<Vec<String>>>,
    order: Cell<u64>,
}

impl World {
    /// Begins another fleet on this thread.
    pub fn begin(plan: Plan, guards: Guards, tells: bool) -> Rc<Self> {
        let seed = plan.seed;
        let world = Rc::new(Self {
            tasks: Tasks::new(seed ^ 0x5eed, START_MS),
            server: Server::new(Database::new(plan.lanes)),
            hosts: RefCell::default(),
            events: RefCell::default(),
            api: RefCell::default(),
            processes: Processes::default(),
            is_bad: Cell::new(true),
            faults: Cell::new(0),
            statements: Cell::new(0),
            checks: Cell::new(0),
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            failure: RefCell::default(),
            story: RefCell::new(tells.then(Vec::new)),
            order: Cell::new(0),
            plan,
            guards,
        });
        WORLD.set(Some(world.clone()));
        world
    }

    /// Ends it: no task is left that could ask for it.
    pub fn end(&self) {
        self.tasks.end();
        self.tasks.clear();
        WORLD.set(None);
    }

    pub fn draw(&self, from: Range<u64>) -> u64 {
        self.rng.borrow_mut().u64(from)
    }

    pub fn draw_number(&self) -> u64 {
        self.rng.borrow_mut().u64(1..)
    }

    /// Whether something goes wrong now, which it does so often in 1,000 while the times are bad.
    pub fn is_troubled(&self, per_mille: u64) -> bool {
        self.is_bad.get() && self.draw(0..1_000) < per_mille
    }

    pub fn count_fault(&self, is_one: bool) {
        self.faults.set(self.faults.get() + u64::from(is_one));
    }

    /// The next place in the order of everything that happens.
    pub fn next_place(&self) -> u64 {
        self.order.set(self.order.get() + 1);
        self.order.get()
    }

    /// Adds to the story of a seed that is told.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut *self.story.borrow_mut() {
            let ms = self.tasks.now() - START_MS;
            story.push(format!("{:>9}.{:03}  {}", ms / 1_000, ms % 1_000, what()));
        }
    }

    pub fn take_story(&self) -> Vec<String> {
        self.story.borrow_mut().take().unwrap_or_default()
    }

    /// A promise is broken: nothing goes on after it.
    pub fn fail(&self, how: String) {
        self.tell(|| format!("BROKEN: {how}"));
        self.failure.borrow_mut().get_or_insert(how);
        self.tasks.end();
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    pub fn hold(&self, promise: Result<(), String>) {
        if let Err(how) = promise {
            self.fail(how);
        }
    }

    /// Checks of a statement that is applied that its author had read the state of the row that it changes.
    pub fn checks_links(&self) -> impl FnOnce(Claim, Claim) + 'static {
        |row, read| {
            if row != read {
                world().fail(format!(
                    "a step was made by who had not read the one before it: {row:?}, and {read:?} was read"
                ));
            }
        }
    }

    /// What has to be true after each step, whoever made it.
    pub fn check(&self) {
        self.checks.set(self.checks.get() + 1);
        let database = self.server.database();
        self.hold(database.check_sums());
        let missing = self.missing(&database);
        if let Some(number) = missing.first() {
            let event = self.events.borrow().all[*number as usize].clone();
            self.fail(format!(
                "event {number} of user {} ({:?}) is lost: it is in no journal, parcel, run or rejected event, and was not delivered",
                event.user, event.origin
            ));
        }
    }

    /// The acknowledged events that are nowhere.
    pub fn missing(&self, database: &Database) -> Vec<u32> {
        let events = self.events.borrow();
        let mut is_held = vec![false; events.all.len()];
        for number in database.held() {
            is_held[number as usize] = true;
        }
        let hosts = self.hosts.borrow();
        for number in hosts.iter().flat_map(Disk::kept) {
            is_held[number as usize] = true;
        }
        let numbers = events.all.iter().zip(is_held).enumerate();
        numbers
            .filter(|(_, (event, is_held))| {
                event.fate == Fate::Acknowledged
                    && event.first.is_none()
                    && !event.is_written_off
                    && !is_held
            })
            .map(|(number, _)| number as u32)
            .collect()
    }

    /// The database is an older one from now on: what it does not know to be delivered may be delivered again, and what
    /// applications have committed since goes with what it was about.
    pub fn set_back(&self, older: &Database, window_ms: Ms) {
        let held: BTreeSet<u32> = older.held().collect();
        let mut events = self.events.borrow_mut();
        events.set_back(older.place);
        for (number, event) in events.all.iter_mut().enumerate() {
            let number = number as u32;
            if event.origin == Origin::Outbox
                && event.fate == Fate::Acknowledged
                && event.first.is_none()
                && !held.contains(&number)
            {
                event.fate = Fate::Unknown;
            }
        }
        drop(events);
        // A restore to a time before what the journals keep loses what they do not have any more.
        let keep = self.plan.keep_ms;
        let now = self.tasks.now();
        if window_ms >= keep && self.guards.journal_keeps {
            for number in self.missing(older) {
                let events = &mut self.events.borrow_mut();
                let event = events.get(number);
                event.is_written_off = event.handed_in_ms + keep <= now;
            }
        }
    }
}
