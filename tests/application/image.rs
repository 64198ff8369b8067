//! A spool in a container's own disk: one that was made with the image is refused, and one that the
//! container makes works.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use meditopia::internals::spool::{self, Destination};
use meditopia::{Client, ErrorKind};
use meditopia_testkit::disks::Overlay;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

#[test]
fn a_spool_that_is_part_of_an_image_is_refused_with_the_advice_to_mount_a_volume() {
    let api = Sandbox::start();
    let mounted = Overlay::mount(|image| {
        let spool = image.join("spool");
        let built = TestSpool::for_sandbox(&api).with("spool", spool.to_str().unwrap());
        built.client().enqueue_users(0..3);
    });
    let Some(container) = mounted else {
        return;
    };
    let dir = container.path("spool");
    let spool = TestSpool::for_sandbox(&api).with("spool", dir.to_str().unwrap());
    let identity = fs::read(dir.join("identity.json")).unwrap();
    let destination = Destination {
        endpoint: api.endpoint(),
        account: "",
    };
    // Also once a first look has changed the layer of its directories.
    for _ in 0..2 {
        let opened = Client::open(spool.config()).err().expect("refused");
        let adopted = spool::adopt(&dir, destination).unwrap_err();
        for refused in [opened, adopted] {
            assert_eq!(refused.kind(), ErrorKind::SpoolMismatch, "{refused}");
            assert!(refused.message().contains("mount a volume"), "{refused}");
        }
    }
    assert_eq!(fs::read(dir.join("identity.json")).unwrap(), identity);
    assert_eq!(api.ledger().requests, 0);
}

#[test]
fn a_spool_that_a_container_makes_works_also_in_an_empty_directory_of_the_image() {
    let mounted = Overlay::mount(|image| {
        let mut private = DirBuilder::new();
        private.mode(0o700).create(image.join("empty")).unwrap();
    });
    let Some(container) = mounted else {
        return;
    };
    for name in ["empty", "fresh"] {
        let api = Sandbox::start();
        let dir = container.path(name);
        let spool = TestSpool::for_sandbox(&api).with("spool", dir.to_str().unwrap());
        for round in 0..3 {
            let client = spool.client();
            client.enqueue_users(0..5);
            assert_eq!(client.flush_ok(secs(30)).delivered, 5, "{name}, {round}");
        }
    }
}
