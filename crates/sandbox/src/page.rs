//! The page at `/`: a face for the ledger and the control API, in three files that need no building.
//!
//! It has no power of its own: what it shows comes from `live`, what it does goes through `control`.
//! Everything that it shows may have been written by a stranger, so the policy allows no script, style
//! or connection but its own, and no text to become markup.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;

use super::{Sandbox, exchange};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The three files; what is asked of `/` in another way is no business of a page.
pub fn router() -> Router<Arc<Sandbox>> {
    let html = include_str!("page/index.html");
    let css = include_str!("page/page.css");
    let js = include_str!("page/page.js");
    Router::new()
        .route(
            "/",
            get(|| file("text/html", html)).fallback(exchange::not_found),
        )
        .route("/sandbox/page.css", get(|| file("text/css", css)))
        .route("/sandbox/page.js", get(|| file("text/javascript", js)))
}

type Headers = [(HeaderName, String); 5];

async fn file(media_type: &str, text: &'static str) -> (Headers, &'static str) {
    let headers = [
        (header::CONTENT_TYPE, format!("{media_type}; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // Another version may listen on the same port tomorrow.
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, text)
}
