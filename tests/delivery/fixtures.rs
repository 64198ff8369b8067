//! What several of these modules need.

use std::time::{SystemTime, UNIX_EPOCH};

use meditopia::Client;
use meditopia::LogRecord as Record;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::spool::TestSpool;
use serde_json::{Value, json};

/// The spool of a program in C, for clients of this process.
pub fn spool_of(program: &CProgram, api: &Sandbox) -> TestSpool {
    TestSpool::for_sandbox(api).with("spool", program.spool().to_str().unwrap())
}

/// The values of the accepted events of a user in the order of acceptance, repetitions included.
pub fn accepted_values(api: &Sandbox, user: &str) -> Vec<Value> {
    api.events()
        .into_iter()
        .filter(|event| event.fields.partner_user_id == user)
        .map(|event| event.fields.event_value)
        .collect()
}

/// The values that `ClientExt::enqueue_for` gives to events with these numbers.
pub fn values(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(|number| json!(number.to_string())).collect()
}

/// The log records that the client has not read yet.
pub fn read_log(client: &Client) -> Vec<Record> {
    std::iter::from_fn(|| client.log_next().unwrap()).collect()
}

pub fn wall_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
