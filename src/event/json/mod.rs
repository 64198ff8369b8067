//! Events that arrive as JSON: an object, an array of objects, or the API's own `{"events":[...]}`.
//!
//! serde_json walks the text once and hands over every member as raw text, so that no value is
//! built and `event_value` stays the same byte for byte. An error of serde_json about a *value* is
//! never shown, because it quotes the value, which may be a `token`; an error about *syntax* quotes
//! nothing. All events of a call are accepted, or none.

mod value;
mod walk;

use serde::de::DeserializeSeed;

use self::walk::{Expected, Input, ListedEvent, Walk, not_json};
use crate::error::{Error, ErrorKind};
use crate::event::batch::Batch;
use crate::event::fields::Rules;

/// Checks every event in `json` and appends their fragments to `out`, all or none. Returns their
/// number.
///
/// `json` is one event, an array of events, or `{"events": [...]}`. `event_value` may be any JSON
/// value, and is kept byte for byte; if it is absent, it is `null`. If `received_at` is absent or
/// `null`, it is the current time.
///
/// A number in an `event_value` must be one that a double can hold.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] names the field, what is wrong with it and which event it was,
/// counted from 0; [`ErrorKind::InvalidArgument`] if `json` is not JSON. `out` is then as before.
pub fn encode_json(
    json: &[u8],
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Batch,
) -> Result<usize, Error> {
    let text = std::str::from_utf8(json).map_err(|cause| {
        let at = cause.valid_up_to();
        not_json(format!("is not UTF-8 at byte {at}"))
    })?;
    value::check_depth(text)?;
    let before = out.len();
    let mut walk = Walk::new(Expected::Input, rules, now_wall_ms, out);
    let mut parser = serde_json::Deserializer::from_str(text);
    let walked = Input(&mut walk).deserialize(&mut parser);
    match walked.and_then(|()| parser.end()) {
        Ok(()) => Ok(out.len() - before),
        Err(cause) => {
            let error = walk.explain(&cause, text);
            out.truncate(before);
            Err(error)
        }
    }
}

/// Checks the event in `json`, one object, and appends its fragment to `out`, as [`encode_json`]
/// does.
///
/// # Errors
/// [`ErrorKind::InvalidEvent`] names the field and what is wrong with it;
/// [`ErrorKind::InvalidArgument`] if `json` is not one JSON object. `out` is then as before.
pub fn encode_json_event(
    json: &[u8],
    rules: &Rules,
    now_wall_ms: i64,
    out: &mut Batch,
) -> Result<(), Error> {
    let refused = |what: String| Error::new(ErrorKind::InvalidArgument, what);
    let text = std::str::from_utf8(json)
        .map_err(|cause| refused(format!("is not UTF-8 (at byte {})", cause.valid_up_to())))?;
    value::check_depth(text)?;
    let before = out.len();
    let mut walk = Walk::new(Expected::Event, rules, now_wall_ms, out);
    let mut parser = serde_json::Deserializer::from_str(text);
    let walked = ListedEvent(&mut walk).deserialize(&mut parser);
    let fault = walk.take_fault();
    walked.and_then(|()| parser.end()).map_err(|cause| {
        out.truncate(before);
        match fault {
            Some(fault) => fault,
            None if cause.is_data() => refused("is not a JSON object".to_owned()),
            None => refused(format!("is not JSON: {cause}")),
        }
    })
}

#[cfg(test)]
mod tests;
