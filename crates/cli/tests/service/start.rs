//! What `meditopia run` needs to start.

use std::net::TcpListener;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::Service;
use meditopia_testkit::spool::ClientExt;

use crate::fixtures::configured;

#[test]
fn a_service_without_a_configured_token_uses_the_credential_of_the_service_manager() {
    let api = Sandbox::start();
    let spool = configured(&api);
    spool.configure("");
    let credentials = spool.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("bearer-token"), api.token()).unwrap();
    let mut command = spool.command("run", &[]);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let _service = Service::start(command);
    spool.client().enqueue_users(0..100);
    api.wait_for_events(100);
}

#[test]
fn a_service_that_cannot_start_says_why() {
    let api = Sandbox::start();
    let spool = configured(&api);
    let assert_refused = |arguments: &[&str], status: i32, why: &str| {
        let output = spool.output("run", arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{errors}");
        assert!(errors.contains(why), "{errors}");
    };
    assert_refused(&["--listen", "0.0.0.0:0"], 2, "--listen-anywhere");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    assert_refused(&["--listen", &taken], 1, "choose another port");
    spool.configure("durability = \"memory\"");
    assert_refused(&[], 2, "durability");
    spool.configure("ca_file = \"/does/not/exist\"");
    assert_refused(&[], 2, "/does/not/exist");
    spool.configure("lanes = 99");
    assert_refused(&[], 2, "lanes");
}
