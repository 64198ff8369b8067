//! The layout of the page: no text is cut off, and all of it is readable in both colour schemes.
//!
//! `SCREENSHOTS=DIR` writes a picture of each state, for people to look at. `UPDATE_README=1`
//! writes the picture in docs/testing.md.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{LIVE, page_of};
use meditopia_testkit::browser::Browser;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{RawConnection, events_json, request_text};
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

const PICTURE: &str = "crates/sandbox/tests/sandbox/page/page.png";

fn picture(browser: &Browser, name: &str) {
    if let Some(dir) = std::env::var_os("SCREENSHOTS") {
        fs::write(
            Path::new(&dir).join(format!("{name}.png")),
            browser.screenshot(),
        )
        .unwrap();
    }
}

/// Checks in every size and colour scheme that nothing is wider than the window, that no text is cut
/// off or leaves its card, and that all text has enough contrast.
fn assert_readable(browser: &Browser, state: &str) {
    for (size, width, height) in [
        ("phone", 400, 850),
        ("desktop", 1280, 900),
        ("wide", 1920, 1080),
    ] {
        browser.resize(width, height);
        browser.reload();
        browser.wait_until(LIVE);
        browser
            .evaluate("document.querySelectorAll('.panel').forEach((panel) => panel.open = true)");
        for scheme in ["light", "dark"] {
            browser.prefer_color_scheme(scheme);
            browser.wait_until(&format!(
                "matchMedia('(prefers-color-scheme: {scheme})').matches"
            ));
            let over = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
            assert!(
                over.as_i64().unwrap() <= 0,
                "{state} {size}: {over} pixels too wide"
            );
            assert_eq!(
                browser.evaluate(LOW_CONTRAST),
                json!([]),
                "{state} {size} {scheme}"
            );
            assert_eq!(
                browser.evaluate(CUT_OFF),
                json!([]),
                "{state} {size} {scheme}"
            );
            picture(browser, &format!("{state}-{size}-{scheme}"));
        }
    }
}

/// The texts that leave their card, that are cut off at its edge, or that do not fit into a select.
const CUT_OFF: &str = r"(() => {
  const faults = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement: parent } = texts.currentNode;
    const card = parent.closest('.panel, .request, .counters > div, .start, .notice, .as-ordered li, .code');
    if (!data.trim() || !card || !parent.checkVisibility() || parent.closest('.hidden, select')) continue;
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    const edge = card.getBoundingClientRect();
    const leaves = [...range.getClientRects()].some(({ left, right }) => left < edge.left || right > edge.right);
    const isCut = getComputedStyle(parent).overflowX !== 'visible' && parent.scrollWidth > parent.clientWidth;
    if (leaves || isCut) faults.push(data);
  }
  const pen = document.createElement('canvas').getContext('2d');
  for (const select of document.querySelectorAll('select')) {
    const arrowAndPadding = 36;
    pen.font = getComputedStyle(select).font;
    const widths = [...select.options].map(({ text }) => pen.measureText(text).width);
    if (select.checkVisibility() && Math.max(...widths) + arrowAndPadding > select.clientWidth) faults.push(select.id);
  }
  return faults;
})()";

/// The elements whose text has a contrast below 4.5 to 1, as WCAG computes it.
const LOW_CONTRAST: &str = r"(() => {
  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (parts(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const words = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const shown = (element) => element.checkVisibility() && !element.closest('.hidden, .skip');
  return [...document.querySelectorAll('body *')].filter(words).filter(shown).filter((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map((element) => element.outerHTML);
})()";

#[test]
fn no_text_of_the_page_is_cut_off_or_pale_on_a_desktop_or_a_phone_in_light_or_dark() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    assert_readable(&browser, "empty");

    fill_page(&api);
    browser.wait_for_text("#note-faulted", "status");
    browser.wait_for_text("#users-note", "2 unknown");
    assert_readable(&browser, "busy");

    api.set_faults(json!({ "max_body_bytes": 20_000, "faults": [
        { "fault": "status", "status": 503, "retry_after": 5, "probability": 0.5 },
        { "fault": "reset", "when": "after" },
        { "fault": "delay", "ms": [50, 300], "containing": "u-17" },
        { "fault": "truncated", "count": 2, "containing": "customer-0123456789-0123456789-0123456789",
          "after_requests": 1_000_000_000, "over_bytes": 1_000_000_000 },
        { "fault": "login_page", "count": 0 },
    ]}));
    api.revoke_token();
    api.refuse_address();
    // Chance decides whether the answer is a reset or a 503.
    RawConnection::new(&api).send(&request_text(&api, "{}"));
    let long = "a-user-whose-name-has-no-end-and-no-space-".repeat(3);
    let hebrew = "\u{5e2}\u{5d1}\u{5e8}\u{5d9}\u{5ea}-42";
    let mut connection = RawConnection::new(&api);
    connection.send(&request_text(
        &api,
        &events_json([long.as_str(), hebrew, "\u{1f600}"]),
    ));
    api.set_unknown(json!([long, hebrew, { "prefix": "bad-", "status": 422, "code": "A_1200" }]));
    browser.wait_for_text("#access-note", "both refused");
    browser.wait_for_text("#faults-note", "5 on, 1 used up");
    assert_readable(&browser, "faulted");
}

/// Makes the page show what a developer might see after some minutes: several outcomes, and events
/// of all kinds.
fn fill_page(api: &Sandbox) {
    let client = TestSpool::for_sandbox(api).into_client();
    let enqueue = |user: &str, event: &str, value: Option<&str>| {
        client
            .enqueue(&meditopia::Fields {
                token: "token",
                partner_user_id: user,
                event,
                event_value: value,
                received_at: Some("2026-03-02 09:14:05"),
            })
            .unwrap();
    };
    client.enqueue_users(0..100);
    client.flush_ok(secs(30));
    api.set_unknown_users(["u-17", "u-18"]);
    enqueue("ada", "register", None);
    enqueue("grace", "audio", Some("sleep-story-12"));
    enqueue("u-17", "video", Some("morning-42"));
    enqueue("linus", "content", Some("breathing"));
    client.flush_ok(secs(30));
    api.set_fault(json!({ "fault": "status", "status": 503, "count": 1 }));
    RawConnection::new(api).post(api, &events_json(["margaret", "joan"]));
    api.clear_faults();
    enqueue("joan", "signin", None);
    client.flush_ok(secs(30));
}

#[test]
fn the_page_on_testing_contains_a_picture_of_the_page() {
    let path = meditopia_testkit::repository_root().join(PICTURE);
    if std::env::var_os("UPDATE_README").is_some() {
        let api = Sandbox::start();
        let browser = page_of(&api);
        fill_page(&api);
        browser.wait_for_text("#note-faulted", "status");
        browser.wait_for_text("#users", "u-18");
        browser.resize(1024, 660);
        browser.prefer_color_scheme("light");
        fs::write(&path, browser.screenshot()).unwrap();
    }
    let picture = fs::read(path).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert!(picture.len() < 150_000, "{} bytes", picture.len());
    let page = include_str!("../../../../../docs/testing.md");
    assert!(page.contains(&format!("](../{PICTURE})")));
}
