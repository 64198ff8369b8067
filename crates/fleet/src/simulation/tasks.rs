//! Virtual time, and who acts at which moment of it.
//!
//! Every process of the fleet is a few tasks, which are futures without a runtime: a task sleeps where a real thread
//! would wait for an answer, and meanwhile the others act, in an order that the seed draws. To kill a process
//! is to drop its tasks where they wait; a process that is stopped (SIGSTOP, a pause of its container) is passed over.
//!
//! The real code of a lane is not asynchronous: it calls its store and gets an answer. There the tasks of
//! everybody else run inside of the call ([`Tasks::run_for`]), so that other statements come between the two of a step.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Milliseconds of virtual time.
pub type Ms = u64;

/// A process of the fleet. One that is started again has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(usize);

/// What is on its way between processes. It cannot be killed.
pub const NETWORK: Process = Process(0);

/// So deep may tasks run inside of calls of each other.
const DEEPEST: usize = 3;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    process: Process,
    wakes_at: Ms,
    /// It runs just now, somewhere up the stack, if it is not here.
    work: Option<Work>,
}

#[derive(Clone, Copy, Default)]
struct Life {
    is_dead: bool,
    stopped_until: Ms,
}

/// All tasks, and the time.
pub struct Tasks {
    tasks: RefCell<Vec<Rc<RefCell<Task>>>>,
    lives: RefCell<Vec<Life>>,
    now: Cell<Ms>,
    /// When the task that runs wants to go on.
    wakes_at: Cell<Ms>,
    depth: Cell<usize>,
    rng: RefCell<fastrand::Rng>,
    is_over: Cell<bool>,
}

impl Tasks {
    pub fn new(seed: u64, now: Ms) -> Self {
        Self {
            tasks: RefCell::default(),
            lives: RefCell::new(vec![Life::default()]),
            now: Cell::new(now),
            wakes_at: Cell::new(0),
            depth: Cell::new(0),
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            is_over: Cell::new(false),
        }
    }

    pub fn now(&self) -> Ms {
        self.now.get()
    }

    /// Nothing runs any more.
    pub fn end(&self) {
        self.is_over.set(true);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    pub fn new_process(&self) -> Process {
        let mut lives = self.lives.borrow_mut();
        lives.push(Life::default());
        Process(lives.len() - 1)
    }

    pub fn spawn(&self, process: Process, work: impl Future<Output = ()> + 'static) {
        let task = Task {
            process,
            wakes_at: self.now(),
            work: Some(Box::pin(work)),
        };
        self.tasks.borrow_mut().push(Rc::new(RefCell::new(task)));
    }

    /// The process ends where it stands. A task of it that waits inside of a call ends when the call returns.
    pub fn kill(&self, process: Process) {
        self.lives.borrow_mut()[process.0].is_dead = true;
        let gone: Vec<_> = self
            .tasks
            .borrow_mut()
            .extract_if(.., |task| task.borrow().process == process)
            .collect();
        // Only now: what they hold may ask for the tasks.
        drop(gone);
    }

    pub fn is_dead(&self, process: Process) -> bool {
        self.lives.borrow()[process.0].is_dead
    }

    /// The process does nothing until then.
    pub fn stop_until(&self, process: Process, until: Ms) {
        let life = &mut self.lives.borrow_mut()[process.0];
        life.stopped_until = life.stopped_until.max(until);
    }

    fn stopped_until(&self, process: Process) -> Ms {
        self.lives.borrow()[process.0].stopped_until
    }

    /// Waits, and has the others act meanwhile.
    pub fn sleep(&self, time: Ms) -> Sleep {
        Sleep {
            until: self.now() + time,
            has_begun: false,
        }
    }

    /// Has the others act for so long, inside of a call of `process`; longer while it is stopped. `false`: it is dead.
    pub fn run_for(&self, time: Ms, process: Process) -> bool {
        if self.depth.get() < DEEPEST {
            self.depth.set(self.depth.get() + 1);
            let outer = self.wakes_at.get();
            self.run_until(self.now() + time);
            while !self.is_dead(process)
                && self.stopped_until(process) > self.now()
                && !self.is_over()
            {
                self.run_until(self.stopped_until(process));
            }
            self.wakes_at.set(outer);
            self.depth.set(self.depth.get() - 1);
        }
        !self.is_dead(process)
    }

    /// Has everybody act until then.
    pub fn run_until(&self, end: Ms) {
        while !self.is_over() {
            let Some((at, task)) = self.next_task() else {
                break;
            };
            if at > end {
                break;
            }
            self.now.set(self.now().max(at));
            self.poll(&task);
        }
        self.now.set(self.now().max(end));
    }

    /// One of the tasks that can act first, and when.
    fn next_task(&self) -> Option<(Ms, Rc<RefCell<Task>>)> {
        let tasks = self.tasks.borrow();
        let mut first: Option<(Ms, usize)> = None;
        let mut equal = 0;
        let mut rng = self.rng.borrow_mut();
        for (index, task) in tasks.iter().enumerate() {
            let task = task.borrow();
            if task.work.is_none() {
                continue;
            }
            let at = task
                .wakes_at
                .max(self.stopped_until(task.process))
                .max(self.now());
            match first {
                Some((earliest, _)) if at > earliest => {}
                Some((earliest, _)) if at == earliest => {
                    equal += 1;
                    if rng.usize(0..=equal) == 0 {
                        first = Some((at, index));
                    }
                }
                _ => {
                    equal = 0;
                    first = Some((at, index));
                }
            }
        }
        first.map(|(at, index)| (at, tasks[index].clone()))
    }

    fn poll(&self, task: &Rc<RefCell<Task>>) {
        let taken = task.borrow_mut().work.take();
        let Some(mut work) = taken else {
            return;
        };
        let process = task.borrow().process;
        self.wakes_at.set(self.now());
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled == Poll::Pending && !self.is_dead(process) {
            let mut task = task.borrow_mut();
            task.wakes_at = self.wakes_at.get();
            task.work = Some(work);
            return;
        }
        self.tasks
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, task));
    }

    /// Forgets all tasks, so that nothing of this fleet is left.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(gone);
    }
}

/// A wait.
pub struct Sleep {
    until: Ms,
    has_begun: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(());
        }
        super::world::world().tasks.wakes_at.set(self.until);
        Poll::Pending
    }
}
