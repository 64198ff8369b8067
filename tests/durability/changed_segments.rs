//! Programs that rotate, clean up and restore files, in the journal of a running application.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::{secs, wait_until};

/// What is done to the segment `$1`, of which `$2` is a backup.
const CHANGES: [&str; 9] = [
    "truncate -s 0 $1",
    "cp $1 $1.1 && truncate -s 0 $1 && rm $1.1",
    "cp $2 $1",
    "cp --remove-destination $2 $1",
    "mv $2 $1",
    "rm $1",
    "rm $1; cp $2 $1",
    // As programs rotate that do not copy.
    "mv $1 $2.away",
    "mv $(dirname $1) $2.journal",
];

fn in_shell(script: &str, segment: &Path, backup: &Path) {
    let mut sh = Command::new("sh");
    sh.args(["-e", "-c", script, "sh"]).args([segment, backup]);
    stdout_of(&mut sh);
}

#[test]
fn what_is_acknowledged_after_a_segment_was_cut_replaced_or_removed_is_delivered() {
    for change in CHANGES {
        for is_taken_over in [false, true] {
            let api = Sandbox::start();
            let spool = TestSpool::for_sandbox(&api).with("role", "enqueue");
            let client = spool.client();
            let log = Arc::new(Mutex::new(String::new()));
            let of_callback = log.clone();
            let callback = move |record: &meditopia::LogRecord| {
                let mut log = of_callback.lock().unwrap();
                log.push_str(&record.message);
                log.push('\n');
            };
            client.set_log_callback(Some(Box::new(callback))).unwrap();

            for number in 0..20 {
                client.enqueue_for("before", number);
            }
            let journal = spool.path().join("journal");
            let segment = std::fs::read_dir(&journal).unwrap().next().unwrap();
            let segment = segment.unwrap().path();
            let backup = spool.path().with_extension("backup");
            std::fs::copy(&segment, &backup).unwrap();
            for number in 20..50 {
                client.enqueue_for("before", number);
            }
            if is_taken_over {
                assert_eq!(client.flush_ok(secs(30)).delivered, 50);
            }
            in_shell(change, &segment, &backup);
            let name = segment.file_name().unwrap().to_str().unwrap();
            let of_writer = format!("journal/{name}; of its ");
            let mut meanwhile = 0;
            // What a backup was copied into has its header, and its size after the next append.
            let is_noticed = change != "cp $2 $1";
            wait_until("the writer notices it", || {
                client.enqueue_for("meanwhile", meanwhile);
                meanwhile += 1;
                log.lock().unwrap().contains(&of_writer) || (!is_noticed && meanwhile == 50)
            });
            for number in 0..50 {
                client.enqueue_for("after", number);
            }
            client.flush_ok(secs(30));
            // A second one: what was left of the segment is judged once its writer has left it.
            client.flush_ok(secs(30));

            let arrived = Arrivals::from_sandbox(&api).first_appearances();
            assert!(
                arrived["after"].iter().copied().eq(0..50),
                "{change}: {arrived:?}"
            );
            let log = log.lock().unwrap();
            let of_sender = format!("segment {name}: another program has cut or replaced it");
            // What is enqueued into a file that was cut, before that is noticed, stands where it belongs.
            let is_moved = change.contains("mv $1") || change.contains("dirname");
            let is_replaced =
                change.contains("mv $2") || change.contains("--remove") || change.contains("; cp");
            if is_replaced {
                assert_eq!(log.contains(&of_sender), is_taken_over, "{change}: {log}");
            } else if change != "rm $1" && !is_moved {
                let meanwhile = 0..meanwhile as u64;
                assert!(
                    arrived["meanwhile"].iter().copied().eq(meanwhile),
                    "{change}"
                );
            }
            if is_taken_over {
                assert!(arrived["before"].iter().copied().eq(0..50), "{change}");
            }
        }
    }
}
