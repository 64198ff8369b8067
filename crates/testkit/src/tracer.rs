//! A small tracer: sees every system call of real processes, before and after, and stops the world there.
//!
//! A process that it starts stands still at each entry and exit of a system call until [`Tracer::resume`];
//! meanwhile the test may look at its files, step another process, change the call, or kill. Threads and forked
//! children are followed. Programs tell where a section begins and what was acknowledged by a
//! call that changes nothing: `getpriority` of a number that no process has (`tests/c/steps.c`).
//!
//! The kernel answers only to the thread that started a process, so a tracer stays in its test's thread.

mod call;

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use libc::{c_long, c_void, pid_t};

pub use self::call::{Call, Mark};

/// What has happened to one of the processes.
#[derive(Debug, Clone)]
pub enum Event {
    /// A thread stands before a system call.
    Entry(Call),
    /// A thread stands behind a system call, which returned this.
    Exit(Call, i64),
    /// A process has ended, with all its threads.
    Ended(pid_t, ExitStatus),
}

impl Event {
    /// Whose it is.
    pub fn pid(&self) -> pid_t {
        match self {
            Self::Entry(call) | Self::Exit(call, _) => call.pid,
            Self::Ended(pid, _) => *pid,
        }
    }
}

/// Starts processes and follows them.
#[derive(Default)]
pub struct Tracer {
    tasks: HashMap<pid_t, Task>,
    /// How many threads each process has had.
    threads: HashMap<pid_t, usize>,
    /// Stops that were seen while something else was waited for.
    seen: VecDeque<(pid_t, i32)>,
    /// Not for another thread: see above.
    here: PhantomData<*const ()>,
}

struct Task {
    pid: pid_t,
    thread: usize,
    call: Option<Call>,
}

impl Tracer {
    /// Starts `command`; it stands before its first instruction, and goes on when this returns.
    pub fn start(&mut self, mut command: Command) -> pid_t {
        // SAFETY: between fork and exec the child makes one system call.
        unsafe {
            command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let pid = command.spawn().expect("the program starts").id() as pid_t;
        let mut status = 0;
        // SAFETY: waits for the child just made, which stops by itself at its exec.
        unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
        assert!(libc::WIFSTOPPED(status), "it does not stop at its exec");
        let options = libc::PTRACE_O_EXITKILL
            | libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK;
        request(libc::PTRACE_SETOPTIONS, pid, options as usize);
        self.adopt(pid);
        go_on(pid, 0);
        pid
    }

    /// Waits until something happens; what stands still stays so. `None`: no process is left.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let (tid, status) = match self.seen.pop_front() {
                Some(seen) => seen,
                None => wait()?,
            };
            if let Some(event) = self.understand(tid, status) {
                return Some(event);
            }
        }
    }

    /// Lets a thread go on that stands at a system call.
    pub fn resume(&self, call: &Call) {
        go_on(call.tid, 0);
    }

    /// Ends a process as the kernel does where memory runs out; returns when nothing of it is left.
    pub fn kill(&mut self, pid: pid_t) {
        // SAFETY: a process of ours that was not waited for yet, so the number is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        self.seen
            .retain(|(tid, _)| self.tasks.get(tid).is_none_or(|task| task.pid != pid));
        while let Some((tid, status)) = wait() {
            let ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
            if ended && tid == pid {
                break;
            }
            // Of another process, whose new thread may not be known yet.
            let of = self.tasks.get(&tid).map(|task| task.pid);
            if of.or_else(|| process_of(tid)).is_some_and(|of| of != pid) {
                self.seen.push_back((tid, status));
            }
        }
        self.forget(pid);
    }

    /// At an entry: the call does not happen; at its exit it has failed with `errno`, see [`Self::returns`].
    pub fn skip(&self, call: &Call) {
        poke(call.tid, libc::ORIG_RAX, u64::MAX);
    }

    /// At an exit: what the program gets to see.
    pub fn returns(&self, call: &Call, value: i64) {
        poke(call.tid, libc::RAX, value.cast_unsigned());
    }

    /// At the entry of a `write`: only so many bytes of it are written.
    pub fn shorten(&self, call: &Call, bytes: u64) {
        poke(call.tid, libc::RDX, bytes);
    }

    fn understand(&mut self, tid: pid_t, status: i32) -> Option<Event> {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            let task = self.tasks.remove(&tid)?;
            if task.pid != tid {
                return None;
            }
            self.forget(tid);
            use std::os::unix::process::ExitStatusExt;
            return Some(Event::Ended(tid, ExitStatus::from_raw(status)));
        }
        let signal = libc::WSTOPSIG(status);
        let is_new = !self.tasks.contains_key(&tid);
        if is_new {
            self.adopt(tid);
        }
        if signal == libc::SIGTRAP | 0x80 {
            return self.at_call(tid);
        }
        // A new thread begins with a stop of its own; a clone or an exec is told by a trap. Neither
        // is a signal to the program; all else is.
        let is_ours = (is_new && signal == libc::SIGSTOP) || signal == libc::SIGTRAP;
        go_on(tid, if is_ours { 0 } else { signal });
        None
    }

    fn at_call(&mut self, tid: pid_t) -> Option<Event> {
        let task = self.tasks.get_mut(&tid)?;
        match task.call.take() {
            Some(call) => {
                let value = peek(tid, libc::RAX)?.cast_signed();
                Some(Event::Exit(call, value))
            }
            None => {
                let registers = [
                    libc::RDI,
                    libc::RSI,
                    libc::RDX,
                    libc::R10,
                    libc::R8,
                    libc::R9,
                ];
                let mut arguments = [0; 6];
                for (argument, register) in arguments.iter_mut().zip(registers) {
                    *argument = peek(tid, register)?;
                }
                let call = Call {
                    pid: task.pid,
                    tid,
                    thread: task.thread,
                    number: peek(tid, libc::ORIG_RAX)?.cast_signed(),
                    arguments,
                };
                task.call = Some(call.clone());
                Some(Event::Entry(call))
            }
        }
    }

    fn adopt(&mut self, tid: pid_t) {
        let pid = process_of(tid).unwrap_or(tid);
        let threads = self.threads.entry(pid).or_default();
        self.tasks.insert(
            tid,
            Task {
                pid,
                thread: *threads,
                call: None,
            },
        );
        *threads += 1;
    }

    fn forget(&mut self, pid: pid_t) {
        self.tasks.retain(|_, task| task.pid != pid);
        self.threads.remove(&pid);
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        while let Some(pid) = self.tasks.values().map(|task| task.pid).next() {
            self.kill(pid);
        }
    }
}

/// The next stop or end of anything that this thread has started or traces.
fn wait() -> Option<(pid_t, i32)> {
    let mut status = 0;
    // Children of other tests' threads are theirs.
    // SAFETY: plain memory owned here.
    match unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) } {
        -1 => None,
        tid => Some((tid, status)),
    }
}

/// Lets a stopped thread run to its next system call, with a signal for it or 0.
fn go_on(tid: pid_t, signal: i32) {
    request(libc::PTRACE_SYSCALL, tid, signal as usize);
}

/// One that fails is about a thread that a kill or its own process's end has taken meanwhile.
fn request(what: libc::c_uint, tid: pid_t, data: usize) -> c_long {
    // SAFETY: none of the requests made so writes to memory of this process.
    unsafe {
        libc::ptrace(
            what,
            tid,
            std::ptr::null_mut::<c_void>(),
            data as *mut c_void,
        )
    }
}

fn peek(tid: pid_t, register: i32) -> Option<u64> {
    // SAFETY: a register's value is the return value; errno tells it from a failure.
    unsafe {
        *libc::__errno_location() = 0;
        let at = (register as usize * size_of::<u64>()) as *mut c_void;
        let value = libc::ptrace(libc::PTRACE_PEEKUSER, tid, at, 0);
        (*libc::__errno_location() == 0).then_some(value.cast_unsigned())
    }
}

fn poke(tid: pid_t, register: i32, value: u64) {
    let at = (register as usize * size_of::<u64>()) as *mut c_void;
    // SAFETY: changes a register of a stopped thread that this test traces.
    let outcome = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, tid, at, value as *mut c_void) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

fn process_of(tid: pid_t) -> Option<pid_t> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}
