//! Checks of the bearer token, of the API's answer, and of the clock.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use meditopia_testkit::sandbox::Sandbox;

use super::{FAILURES, Fixture, OK, TOKEN, WARNINGS, assert_finding, start_server};

#[test]
fn doctor_sends_an_event_only_if_asked_and_of_the_given_user() {
    let api = Sandbox::builder().unknown_user("nobody").start();
    let fixture = Fixture::new(&api);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "user-token\n").unwrap();
    let file = file.path().to_str().unwrap();

    let lines = fixture.findings(OK, &["--send-event", "somebody", "--user-token-file", file]);
    assert_finding(
        &lines,
        "ok    API",
        "it accepted the event, and counts it as a real one",
    );
    let lines = fixture.findings(
        FAILURES,
        &["--send-event", "nobody", "--user-token-file", file],
    );
    assert_finding(&lines, "FAIL  API", "A_1104");

    let events = api.events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&*events[0].fields.partner_user_id, &*events[0].fields.token),
        ("somebody", "user-token")
    );
}

#[test]
fn doctor_distinguishes_a_wrong_token_a_missing_token_and_a_refused_address() {
    let api = Sandbox::start();
    let lines = Fixture::at(api.endpoint(), TOKEN).findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  API", "refuses the bearer token (A_1002");

    let lines = Fixture::at(api.endpoint(), "").findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  bearer token", "there is none");
    assert_finding(&lines, "FAIL  API", "asks for a token");

    api.refuse_address();
    let lines = Fixture::new(&api).findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  API", "refuses this host's address (A_1004");
}

#[test]
fn doctor_reports_the_form_and_the_mode_of_a_token_file_but_never_the_token() {
    let api = Sandbox::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let fixture = Fixture::new(&api).with("MEDITOPIA_BEARER_TOKEN_FILE", file.to_str().unwrap());
    for (text, why) in [
        (String::new(), "is empty"),
        (format!("{TOKEN} {TOKEN}"), "not visible ASCII"),
        (format!("{TOKEN}\n{TOKEN}\n"), "not visible ASCII"),
        (format!("{TOKEN}\u{e9}"), "not visible ASCII"),
        (format!("Bearer {TOKEN}"), "the word Bearer"),
    ] {
        fs::write(&file, text).unwrap();
        let lines = fixture.findings(FAILURES, &[]);
        assert_finding(&lines, "FAIL  bearer token", why);
    }
    fs::write(&file, format!("{}\n", api.token())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let lines = fixture.findings(WARNINGS, &[]);
    assert_finding(&lines, "warn  token file rights", "mode 0644");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fixture.findings(OK, &[]);
}

#[test]
fn doctor_reports_by_how_much_the_clock_is_wrong() {
    let refusing = |ahead: jiff::SignedDuration| {
        let date = (jiff::Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT");
        let body = r#"{"success":false,"errors":[{"code":"A_1102","message":"no"}]}"#;
        let length = body.len();
        let at = start_server(format!(
            "HTTP/1.1 422 No\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        Fixture::at(&format!("http://{at}/events"), TOKEN)
    };
    let lines = refusing(jiff::SignedDuration::from_hours(2)).findings(FAILURES, &[]);
    assert_finding(&lines, "FAIL  clock", "behind the API");
    let lines = refusing(jiff::SignedDuration::from_secs(-100)).findings(WARNINGS, &[]);
    assert_finding(&lines, "warn  clock", "ahead of the API");
    refusing(jiff::SignedDuration::ZERO).findings(OK, &[]);
}
