//! What a caller is sent: the API's own answers, and the pages that other things on the way send.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::Refusal;
use super::connection::{Fate, Peer};

/// One answer, before it is sent.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An HTTP answer.
    Http {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    },
    /// Something that HTTP does not allow.
    Fate { status: Option<u16>, fate: Fate },
}

impl Answer {
    /// The API took all events.
    pub fn no_content() -> Self {
        Self::Http {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The API's documented error.
    pub fn refusal(refusal: &Refusal) -> Self {
        let status =
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "success": false,
            "errors": [{ "code": refusal.code, "message": refusal.message }],
        });
        Self::http(status, "application/json", body.to_string())
    }

    /// The page that a general web server sends with this status.
    pub fn page(status: StatusCode) -> Self {
        let title = format!(
            "{} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Error")
        );
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
             <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::http(status, "text/html", page)
    }

    /// An answer with a body.
    pub fn http(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self::Http {
            status,
            headers,
            body: body.into(),
        }
    }

    /// The HTTP status that the caller sees; `None` when it sees no whole head.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Http { status, .. } => Some(status.as_u16()),
            Self::Fate { status, .. } => *status,
        }
    }

    /// Makes the HTTP answer, or leaves the connection its fate and makes a stand-in.
    pub fn send_to(self, peer: &Peer) -> Response {
        match self {
            Self::Http {
                status,
                headers,
                body,
            } => (status, headers, Body::from(body)).into_response(),
            Self::Fate { fate, .. } => {
                peer.meets(fate);
                StatusCode::NO_CONTENT.into_response()
            }
        }
    }
}
