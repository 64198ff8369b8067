//! The page at `/`, which shows the ledger and uses the control API. Its three files need no build
//! step.
//!
//! The page can do nothing that a program cannot: `live` feeds it, and its switches call `control`.
//! What it shows may come from an attacker. Its content security policy therefore allows no script,
//! style or connection but its own, and keeps text from becoming markup.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;

use super::exchange;
use super::state::Sandbox;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The three files. Methods other than GET are answered as for any path that the API does not have.
pub(crate) fn router() -> Router<Arc<Sandbox>> {
    let html = include_str!("page/index.html");
    let css = include_str!("page/page.css");
    let js = include_str!("page/page.js");
    Router::new()
        .route(
            "/",
            get(|| serve_file("text/html", html)).fallback(exchange::not_found),
        )
        .route("/sandbox/page.css", get(|| serve_file("text/css", css)))
        .route(
            "/sandbox/page.js",
            get(|| serve_file("text/javascript", js)),
        )
}

type Headers = [(HeaderName, String); 5];

async fn serve_file(media_type: &str, text: &'static str) -> (Headers, &'static str) {
    let headers = [
        (header::CONTENT_TYPE, format!("{media_type}; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // A sandbox of another version may listen on the same port tomorrow.
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, text)
}
