//! What the page is told while it is open: server-sent events, at most four in a second.
//!
//! Nothing is queued for a reader. Each frame is made when the reader has room for it, of what is
//! known then, and says how many requests it leaves out. So a thousand requests a second and one
//! cost a page about the same, and a reader that does not read costs the sandbox two frames.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::api::Rules;
use super::{Sandbox, State as All};

/// The least time between two frames.
const PAUSE: Duration = Duration::from_millis(250);

/// The most readers at once; a browser that has forgotten its tabs needs a few.
const READERS: usize = 32;

/// The most unknown users that a frame lists.
const USERS_SHOWN: usize = 200;

/// `GET /sandbox/live`.
pub fn router() -> Router<Arc<Sandbox>> {
    Router::new().route("/live", get(live))
}

async fn live(State(sandbox): State<Arc<Sandbox>>, headers: HeaderMap) -> Response {
    let Some(place) = Place::claim(&sandbox) else {
        let full = format!("{READERS} readers are here already; close a page\n");
        return (StatusCode::SERVICE_UNAVAILABLE, full).into_response();
    };
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.strip_prefix(sandbox.run.as_str()))
        .and_then(|rest| rest.strip_prefix('.')?.parse().ok());
    let (frames, received) = mpsc::channel(1);
    tokio::spawn(tell(sandbox, seen, frames, place));
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (head, Body::new(Frames(received))).into_response()
}

/// One of the places for readers; free again when dropped.
struct Place(Arc<Sandbox>);

impl Place {
    fn claim(sandbox: &Arc<Sandbox>) -> Option<Self> {
        let count = |reading| (reading < READERS).then_some(reading + 1);
        sandbox
            .readers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
            .ok()
            .map(|_| Self(Arc::clone(sandbox)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes one frame after another until the reader has gone or the sandbox ends.
async fn tell(
    sandbox: Arc<Sandbox>,
    seen: Option<u64>,
    frames: mpsc::Sender<Bytes>,
    _place: Place,
) {
    let mut changes = sandbox.changes.subscribe();
    let mut told = Position { seen, rules: None };
    while let Ok(room) = frames.reserve().await {
        changes.mark_unchanged();
        room.send(sandbox.read(|state| told.frame(&sandbox.run, state)).into());
        tokio::select! {
            () = frames.closed() => return,
            () = async {
                tokio::time::sleep(PAUSE).await;
                // The sender lives as long as `sandbox`, so waiting for it cannot fail.
                let _ = changes.changed().await;
            } => {}
        }
        if sandbox.is_stopping() {
            return;
        }
    }
}

/// What a reader knows already.
struct Position {
    /// So many of the requests that there ever were; none when it has just come.
    seen: Option<u64>,
    /// The rules that it was told, held so that others cannot take their address.
    rules: Option<Arc<Rules>>,
}

impl Position {
    fn frame(&mut self, run: &str, state: &All) -> String {
        let ever = state.recent.ever();
        let requests = state.recent.after(self.seen.unwrap_or_default());
        let skipped = self.seen.map_or(0, |seen| {
            ever.saturating_sub(seen)
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
        self.seen = Some(ever);
        // JSON has no bare line break, so that one line of data holds it.
        format!("id: {run}.{ever}\nretry: 1000\ndata: {frame}\n\n")
    }

    /// The rules without the token, if they are others than those told last.
    fn changed_rules(&mut self, state: &All) -> Option<Value> {
        let rules = &state.rules;
        if self
            .rules
            .as_ref()
            .is_some_and(|told| Arc::ptr_eq(told, rules))
        {
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
