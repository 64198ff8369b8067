//! An application whose signals interrupt system calls: a profiler or an interval timer, with a handler
//! that was installed without `SA_RESTART`. No call of the library ends because of that.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::{assert_success, stdout_of};
use meditopia_testkit::sandbox::Sandbox;

const EVENTS: u64 = 20;
const PROCESSES: usize = 12;

/// Calls that name a file of the spool, each of which the program makes.
const BY_NAME: &str = "openat,statx,newfstatat,renameat,renameat2,unlinkat,mkdirat,getdents64";
/// Calls on an open file, each of which the program makes.
const ON_FILE: &str = "flock,fsync,pwrite64,fallocate,fstatfs,lseek";
/// Those that it makes only sometimes.
const SOMETIMES: &str =
    "fdatasync,ftruncate,fchmod,chmod,fchownat,utimensat,statfs,name_to_handle_at";
/// Calls that wait for time, another thread or a server.
const OF_WAITS: &str = "clock_nanosleep,connect,sendto,recvfrom,poll,ppoll,getrandom";

fn assert_arrived(api: &Sandbox, user: &str) {
    let arrivals = Arrivals::from_sandbox(api);
    let arrived = &arrivals.first_appearances()[user];
    assert!(arrived.iter().copied().eq(0..EVENTS), "{user}: {arrived:?}");
}

#[test]
fn processes_that_a_timer_interrupts_a_thousand_times_a_second_open_one_new_spool_and_deliver() {
    for durability in ["process", "power"] {
        let api = Sandbox::start();
        let program = CProgram::compile("interrupted.c")
            .with_config(&api, &[("role", "both"), ("durability", durability)]);
        let start = |number: usize| {
            let user = format!("u-{number}");
            let mut command = program.command(&["1000", &user, &EVENTS.to_string()]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            (command.spawn().unwrap(), command)
        };
        let started: Vec<_> = (0..PROCESSES).map(start).collect();
        for (process, command) in started {
            assert_success(&command, &process.wait_with_output().unwrap());
        }
        for number in 0..PROCESSES {
            assert_arrived(&api, &format!("u-{number}"));
        }
    }
}

/// Runs the program with each first, third, fifth ... of these calls interrupted. Returns the trace.
fn run_interrupted(program: &CProgram, calls: &str, only_on: &[PathBuf], user: &str) -> String {
    let trace = program.dir().join("trace");
    let plain = program.command(&["0", user, &EVENTS.to_string()]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace);
    for path in only_on {
        strace.arg("-P").arg(path);
    }
    strace
        .args(["-e", &format!("trace={calls}"), "-e"])
        .arg(format!("inject={calls}:error=EINTR:when=1+2"))
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    assert_eq!(stdout_of(&mut strace), "done\n");
    fs::read_to_string(trace).unwrap()
}

#[test]
fn no_system_call_of_the_library_ends_a_call_because_it_was_interrupted() {
    for durability in ["process", "power"] {
        let api = Sandbox::start();
        let runs = [
            ("u-names", BY_NAME),
            ("u-files", ON_FILE),
            ("u-sometimes", SOMETIMES),
            ("u-waits", OF_WAITS),
        ];
        for (user, calls) in runs {
            let program = CProgram::compile("interrupted.c")
                .with_config(&api, &[("role", "both"), ("durability", durability)]);
            let spool = program.spool();
            let below = ["journal", "ledger", "queues"].map(|name| spool.join(name));
            // What the loader opens must be found.
            let only_on = match calls {
                BY_NAME => [vec![spool], below.to_vec()].concat(),
                _ => Vec::new(),
            };
            let trace = run_interrupted(&program, calls, &only_on, user);
            let is_sure = [BY_NAME, ON_FILE].contains(&calls);
            for call in calls.split(',').filter(|_| is_sure) {
                let of_call = format!(" {call}(");
                let injected = |line: &str| line.contains(&of_call) && line.contains("INJECTED");
                assert!(trace.lines().any(injected), "{call} was not interrupted");
            }
            assert_arrived(&api, user);
        }
    }
}
