//! Commands that a sender left behind, and errors on their way to another process.

use std::sync::Arc;
use std::time::Instant;

use super::files::AnsweredError;
use super::*;
use crate::dispatch::OnPause;
use crate::error::PauseReason;
use crate::log::{Level, Log};
use crate::sender::Sender;
use crate::sender::tests::panics::{PATIENCE, one_event_for};
use crate::store::PauseState;
use crate::store::Reader;
use crate::transport::tests::server::Server;

const DELIVERED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

struct Opened {
    _dir: tempfile::TempDir,
    _server: Server,
    sender: Sender,
}

fn open() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering(DELIVERED);
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(Some(Level::Error))));
    Opened {
        _dir: dir,
        _server: server,
        sender,
    }
}

fn elect(spool: &Arc<Spool>) -> Election {
    Election::try_win(spool).unwrap().unwrap()
}

fn pause(spool: &Spool) -> Option<PauseState> {
    Reader::open(spool).unwrap().unwrap().pause().cloned()
}

/// What a sender leaves behind that dies after it has claimed `command`.
fn claim_and_die(sender: &Sender, command: &Command) {
    let shared = &sender.shared;
    let waiting = Waiting::leave(&shared.spool, command).unwrap();
    let dir = shared.spool.commands().require().unwrap();
    let claimed = claim(&dir, &waiting.name, &elect(&shared.spool));
    assert!(matches!(claimed, Claim::Command(..)));
}

#[test]
fn a_resume_is_not_undone_by_a_hold_that_a_dead_sender_had_claimed() {
    let opened = open();
    let (sender, spool) = (&opened.sender, &opened.sender.shared.spool);
    claim_and_die(sender, &Command::Hold);
    sender.command(&Command::Resume).unwrap();
    assert_eq!(pause(spool), None);

    let wanted = sender.want().unwrap();
    sender
        .flush(OnPause::Probe, Instant::now() + PATIENCE)
        .unwrap();
    assert_eq!(pause(spool), None);
    assert!(
        waiting(&spool.commands().require().unwrap())
            .unwrap()
            .is_empty()
    );
    drop(wanted);
    assert!(sender.wait_ended(Instant::now() + PATIENCE));
}

#[test]
fn commands_are_carried_out_in_the_order_of_their_time_whoever_does() {
    let opened = open();
    let (sender, spool) = (&opened.sender, &opened.sender.shared.spool);
    claim_and_die(sender, &Command::Resume);
    sender.command(&Command::Hold).unwrap();
    assert!(pause(spool).is_some());

    claim_and_die(sender, &Command::Hold);
    Waiting::leave(spool, &Command::Resume).unwrap();
    let wanted = sender.want().unwrap();
    sender
        .flush(OnPause::Probe, Instant::now() + PATIENCE)
        .unwrap();
    assert_eq!(pause(spool), None);
    drop(wanted);
    assert!(sender.wait_ended(Instant::now() + PATIENCE));
}

#[test]
fn the_error_of_a_command_keeps_its_kind_and_its_reason_on_the_way_to_another_process() {
    let opened = open();
    let shared = &opened.sender.shared;
    let waiting = Waiting::leave(&shared.spool, &Command::Hold).unwrap();
    let damaged = Error::new(ErrorKind::Store, "the ledger is damaged");
    let damaged = damaged.paused_for(PauseReason::StoreDamaged);
    let election = elect(&shared.spool);
    let done = carry_out_waiting(shared, &election, Erasures::Now, &mut |_| {
        Err(damaged.clone())
    });
    assert_eq!(done, Err(damaged.clone()));
    assert_eq!(waiting.take_answer().unwrap(), Some(Err(damaged)));
    for kind in ErrorKind::ALL {
        let answered = AnsweredError::from_error(&Error::new(kind, "why"));
        assert_eq!(answered.into_error().kind(), kind);
    }
}

#[test]
fn a_command_that_nobody_has_claimed_is_taken_back_at_the_deadline() {
    let opened = open();
    let shared = &opened.sender.shared;
    let _elected = elect(&shared.spool);
    let refused = shared.command(&Command::Hold, Instant::now());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(
        waiting(&shared.spool.commands().require().unwrap())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn planted_files_are_looked_at_a_thousand_at_a_time_and_said_seldom() {
    const PLANTED: usize = 2_500;
    let opened = open();
    let shared = &opened.sender.shared;
    let dir = shared.spool.commands().ensure().unwrap();
    for number in 0..PLANTED {
        std::fs::write(dir.path(&format!("{number:05}.json")), "no command").unwrap();
    }
    // Its time is later than those.
    let waiting_command = Waiting::leave(&shared.spool, &Command::Hold).unwrap();
    let last = dir.path("99999.json");
    std::fs::rename(dir.path(&waiting_command.name), &last).unwrap();
    let election = elect(&shared.spool);
    let carry_out = || {
        let count = carry_out_waiting(shared, &election, Erasures::Now, &mut |_| {
            let (changed, rest) = (1, None);
            Ok(Some(Done::Step(Carried { changed, rest })))
        });
        (count.unwrap(), waiting(&dir).unwrap().len())
    };
    assert_eq!(carry_out(), (0, 1_000));
    assert_eq!(carry_out(), (0, 501));
    assert_eq!(carry_out(), (1, 0));
    let log = &shared.log;
    let mut lines = 0;
    while let Some(record) = log.next() {
        lines += u32::from(record.message.contains("put aside"));
    }
    assert_eq!(lines, 12, "1, 2, 4 and so on up to 2,048");
}

#[test]
fn a_command_file_of_any_size_is_read_up_to_a_bound() {
    let opened = open();
    let shared = &opened.sender.shared;
    let dir = shared.spool.commands().ensure().unwrap();
    let file = std::fs::File::create(dir.path("1.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    let Claim::Bad(e) = claim(&dir, "1.json", &elect(&shared.spool)) else {
        panic!("a command");
    };
    assert!(e.message().contains("1.claimed: has more than"), "{e}");
    assert!(std::fs::exists(dir.path("1.bad")).unwrap());
}

#[test]
fn a_command_that_an_older_sender_does_not_know_is_told_as_that_and_its_file_goes() {
    let opened = open();
    let spool = &opened.sender.shared.spool;
    let waiting = Waiting::leave(spool, &Command::Hold).unwrap();
    let dir = spool.commands().require().unwrap();
    let bad = with_ending(&waiting.name, BAD);
    dir.rename(&waiting.name, &dir, &bad).unwrap();
    let given_up = waiting.give_up(spool);
    assert!(given_up.message().contains("older version"), "{given_up}");
    assert!(!std::fs::exists(dir.path(&bad)).unwrap());
}

fn forget(boot_count: u32, left: Duration) -> Command {
    Command::Forget {
        user: "u".to_owned(),
        boot_count,
        until_ns: clock::now().after(left).boot_ns,
        again: false,
    }
}

#[test]
fn an_erasure_whose_author_waits_no_longer_is_not_begun_and_others_are_carried_out() {
    let opened = open();
    let shared = &opened.sender.shared;
    let (spool, now) = (&shared.spool, shared.spool.boot_count());
    let late = Waiting::leave(spool, &forget(now, Duration::ZERO)).unwrap();
    let of_another_boot = forget(now + 1, Duration::from_secs(60));
    let of_another_boot = Waiting::leave(spool, &of_another_boot).unwrap();
    let hold = Waiting::leave(spool, &Command::Hold).unwrap();
    let election = elect(spool);
    let count = carry_out_waiting(shared, &election, Erasures::Now, &mut |task| match task {
        Task::Step(_) => Ok(Some(Done::Step(Carried {
            changed: 1,
            rest: None,
        }))),
        Task::Erasure(_) | Task::ErasureAgain(_) => panic!("it is begun"),
    });
    assert_eq!(count.unwrap(), 1);
    assert!(hold.take_answer().unwrap().unwrap().is_ok());
    for waiting in [late, of_another_boot] {
        let refused = waiting.take_answer().unwrap().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Timeout);
        assert!(refused.message().contains("too long ago"), "{refused}");
    }
}

#[test]
fn an_erasure_that_has_to_wait_keeps_no_other_command_waiting() {
    let opened = open();
    let shared = &opened.sender.shared;
    let spool = &shared.spool;
    let minute = Duration::from_secs(60);
    let erasure = Waiting::leave(spool, &forget(spool.boot_count(), minute)).unwrap();
    let hold = Waiting::leave(spool, &Command::Hold).unwrap();
    let election = elect(spool);
    for erasures in [Erasures::Later, Erasures::Now] {
        let count = carry_out_waiting(shared, &election, erasures, &mut |task| {
            Ok(Some(match task {
                Task::Step(_) => Done::Step(Carried {
                    changed: 1,
                    rest: None,
                }),
                Task::Erasure(_) | Task::ErasureAgain(_) => Done::Erasure(Erased::default()),
            }))
        });
        assert_eq!(count.unwrap(), 1);
    }
    assert!(hold.take_answer().unwrap().unwrap().is_ok());
    let erased = erasure.take_answer().unwrap().unwrap().unwrap();
    assert_eq!(erased.erased, Some(Erased::default()));
}

/// The files below a directory in which a text stands.
fn files_with(dir: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        if bytes.windows(text.len()).any(|at| at == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn what_the_api_has_said_of_a_user_and_a_command_put_aside_go_with_an_erasure() {
    let body =
        r#"{"success":false,"errors":[{"code":"A_1001","message":"nobody may send for u-17"}]}"#;
    let length = body.len();
    let server = Server::answering(format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let dir = tempfile::tempdir().unwrap();
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(Some(Level::Error))));
    let spool = &sender.shared.spool;
    let wanted = sender.want().unwrap();
    let paused = sender.flush(OnPause::Probe, Instant::now() + PATIENCE);
    let why = paused.unwrap_err();
    assert!(why.message().contains("u-17"), "{why}");
    let commands = spool.commands().ensure().unwrap();
    std::fs::write(commands.path("1.bad"), r#"{"forget":{"user":"u-17"}}"#).unwrap();
    std::fs::write(commands.path("2.bad"), r#"{"forget":{"user":"u-18"}}"#).unwrap();
    let root = dir.path().join("spool");
    // The last heartbeat may come a moment later.
    while !files_with(&root, "u-17")
        .iter()
        .any(|file| file.ends_with("sender.json"))
    {
        std::thread::yield_now();
    }

    sender.erase("u-17", Instant::now() + PATIENCE).unwrap();
    assert_eq!(files_with(&root, "u-17"), [""; 0]);
    assert!(!crate::spool::Heartbeat::names_user(spool, "u-17").unwrap());
    assert!(std::fs::exists(commands.path("2.bad")).unwrap());
    assert_eq!(pause(spool).unwrap().reason, PauseReason::Auth);
    drop(wanted);
    assert!(sender.wait_ended(Instant::now() + PATIENCE));
    assert_eq!(files_with(&root, "u-17"), [""; 0]);
}

#[test]
fn what_a_dead_sender_has_said_of_a_user_goes_with_an_erasure_without_a_sender() {
    let server = Server::answering(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 71\r\n\r\n\
         {\"success\":false,\"errors\":[{\"code\":\"A_1001\",\"message\":\"no: u-17, no\"}]}",
    );
    let dir = tempfile::tempdir().unwrap();
    let sender = one_event_for(&server, &dir, &Arc::new(Log::new(Some(Level::Error))));
    let spool = &sender.shared.spool;
    let wanted = sender.want().unwrap();
    let paused = sender.flush(OnPause::Probe, Instant::now() + PATIENCE);
    assert!(paused.unwrap_err().message().contains("u-17"));
    let names_user = || crate::spool::Heartbeat::names_user(spool, "u-17").unwrap();
    while !names_user() {
        std::thread::yield_now();
    }
    drop(wanted);
    assert!(sender.wait_ended(Instant::now() + PATIENCE));
    assert!(names_user(), "the last heartbeat stays");

    sender.erase("u-17", Instant::now() + PATIENCE).unwrap();
    assert!(!names_user());
    assert_eq!(files_with(&dir.path().join("spool"), "u-17"), [""; 0]);
}

#[test]
fn an_erasure_that_may_take_no_time_is_carried_out_where_no_sender_runs() {
    let opened = open();
    let sender = &opened.sender;
    assert_eq!(
        sender.erase("u-17", Instant::now()).unwrap(),
        Erased::default()
    );
    let elected = elect(&sender.shared.spool);
    let refused = sender.erase("u-17", Instant::now()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Timeout);
    drop(elected);
}

#[test]
fn another_command_is_carried_out_between_the_steps_of_an_erasure() {
    let opened = open();
    let shared = &opened.sender.shared;
    let election = elect(&shared.spool);
    let state = shared.open_state(&election, None).unwrap();
    let election = Arc::new(election);
    shared.session().open(state, election.clone());
    let hold = Waiting::leave(&shared.spool, &Command::Hold).unwrap();
    let mut is_answered = false;
    let mut between = || {
        is_answered |= matches!(hold.take_answer(), Ok(Some(Ok(_))));
        std::thread::sleep(Duration::from_millis(110));
        Ok(())
    };
    shared
        .erase(&election, "u-17", &mut between)
        .unwrap()
        .unwrap();
    assert!(is_answered, "before the erasure ends");
    shared.session().close();
}
