//! Answers before they are sent: the API's own, those of proxies and other servers, and those that
//! are not HTTP.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::Refusal;
use super::connection::{Peer, Substitute};

/// One answer, before it is sent.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// An answer that HTTP allows.
    Http {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    },
    /// What the connection does instead of an HTTP answer. `status` is the one in the head, if a
    /// complete head is sent.
    NotHttp {
        status: Option<u16>,
        substitute: Substitute,
    },
}

impl Answer {
    /// The API's answer to a request whose events it accepted.
    pub(crate) fn no_content() -> Self {
        Self::Http {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The API's answer to a request that it refused.
    pub(crate) fn refusal(refusal: &Refusal) -> Self {
        let status =
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "success": false,
            "errors": [{ "code": refusal.code, "message": refusal.message }],
        });
        Self::with_body(status, "application/json", body.to_string())
    }

    /// The error page that a typical web server sends with this status.
    pub(crate) fn html_page(status: StatusCode) -> Self {
        let title = format!(
            "{} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Error")
        );
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
             <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::with_body(status, "text/html", page)
    }

    pub(crate) fn with_body(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self::Http {
            status,
            headers,
            body: body.into(),
        }
    }

    /// The HTTP status that the caller receives; `None` if it receives no complete head.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Http { status, .. } => Some(status.as_u16()),
            Self::NotHttp { status, .. } => *status,
        }
    }

    /// Returns the response for the HTTP server to write. Where the answer is not HTTP, the
    /// connection replaces that response.
    pub(crate) fn into_response_for(self, peer: &Peer) -> Response {
        match self {
            Self::Http {
                status,
                headers,
                body,
            } => (status, headers, Body::from(body)).into_response(),
            Self::NotHttp { substitute, .. } => {
                peer.replace_next_answer(substitute);
                StatusCode::NO_CONTENT.into_response()
            }
        }
    }
}
