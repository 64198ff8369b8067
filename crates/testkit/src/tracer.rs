//! A small tracer, which stops real processes before and after each of their system calls.
//!
//! A thread of a traced process stands still at each entry and exit of a system call until
//! [`Tracer::resume`]. Meanwhile the test can read its files, let another process make a step,
//! change the call, or kill the process. The tracer follows threads and forked children. A program
//! marks where a section begins and which events were acknowledged with a call that changes
//! nothing: `getpriority` of a number that no process has (`tests/c/steps.c`).
//!
//! The kernel lets only the thread that started a process trace it, so a tracer stays in its test's
//! thread.

mod call;

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use libc::{c_long, c_void, pid_t};

pub use self::call::{Mark, SystemCall};

/// An event of one of the processes.
#[derive(Debug, Clone)]
pub enum TraceEvent {
    /// A thread is stopped before a system call.
    Entry(SystemCall),
    /// A thread is stopped after a system call, which returned this value.
    Exit(SystemCall, i64),
    /// A process has ended, with all its threads.
    Ended(pid_t, ExitStatus),
}

impl TraceEvent {
    /// The process that it happened in.
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
    /// How many threads each process has started.
    threads: HashMap<pid_t, usize>,
    /// Stops that were received while the tracer waited for another one.
    pending: VecDeque<(pid_t, i32)>,
    /// Keeps the value in its thread: see above.
    not_send: PhantomData<*const ()>,
}

struct Task {
    pid: pid_t,
    thread: usize,
    call: Option<SystemCall>,
}

impl Tracer {
    /// Starts `command` and traces it from its first instruction on.
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
        assert!(
            libc::WIFSTOPPED(status),
            "the program does not stop at its exec"
        );
        let options = libc::PTRACE_O_EXITKILL
            | libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK;
        request(libc::PTRACE_SETOPTIONS, pid, options as usize);
        self.add_thread(pid);
        continue_thread(pid, 0);
        pid
    }

    /// Waits for the next event. Stopped threads stay stopped. `None` if no process is left.
    pub fn next_event(&mut self) -> Option<TraceEvent> {
        loop {
            let (tid, status) = match self.pending.pop_front() {
                Some(stop) => stop,
                None => wait()?,
            };
            if let Some(event) = self.interpret_stop(tid, status) {
                return Some(event);
            }
        }
    }

    /// Lets the thread go on that stands at this system call.
    pub fn resume(&self, call: &SystemCall) {
        continue_thread(call.tid, 0);
    }

    /// Kills a process by SIGKILL; returns when nothing of it is left.
    pub fn kill(&mut self, pid: pid_t) {
        // SAFETY: this process was not waited for yet, so the number is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        self.pending
            .retain(|(tid, _)| self.tasks.get(tid).is_none_or(|task| task.pid != pid));
        while let Some((tid, status)) = wait() {
            let ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
            if ended && tid == pid {
                break;
            }
            // A stop of another process, whose new thread may not be known yet.
            let of = self.tasks.get(&tid).map(|task| task.pid);
            if of.or_else(|| process_of(tid)).is_some_and(|of| of != pid) {
                self.pending.push_back((tid, status));
            }
        }
        self.forget(pid);
    }

    /// At an entry: the call does not happen. At its exit, give it a result: [`Self::set_result`].
    pub fn skip(&self, call: &SystemCall) {
        write_register(call.tid, libc::ORIG_RAX, u64::MAX);
    }

    /// At an exit: sets the value that the call returns to the program.
    pub fn set_result(&self, call: &SystemCall, value: i64) {
        write_register(call.tid, libc::RAX, value.cast_unsigned());
    }

    /// At the entry of a `write`: only the first `bytes` bytes are written.
    pub fn shorten_write(&self, call: &SystemCall, bytes: u64) {
        write_register(call.tid, libc::RDX, bytes);
    }

    fn interpret_stop(&mut self, tid: pid_t, status: i32) -> Option<TraceEvent> {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            let task = self.tasks.remove(&tid)?;
            if task.pid != tid {
                return None;
            }
            self.forget(tid);
            use std::os::unix::process::ExitStatusExt;
            return Some(TraceEvent::Ended(tid, ExitStatus::from_raw(status)));
        }
        let signal = libc::WSTOPSIG(status);
        let is_new = !self.tasks.contains_key(&tid);
        if is_new {
            self.add_thread(tid);
        }
        if signal == libc::SIGTRAP | 0x80 {
            return self.interpret_call_stop(tid);
        }
        // A new thread begins with a stop of its own, and a trap reports a clone or an exec. These
        // are for the tracer. Any other signal is for the program.
        let for_tracer = (is_new && signal == libc::SIGSTOP) || signal == libc::SIGTRAP;
        continue_thread(tid, if for_tracer { 0 } else { signal });
        None
    }

    fn interpret_call_stop(&mut self, tid: pid_t) -> Option<TraceEvent> {
        let task = self.tasks.get_mut(&tid)?;
        match task.call.take() {
            Some(call) => {
                let value = read_register(tid, libc::RAX)?.cast_signed();
                Some(TraceEvent::Exit(call, value))
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
                    *argument = read_register(tid, register)?;
                }
                let call = SystemCall {
                    pid: task.pid,
                    tid,
                    thread: task.thread,
                    number: read_register(tid, libc::ORIG_RAX)?.cast_signed(),
                    arguments,
                };
                task.call = Some(call.clone());
                Some(TraceEvent::Entry(call))
            }
        }
    }

    fn add_thread(&mut self, tid: pid_t) {
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

/// The next stop or end of a process that this thread has started or of a thread that it traces.
fn wait() -> Option<(pid_t, i32)> {
    let mut status = 0;
    // Without the children that the threads of other tests have started.
    // SAFETY: the status is plain memory of this function.
    match unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) } {
        -1 => None,
        tid => Some((tid, status)),
    }
}

/// Lets a stopped thread run to its next system call and delivers `signal` to it, or none for 0.
fn continue_thread(tid: pid_t, signal: i32) {
    request(libc::PTRACE_SYSCALL, tid, signal as usize);
}

/// Makes a ptrace request. It fails if the thread has ended meanwhile, which is no error here.
fn request(what: libc::c_uint, tid: pid_t, data: usize) -> c_long {
    // SAFETY: none of the requests that are made through this function writes to memory of this
    // process.
    unsafe {
        libc::ptrace(
            what,
            tid,
            std::ptr::null_mut::<c_void>(),
            data as *mut c_void,
        )
    }
}

fn read_register(tid: pid_t, register: i32) -> Option<u64> {
    // SAFETY: the call returns the value of a register; errno tells it from a failure.
    unsafe {
        *libc::__errno_location() = 0;
        let at = (register as usize * size_of::<u64>()) as *mut c_void;
        let value = libc::ptrace(libc::PTRACE_PEEKUSER, tid, at, 0);
        (*libc::__errno_location() == 0).then_some(value.cast_unsigned())
    }
}

fn write_register(tid: pid_t, register: i32, value: u64) {
    let at = (register as usize * size_of::<u64>()) as *mut c_void;
    // SAFETY: the call changes a register of a stopped thread that this test traces.
    let outcome = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, tid, at, value as *mut c_void) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

fn process_of(tid: pid_t) -> Option<pid_t> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}
