//! The API is away, refuses, or answers what is not its answer.

use meditopia_testkit::wait::secs;
use serde_json::json;

use crate::drill::Drill;

#[test]
fn an_operator_is_told_of_an_api_that_is_away() {
    let mut drill = Drill::start("API away");
    drill.api.set_fault(json!({ "fault": "reset" }));
    drill.strike();
    drill.enqueue(20);
    drill.status("waiting for a retry");
    drill.check(1, "waiting for a retry");
    drill.doctor(2, "FAIL  API: it did not answer properly");
    drill.ready(503, "waiting for a retry");
    drill.alerts(
        &[
            "MeditopiaOldestEventAge",
            "MeditopiaApiAway",
            "MeditopiaNothingAccepted",
        ],
        secs(75 * 60),
    );
    drill.log("connection");
    drill.api.clear_faults();
    drill.ended_by("the API's return");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_an_address_that_is_not_allowed() {
    let mut drill = Drill::start("refused address");
    drill.api.refuse_address();
    drill.strike();
    drill.enqueue(20);
    drill.status("address");
    drill.check(2, "paused: ip");
    drill.doctor(2, "FAIL  API: it refuses this host's address");
    drill.ready(503, "paused (ip)");
    drill.alert("MeditopiaPaused", secs(600));
    drill.log("A_100");
    drill.api.allow_address();
    drill.type_next("meditopia resume");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_login_page_in_the_api_s_place() {
    let mut drill = Drill::start("login page");
    drill.api.set_fault(json!({ "fault": "login_page" }));
    drill.strike();
    drill.enqueue(20);
    drill.status("check the endpoint");
    drill.check(2, "paused: misrouted");
    drill.doctor(
        2,
        "FAIL  API: what answers does not look like the Partners API",
    );
    drill.ready(503, "paused (misrouted)");
    drill.alert("MeditopiaPaused", secs(600));
    drill.log("misrouted");
    drill.api.clear_faults();
    drill.type_next("meditopia resume");
    drill.end(0, 0);
}

#[test]
fn an_operator_finds_the_event_on_which_the_api_fails() {
    let mut drill = Drill::start("poison event");
    drill
        .api
        .set_fault(json!({ "fault": "status", "status": 500, "containing": "u-17" }));
    drill.strike();
    drill.enqueue(20);
    drill.status("HTTP 500, for a request of 20 events");
    drill.check(1, "waiting for a retry");
    drill.doctor(1, "the last failure: HTTP 500");
    drill.ready(503, "waiting for a retry");
    drill.alerts(
        &[
            "MeditopiaOldestEventAge",
            "MeditopiaApiAway",
            "MeditopiaNothingAccepted",
        ],
        secs(75 * 60),
    );
    drill.log("HTTP 500");
    drill.type_from_guide("in-doubt bisect");
    drill.end(1, 0);
}

#[test]
fn an_operator_is_told_of_three_thousand_unknown_users_and_accepts_their_rejection() {
    const UNKNOWN: usize = 3_000;
    let mut drill = Drill::start("3,000 unknown users");
    let unknown = (10..10 + UNKNOWN).map(|number| format!("u-{number}"));
    drill.api.set_unknown_users(unknown);
    drill.strike();
    drill.enqueue(UNKNOWN);
    drill.status("mass_rejection");
    drill.check(2, "paused: mass_rejection");
    drill.doctor(2, "FAIL  delivery: paused: mass_rejection");
    drill.ready(503, "paused (mass_rejection)");
    drill.alerts(&["MeditopiaPaused", "MeditopiaRejectedRate"], secs(600));
    drill.log("A_1104");
    drill.type_next_with("meditopia resume", "--accept-rejections");
    drill.end(UNKNOWN, 0);
}
