//! What `meditopia status` says of the sender: whether it lives, from the moment that it dies on.

use std::path::Path;
use std::process::Command;

use crate::host::Story;
use crate::live::{Live, said, status, status_when};
use crate::patience::wait_until;
use crate::sandbox::Sandbox;
use crate::service::{Place, Service};

fn sends(spool: &Path) -> bool {
    status(spool)["sender"]["alive"] == true
}

fn started(api: &Sandbox) -> (Place, Service) {
    let place = Place::of(api.endpoint(), api.token());
    let service = place.run(&[]);
    status_when(&place.spool(), |seen| seen["sender"]["alive"] == true);
    (place, service)
}

#[test]
fn a_sender_that_was_killed_or_has_ended_is_not_said_to_be_alive() {
    let api = Sandbox::start();
    let terminate = |service: &mut Service| assert!(service.terminated().success());
    for end in [Service::kill, terminate] {
        let (place, mut service) = started(&api);

        end(&mut service);
        place.host().enqueue_users(0..3);

        assert!(!sends(&place.spool()));
        let table = said(&["status"], &place.spool());
        assert!(table.contains("events wait, and nobody sends"), "{table}");
    }
}

#[test]
fn a_copy_has_no_sender_while_that_of_the_spool_lives() {
    let api = Sandbox::start();
    let (place, _service) = started(&api);
    let copy = place.path("copy");
    // The sender may remove and make files meanwhile.
    wait_until("a copy with the word of the sender", || {
        let _ = Command::new("rm").arg("-rf").arg(&copy).status();
        let copied = Command::new("cp")
            .arg("-a")
            .args([&place.spool(), &copy])
            .status();
        copied.unwrap().success() && copy.join("sender.json").exists()
    });

    assert!(!sends(&copy));
    assert!(sends(&place.spool()));
}

#[test]
fn a_sender_is_seen_from_a_container_that_cannot_see_its_lock() {
    let runner = ["unshare", "--pid", "--fork", "--mount-proc"];
    let contained = |arguments: &[&str]| {
        let mut command = Command::new(runner[0]);
        command.args(&runner[1..]).args(arguments).output()
    };
    if !contained(&["true"]).is_ok_and(|tried| tried.status.success()) {
        println!("skipped: {runner:?} is not possible here");
        return;
    }
    let api = Sandbox::start();
    let live = Live::start(&api);
    let spool = live.spool();
    wait_until("it is seen", || {
        let program = env!("CARGO_BIN_EXE_meditopia");
        let seen = contained(&[program, "status", "--json", spool.to_str().unwrap()]);
        String::from_utf8(seen.unwrap().stdout)
            .unwrap()
            .contains("\"alive\":true")
    });
    live.end_with_all_delivered(&api);
}
