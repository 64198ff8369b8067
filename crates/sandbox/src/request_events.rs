//! `GET /sandbox/requests/N`: all events of one request, as the page shows them when they are opened.
//!
//! The stream that feeds the page has the first few events of each request, with their texts cut
//! short. This route has the rest, without the tokens. Events that were accepted come from the
//! ledger; those of other requests from the bodies that are kept for a while.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use serde_json::value::RawValue;

use super::api::EventTexts;
use super::excerpt::EventExcerpt;
use super::state::Sandbox;

/// The most events of one answer. A request with more than 100 is refused; the page need not show
/// a million of them.
const MOST_EVENTS: usize = 1_000;

/// How many characters of a text are shown; an ellipsis replaces the rest.
const CHARACTERS_SHOWN: usize = 4_000;

pub(crate) fn router() -> Router<Arc<Sandbox>> {
    Router::new().route("/requests/{number}", get(get_events))
}

async fn get_events(State(sandbox): State<Arc<Sandbox>>, Path(number): Path<u64>) -> Response {
    let accepted = sandbox.read(|state| {
        let texts = state.ledger.accepted_texts(number)?;
        Some((
            texts.len(),
            texts
                .take(MOST_EVENTS)
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        ))
    });
    if let Some((count, texts)) = accepted {
        let parsed = texts.iter().map(|text| serde_json::from_str(text));
        let events: Vec<&RawValue> = parsed.filter_map(Result::ok).collect();
        return answer(&events, count);
    }
    match sandbox.read(|state| state.recent.body(number)) {
        Some(body) => {
            let events = EventTexts::parse(&body);
            answer(events.as_slice(), events.as_slice().len())
        }
        None => {
            let gone = format!(
                "the events of request {number} are no longer kept: the ledger has those that were \
                 accepted, and the sandbox keeps those of the latest other requests\n"
            );
            (StatusCode::NOT_FOUND, gone).into_response()
        }
    }
}

fn answer(events: &[&RawValue], count: usize) -> Response {
    let shown = events.iter().take(MOST_EVENTS).enumerate();
    let events: Vec<EventExcerpt> = shown
        .map(|(index, text)| EventExcerpt::new(index, text, CHARACTERS_SHOWN))
        .collect();
    Json(json!({ "count": count, "events": events })).into_response()
}
