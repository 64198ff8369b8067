//! Files in a spool that this library has not written: those of other programs, and those of a newer
//! version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use meditopia::Client;
use meditopia::ErrorKind;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

fn sender_of(spool: &Path, api: &Sandbox) -> Client {
    TestSpool::for_sandbox(api)
        .with("spool", spool.to_str().unwrap())
        .with("role", "both")
        .client()
}

#[test]
fn files_of_other_programs_in_a_spool_are_left_alone() {
    let api = Sandbox::start();
    let program = CProgram::compile("enqueue_job.c").with_config(&api, &[("role", "enqueue")]);
    program.run(&["10"]);
    let spool = program.spool();
    let foreign = [
        "lost+found/x",
        "journal/lost+found/x",
        "commands/x/y",
        "damaged/x/y",
        "queues/lost+found/x",
        "rejected/lost+found/x",
        "receipts/lost+found/x",
    ];
    for path in foreign {
        let path = spool.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "not ours").unwrap();
    }
    for name in [
        "journal/access.log",
        "commands/notes.txt",
        "queues/.nfs0001",
        "README",
    ] {
        fs::write(spool.join(name), "not ours").unwrap();
    }
    symlink("/dev/zero", spool.join("journal/00000001-1-1-1.segment")).unwrap();
    stdout_of(Command::new("mkfifo").arg(spool.join("journal/00000001-1-1-2.segment")));

    let sender = sender_of(&spool, &api);
    assert_eq!(sender.flush_ok(secs(60)).delivered, 10);
    sender.close(secs(30)).unwrap();
    drop(sender);
    for path in foreign {
        assert_eq!(fs::read_to_string(spool.join(path)).unwrap(), "not ours");
    }
    assert_eq!(
        fs::read_to_string(spool.join("journal/access.log")).unwrap(),
        "not ours"
    );
    assert!(spool.join("journal/00000001-1-1-1.segment").is_symlink());
}

#[test]
fn an_older_library_enqueues_beside_a_newer_store_or_segment_and_sends_nothing() {
    let api = Sandbox::start();
    let program = CProgram::compile("enqueue_job.c").with_config(&api, &[("role", "enqueue")]);
    program.run(&["10"]);
    let segment = fs::read_dir(program.spool().join("journal"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&segment).unwrap();
    // Increments the version, and corrects the checksum.
    bytes[8] += 1;
    let crc = crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();

    let sender = sender_of(&program.spool(), &api);
    let error = sender.flush(secs(60)).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert!(error.message().contains("newer"), "{error}");
    program.run(&["5"]);
    let _ = sender.close(Duration::ZERO);
    assert_eq!(api.ledger().requests, 0);
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

/// CRC-32C bit by bit, so that the test does not depend on the library's own checksum.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}
