//! The live stream that feeds the page: server-sent events, at most four per second.
//!
//! Nothing is queued for a reader. The next frame is made from the current state when the reader
//! has taken the one before, and says how many requests it leaves out. So a page costs about the
//! same at a thousand requests per second as at one, and a reader that stops reading costs two
//! frames of memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::api::Rules;
use super::state::{Sandbox, State};

/// The minimum time between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(250);

/// The most readers at a time. A browser with some forgotten tabs needs a few.
const MOST_READERS: usize = 32;

/// How many unknown users a frame lists.
const USERS_SHOWN: usize = 200;

/// `GET /sandbox/live`.
pub(crate) fn router() -> Router<Arc<Sandbox>> {
    Router::new().route("/live", get(live))
}

async fn live(
    extract::State(sandbox): extract::State<Arc<Sandbox>>,
    headers: HeaderMap,
) -> Response {
    let Some(slot) = ReaderSlot::claim(&sandbox) else {
        let full = format!("{MOST_READERS} pages are open already; close one of them\n");
        return (StatusCode::SERVICE_UNAVAILABLE, full).into_response();
    };
    let position = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.strip_prefix(sandbox.run.as_str()))
        .and_then(|rest| rest.strip_prefix('.')?.parse().ok());
    let (frames, received) = mpsc::channel(1);
    tokio::spawn(send_frames(sandbox, position, frames, slot));
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (head, Body::new(Frames(received))).into_response()
}

/// Counts one reader until it is dropped.
struct ReaderSlot(Arc<Sandbox>);

impl ReaderSlot {
    /// Returns `None` if there are as many readers as allowed.
    fn claim(sandbox: &Arc<Sandbox>) -> Option<Self> {
        let count = |readers| (readers < MOST_READERS).then_some(readers + 1);
        sandbox
            .readers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
            .ok()
            .map(|_| Self(Arc::clone(sandbox)))
    }
}

impl Drop for ReaderSlot {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends frames until the reader has gone or the sandbox stops.
async fn send_frames(
    sandbox: Arc<Sandbox>,
    position: Option<u64>,
    frames: mpsc::Sender<Bytes>,
    _slot: ReaderSlot,
) {
    let mut changes = sandbox.changes.subscribe();
    let mut sent = Sent {
        position,
        rules: None,
    };
    while let Ok(permit) = frames.reserve().await {
        changes.mark_unchanged();
        permit.send(
            sandbox
                .read(|state| sent.next_frame(&sandbox.run, state))
                .into(),
        );
        tokio::select! {
            () = frames.closed() => return,
            () = async {
                tokio::time::sleep(FRAME_INTERVAL).await;
                // The sender of the changes lives as long as `sandbox`, so waiting cannot fail.
                let _ = changes.changed().await;
            } => {}
        }
        if sandbox.is_stopping() {
            return;
        }
    }
}

/// What a reader has received so far.
struct Sent {
    /// How many of all requests it has seen or skipped; `None` for a new reader.
    position: Option<u64>,
    /// The rules that it was sent last. They are kept alive so that comparing pointers tells
    /// whether the rules have changed.
    rules: Option<Arc<Rules>>,
}

impl Sent {
    fn next_frame(&mut self, run: &str, state: &State) -> String {
        let total = state.recent.total();
        let requests = state.recent.after(self.position.unwrap_or_default());
        let skipped = self.position.map_or(0, |position| {
            total
                .saturating_sub(position)
                .saturating_sub(requests.len() as u64)
        });
        let frame = json!({
            "run": run,
            "clearings": state.recent.clearings(),
            "ledger": state.ledger.summary(),
            "requests": requests,
            "skipped": skipped,
            "rules": self.changed_rules(state),
            "faults": state.faults.to_json(),
        });
        self.position = Some(total);
        // The frame fits on one line of data: this JSON has no line breaks.
        format!("id: {run}.{total}\nretry: 1000\ndata: {frame}\n\n")
    }

    /// The rules without the token, if they have changed since the last frame.
    fn changed_rules(&mut self, state: &State) -> Option<Value> {
        let rules = &state.rules;
        let unchanged = |last: &Arc<Rules>| Arc::ptr_eq(last, rules);
        if self.rules.as_ref().is_some_and(unchanged) {
            return None;
        }
        self.rules = Some(Arc::clone(rules));
        Some(json!({
            "token_good": rules.token.is_some(),
            "addresses": rules.allowed,
            "users": rules.unknown.latest_as_json(USERS_SHOWN),
        }))
    }
}

/// The stream of frames as a body.
struct Frames(mpsc::Receiver<Bytes>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}
