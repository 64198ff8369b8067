//! The token is refused, or its file is gone.

use meditopia_testkit::wait::secs;

use crate::drill::{Drill, take};

#[test]
fn an_operator_is_told_of_a_token_that_is_refused() {
    let mut drill = Drill::start("wrong token");
    drill.api.set_token("another-token");
    drill.strike();
    drill.enqueue(20);
    drill.status("bearer token");
    drill.paused("auth", "FAIL  delivery: paused: auth");
    drill.alert("MeditopiaPaused", secs(600));
    drill.log("A_100");
    drill.spool.write_token("another-token");
    drill.ended_by("the right token in its file");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_token_file_that_is_missing() {
    let mut drill = Drill::start("token file missing");
    let token = take(&drill.spool.token_file());
    drill.strike();
    drill.enqueue(20);
    drill.log("token");
    // The token that was read before is used as long as it works.
    drill.service = None;
    drill.start_service();
    drill.enqueue(20);
    drill.status("bearer token");
    drill.paused("auth", "No such file or directory");
    drill.alert("MeditopiaPaused", secs(600));
    drill
        .spool
        .write_token(std::str::from_utf8(&token).unwrap());
    drill.ended_by("the file's return");
    drill.end(0, 0);
}
