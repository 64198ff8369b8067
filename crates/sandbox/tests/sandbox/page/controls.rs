//! What a user clicks or types on the page takes effect in the sandbox.

use serde_json::{Value, json};

use super::page_of;
use meditopia_testkit::browser::key;
use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, events_json, numbered_events_json, request_text,
};
use meditopia_testkit::spool::{ClientExt, TestSpool};
use meditopia_testkit::wait::secs;

const KINDS: [&str; 10] = [
    "delay",
    "status",
    "redirect",
    "login_page",
    "success",
    "reset",
    "close",
    "hang_up",
    "truncated",
    "raw",
];

#[test]
fn a_click_on_the_page_makes_a_user_unknown_and_the_next_refusal_is_shown_with_its_reason() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    let client = TestSpool::for_sandbox(&api).into_client();
    client.enqueue_for("ada", 1);
    assert_eq!(client.flush_ok(secs(30)).delivered, 1);
    browser.wait_for_text("#feed", "ada");

    browser.click("#feed .event button");
    browser.wait_for_text("#users", "ada");
    client.enqueue_for("ada", 2);
    assert_eq!(client.flush_ok(secs(30)).rejected, 1);
    browser.wait_for_text(".request.bad", "404 A_1104 User not found. (ada)");

    browser.click("#users button");
    browser.wait_for_text("#users-note", "all known");
    client.enqueue_for("ada", 3);
    assert_eq!(client.flush_ok(secs(30)).delivered, 1);
    browser.wait_for_text("#count-events", "2");
}

#[test]
fn every_fault_has_a_switch_on_the_page_and_shows_how_often_it_struck() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    let help = meditopia_sandbox::CONTROL_HELP;
    let documented = help.matches("{\"fault\":\"").count() - 1; // one is in the example of PUT
    assert_eq!(documented, KINDS.len());

    for kind in KINDS {
        let switch = format!("#fault-{kind}");
        browser.click(&switch);
        browser.wait_for_text("#faults-note", "1 on");
        let order: Value = api.get("faults");
        assert_eq!(order["faults"][0]["fault"], json!(kind), "{order}");
        if kind != "delay" {
            let mut connection = RawConnection::new(&api);
            connection.send(&request_text(&api, &numbered_events_json(1)));
            // The answers are checked elsewhere; some of them are not HTTP.
            browser.wait_for_text("#feed .request", kind);
            browser.wait_for_text(&format!("label:has({switch})"), "struck 1 time");
        }
        browser.click(&switch);
        browser.wait_for_text("#faults-note", "none");
        assert_eq!(api.get::<Value>("faults")["faults"], json!([]));
    }

    browser.click("#fault-max_body_bytes");
    browser.wait_for_text("#faults-note", "1 on");
    assert_eq!(api.get::<Value>("faults")["max_body_bytes"], json!(20_000));
    browser.click("#faults-off");
    browser.wait_for_text("#faults-note", "none");
    assert_eq!(api.get::<Value>("faults")["max_body_bytes"], Value::Null);
}

#[test]
fn the_options_of_a_fault_on_the_page_are_ordered_and_other_faults_keep_their_counts() {
    let api = Sandbox::start();
    api.set_fault(json!({ "fault": "delay", "ms": [0, 1], "count": 9 }));
    RawConnection::new(&api).post(&api, &numbered_events_json(1));
    let browser = page_of(&api);
    browser.wait_for_text("#faults", r#"{"fault":"delay","count":9,"ms":[0,1]}"#);
    browser.click("#fault-status");
    browser.wait_until("!document.querySelector('#status-status').closest('.options').hidden");
    browser.fill("#status-status", "429");
    browser.fill("#status-retry_after", "7");
    browser.fill("#status-percent", "50");
    browser.press(key::TAB);
    browser.wait_until("document.querySelector('#announcement').textContent === 'Status is on'");
    let expected = json!({ "fault": "status", "status": 429, "retry_after": "7", "when": "before", "probability": 0.5 });
    // The last of the three changes may still be on its way.
    for _ in 0..600 {
        if api.get::<Value>("faults")["faults"][1] == expected {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let order: Value = api.get("faults");
    assert_eq!(order["faults"][1], expected);
    assert_eq!(order["struck"], json!([1, 0]));

    browser.fill("#status-status", "99");
    browser.press(key::TAB);
    browser.wait_for_text("#failure", "status 99 is not between 200 and 599");
}

#[test]
fn a_fault_whose_count_is_used_up_is_off_on_the_page_and_can_be_switched_on_again() {
    let api = Sandbox::start();
    // The second one is shown as JSON, because the page has no input for its member.
    api.set_faults(json!({ "faults": [
        { "fault": "status", "status": 503, "count": 1 },
        { "fault": "reset", "containing": "u", "count": 1 },
        { "fault": "delay", "ms": 0, "count": 9 },
    ]}));
    let browser = page_of(&api);
    let is_on = |fault: &str| {
        browser.evaluate(&format!("document.querySelector('#fault-{fault}').checked"))
    };
    browser.wait_for_text("#faults-note", "3 on");
    let mut connection = RawConnection::new(&api);
    connection.send(&request_text(&api, &numbered_events_json(1)));
    connection.read_response();
    browser.wait_for_text("#faults-note", "2 on, 1 used up");
    connection.send(&request_text(&api, &numbered_events_json(1)));
    browser.wait_for_text("#faults-note", "1 on, 2 used up");
    browser.wait_for_text("#faults", "used up: struck 1 of 1 time");
    browser.wait_for_text("#faults", "struck 2 of 9 times");
    assert_eq!(
        ["status", "reset", "delay"].map(is_on),
        [json!(false), json!(false), json!(true)]
    );

    browser.click("#fault-reset");
    browser.wait_for_text("#faults-note", "2 on, 1 used up");
    let ordered: Value = api.get("faults");
    let again = json!({ "fault": "reset", "containing": "u", "count": 1 });
    assert_eq!(ordered["faults"][2], again, "{ordered}");
    assert_eq!(ordered["struck"], json!([1, 2, 0]));

    browser.click("#faults-off");
    browser.wait_for_text("#faults-note", "none");
    assert_eq!(api.get::<Value>("faults")["faults"], json!([]));
}

#[test]
fn the_page_revokes_and_restores_the_token_and_the_address_and_never_shows_the_token() {
    let api = Sandbox::builder().token("a-secret-token").start();
    let browser = page_of(&api);
    let answer = || {
        let answer = RawConnection::new(&api).post(&api, &numbered_events_json(1));
        (
            answer.status,
            answer.status != 204 && answer.body.contains("A_100"),
        )
    };
    for switch in ["#token", "#address"] {
        browser.click(switch);
        browser.wait_for_text(&format!("{switch}-note"), "requests are refused with");
        assert_eq!(answer(), (401, true), "{switch}");
        browser.click(switch);
        browser.wait_until(&format!(
            "!document.querySelector('{switch}-note').innerText.includes('refused')"
        ));
        assert_eq!(answer(), (204, false), "{switch}");
    }
    browser.wait_for_text("#feed", "A_1004");
    let whole = browser.evaluate("document.documentElement.outerHTML");
    assert!(!whole.as_str().unwrap().contains("secret"));
}

#[test]
fn the_page_is_empty_after_its_button_has_cleared_the_ledger() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    RawConnection::new(&api).post(&api, &numbered_events_json(3));
    browser.wait_for_text("#count-events", "3");
    browser.click("#clear");
    browser.wait_for_text("#count-events", "0");
    browser.wait_until("document.querySelectorAll('#feed li').length === 0");
    assert_eq!(api.ledger().requests, 0);
    RawConnection::new(&api).post(&api, &numbered_events_json(2));
    browser.wait_for_text("#feed", "2 events · #2");
}

#[test]
fn the_whole_page_can_be_used_with_the_keyboard_alone() {
    let api = Sandbox::start();
    let browser = page_of(&api);
    browser.tab_to("#user");
    browser.press("ada");
    browser.press(key::ENTER);
    browser.wait_for_text("#users", "ada");
    browser.wait_for_text("#announcement", "ada is unknown now");
    assert_eq!(
        RawConnection::new(&api)
            .post(&api, &events_json(["ada"]))
            .status,
        404
    );

    browser.tab_to("#users button");
    browser.press(key::ENTER);
    browser.wait_for_text("#users-note", "all known");
    // The button is gone, and the focus has moved to the input.
    browser.wait_until("document.activeElement.id === 'user'");

    browser.tab_to("#token");
    browser.press(key::SPACE);
    browser.wait_for_text("#token-note", "revoked");
    browser.press(key::SPACE);
    browser.wait_for_text("#token-note", "good");

    browser.tab_to("#fault-reset");
    browser.press(key::SPACE);
    browser.wait_for_text("#faults-note", "1 on");
    browser.tab_to("#reset-percent");
    browser.tab_to("#faults-off");
    browser.press(key::ENTER);
    browser.wait_for_text("#faults-note", "none");

    browser.tab_to("#pause");
    browser.press(key::SPACE);
    RawConnection::new(&api).post(&api, &events_json(["grace"]));
    browser.wait_for_text("#held", "1 new");
    assert!(!browser.text("#feed").contains("grace"));
    browser.press(key::SPACE);
    browser.wait_for_text("#feed", "grace");
    browser.tab_to("#feed .event button");
    browser.press(key::ENTER);
    browser.wait_for_text("#users", "grace");

    browser.tab_to("#clear");
    browser.press(key::ENTER);
    browser.wait_for_text("#count-requests", "0");
    browser.wait_for_text("#feed-empty", "No request since the ledger was cleared.");

    let unnamed = browser.evaluate(
        "[...document.querySelectorAll('input, select, button')].filter((control) => \
         !(control.ariaLabel || control.innerText?.trim() || control.labels?.[0]?.innerText.trim())).map(({ outerHTML }) => outerHTML)",
    );
    assert_eq!(unnamed, json!([]));
}

#[test]
fn whatever_opens_on_the_page_is_opened_and_closed_with_the_keyboard_alone() {
    let api = Sandbox::start();
    api.set_unknown_users(["u-70"]);
    let browser = page_of(&api);
    RawConnection::new(&api).post(&api, &numbered_events_json(100));
    browser.wait_for_text(".request", "and 97 more");

    browser.tab_to(".request .more");
    for opener in [key::ENTER, key::SPACE] {
        browser.press(opener);
        browser.wait_until("document.activeElement.ariaExpanded === 'true'");
        browser.wait_until("document.querySelectorAll('.event').length === 100");
        // The list scrolls, so that it gets the focus too; Escape closes it from anywhere inside.
        browser.tab_to_backwards(".events.open .event button");
        browser.press(key::ESCAPE);
        browser.wait_until("document.activeElement.matches('.more[aria-expanded=\"false\"]')");
        assert_eq!(
            browser.evaluate("document.querySelectorAll('.event').length"),
            json!(3)
        );
    }

    let panels = browser.evaluate("document.querySelectorAll('details').length");
    assert_eq!(panels, json!(5));
    for panel in 0..5 {
        let details = format!("document.querySelectorAll('details')[{panel}]");
        browser.evaluate(&format!("({details}.id = 'panel-{panel}')"));
        let summary = format!("#panel-{panel} > summary");
        browser.tab_to(&summary);
        let was_open = browser.evaluate(&format!("{details}.open"));
        if was_open == json!(false) {
            browser.press(key::ENTER);
            browser.wait_until(&format!("{details}.open"));
        }
        browser.press(key::ESCAPE);
        browser.wait_until(&format!("!{details}.open"));
        assert_eq!(
            browser.evaluate(&format!(
                "document.activeElement === document.querySelector('{summary}')"
            )),
            json!(true)
        );
        browser.press(key::SPACE);
        browser.wait_until(&format!("{details}.open"));
    }
}
