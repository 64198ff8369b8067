//! The control API changes the token, the users and the faults of a running sandbox.

use std::process::Command;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::sandbox::raw_http::{
    RawConnection, events_json, numbered_events_json, request_text,
};
use serde_json::{Value, json};

#[test]
fn a_bearer_token_can_be_revoked_and_replaced_while_the_sandbox_runs() {
    let mut sandbox = Sandbox::start();
    let mut connection = RawConnection::new(&sandbox);
    let old = request_text(&sandbox, &numbered_events_json(1));
    sandbox.revoke_token();
    connection.send(&old);
    assert_eq!(connection.read_response().refusal(), (401, "A_1002".into()));

    sandbox.set_token("new");
    connection.send(&old);
    assert_eq!(connection.read_response().refusal(), (401, "A_1002".into()));
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        204
    );
    assert!(
        sandbox.try_put("token", &json!({})).is_err(),
        "an empty document must not revoke the token"
    );
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        204
    );
}

#[test]
fn a_revoked_token_can_be_restored_without_knowing_it() {
    let mut sandbox = Sandbox::start();
    sandbox.set_token("second");
    let mut connection = RawConnection::new(&sandbox);
    sandbox.put("token", &json!({ "revoked": true }));
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).code(),
        "A_1002"
    );
    assert_eq!(sandbox.get::<Value>("token"), json!({ "token": null }));
    sandbox.put("token", &json!({ "revoked": false }));
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        204
    );
    for both in [
        json!({ "token": "a", "revoked": true }),
        json!({ "revoked": null }),
    ] {
        assert!(sandbox.try_put("token", &both).is_err(), "{both}");
    }
}

#[test]
fn the_environment_route_gives_a_shell_the_endpoint_and_the_token() {
    let sandbox = Sandbox::builder().token("it's $HOME").start();
    let script = r#"eval "$(curl -s "$0/environment")"; printf '%s %s' "$MEDITOPIA_ENDPOINT" "$MEDITOPIA_BEARER_TOKEN""#;
    let ran = Command::new("sh")
        .args(["-c", script, sandbox.control()])
        .output()
        .unwrap();
    let expected = format!("{} it's $HOME", sandbox.endpoint());
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
}

#[test]
fn a_patch_makes_single_users_unknown_or_known_to_the_sandbox() {
    let sandbox = Sandbox::start();
    sandbox.set_unknown(json!(["a", { "prefix": "bad-" }]));
    let change = |document: Value| sandbox.try_patch("users", &document);
    change(json!({ "unknown": [{ "user": "a", "status": 422 }, "b"], "known": ["nobody"] }))
        .unwrap();
    let mut connection = RawConnection::new(&sandbox);
    let mut status_of = |user: &str| connection.post(&sandbox, &events_json([user])).status;
    assert_eq!(
        ["a", "b", "bad-1", "c"].map(&mut status_of),
        [422, 404, 404, 204]
    );

    change(json!({ "known": ["a", "b"] })).unwrap();
    assert_eq!(["a", "b", "bad-1"].map(&mut status_of), [204, 204, 404]);
    let refused = change(json!({ "known": ["bad-1"] })).unwrap_err();
    assert!(
        refused.contains(r#""bad-1" is unknown because of the prefix "bad-""#),
        "{refused}"
    );
    change(json!({ "known": [{ "prefix": "bad-" }] })).unwrap();
    assert_eq!(status_of("bad-1"), 204);
    assert_eq!(sandbox.get::<Value>("users"), json!({ "unknown": [] }));
    for bad in [
        json!({ "unknwon": ["a"] }),
        json!({ "known": [{ "user": "a", "prefix": "b" }] }),
    ] {
        assert!(change(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn faults_are_added_and_removed_by_kind_and_the_others_keep_their_counts() {
    let sandbox = Sandbox::start();
    sandbox.set_faults(json!({ "max_body_bytes": 9, "faults": [
        { "fault": "status", "status": 503, "count": 2 }, { "fault": "delay", "ms": 1 }] }));
    let mut connection = RawConnection::new(&sandbox);
    assert_eq!(
        connection.post(&sandbox, &numbered_events_json(1)).status,
        503
    );

    let change = |document: Value| sandbox.try_patch("faults", &document);
    change(json!({ "remove": ["delay", "reset"], "add": [{ "fault": "redirect", "to": "/" }] }))
        .unwrap();
    let order: Value = sandbox.get("faults");
    let names: Vec<&Value> = order["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["fault"])
        .collect();
    assert_eq!(names, ["status", "redirect"]);
    assert_eq!(
        (&order["struck"], &order["max_body_bytes"]),
        (&json!([1, 0]), &json!(9))
    );
    let mut status = || connection.post(&sandbox, &numbered_events_json(1)).status;
    assert_eq!([status(), status()], [503, 302]);
    change(json!({ "remove": ["redirect"] })).unwrap();
    assert_eq!(status(), 413);
    change(json!({ "max_body_bytes": null })).unwrap();
    assert_eq!(status(), 204);

    let unknown = change(json!({ "remove": ["rest"] })).unwrap_err();
    assert!(
        unknown.contains("no fault \"rest\"; the faults are delay, status,"),
        "{unknown}"
    );
    let bad = change(json!({ "add": [{ "fault": "status", "status": 99 }], "remove": ["status"] }));
    assert!(bad.unwrap_err().contains("add 0: status 99"));
    assert_eq!(
        sandbox.get::<Value>("faults")["struck"],
        json!([2]),
        "nothing was changed"
    );
}

#[test]
fn control_documents_that_are_not_understood_are_answered_400_and_change_nothing() {
    let sandbox = Sandbox::start();
    let order = json!({ "faults": [{ "fault": "status", "status": 503 }] });
    sandbox.set_faults(order.clone());
    for (what, document, part) in [
        (
            "faults",
            json!({ "faults": [{ "fault": "status", "statsu": 503 }] }),
            "unknown field `statsu`",
        ),
        ("faults", json!({ "fault": [] }), "unknown field `fault`"),
        (
            "users",
            json!({ "unknown": [{ "name": "u" }] }),
            "unknown field `name`",
        ),
        ("token", json!({ "tokens": "x" }), "unknown field `tokens`"),
        (
            "addresses",
            json!({ "allowed": ["localhost"] }),
            "addresses: invalid IP address",
        ),
    ] {
        let message = sandbox
            .try_put(what, &document)
            .expect_err("a document with a mistake");
        assert!(
            message.starts_with("400") && message.contains(part),
            "{what}: {message}"
        );
    }
    assert_eq!(sandbox.get::<Value>("faults")["faults"], order["faults"]);
    assert_eq!(
        sandbox.get::<Value>("token"),
        json!({ "token": "sandbox-token" })
    );
    assert_eq!(
        sandbox.get::<Value>("addresses"),
        json!({ "allowed": ["127.0.0.1"] })
    );
    assert_eq!(sandbox.get::<Value>("users"), json!({ "unknown": [] }));
}
