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
    drill.api_away(2, "FAIL  API: it did not answer properly");
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
    drill.paused("ip", "FAIL  API: it refuses this host's address");
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
    drill.paused(
        "misrouted",
        "FAIL  API: what answers does not look like the Partners API",
    );
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
    drill.api_away(1, "the last failure: HTTP 500");
    drill.log("HTTP 500");
    drill.type_from_guide("in-doubt bisect");
    drill.end(1, 0);
}

#[test]
fn an_operator_finds_the_event_on_which_the_api_has_failed_until_delivery_paused() {
    let mut drill = Drill::start("poison event, paused");
    drill
        .api
        .set_fault(json!({ "fault": "status", "status": 500, "containing": "u-17" }));
    drill.strike();
    drill.enqueue(20);
    drill.fail_until_paused("server_error");
    drill.status("server_error");
    drill.paused("server_error", "server_error");
    drill.alerts(&["MeditopiaPaused", "MeditopiaApiAway"], secs(600));
    drill.log("HTTP 500 10 times in a row to the same batch of 20 events");
    drill.type_next("meditopia in-doubt bisect");
    drill.ready(200, "sending");
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
    drill.paused("mass_rejection", "FAIL  delivery: paused: mass_rejection");
    drill.alerts(&["MeditopiaPaused", "MeditopiaRejectedRate"], secs(600));
    drill.log("A_1104");
    drill.type_next_with("meditopia resume", "--accept-rejections");
    drill.end(UNKNOWN, 0);
}
