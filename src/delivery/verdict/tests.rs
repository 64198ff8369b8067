//! Each row of the table of verdicts, and bodies that are not documented.

use super::*;

mod foreign_texts;

const NOW: Moment = Moment {
    boot_ns: 5_000_000_000,
    wall_ms: 1_722_956_645_000, // 2024-08-06 15:04:05 UTC
};

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
        whole: true,
    }
}

fn verdict(status: u16, body: &str) -> Verdict {
    judge(&Exchange::Answered(answer(status, body)), NOW)
}

fn errors(codes: &[&str]) -> String {
    let errors: Vec<_> = codes
        .iter()
        .map(|code| serde_json::json!({"code": code, "message": format!("about {code}")}))
        .collect();
    serde_json::json!({"success": false, "errors": errors}).to_string()
}

fn pause_of(verdict: &Verdict) -> Option<(PauseReason, bool)> {
    match verdict {
        Verdict::Pause {
            reason, in_doubt, ..
        } => Some((*reason, *in_doubt)),
        _ => None,
    }
}

fn with_retry_after(status: u16, header: &str) -> Verdict {
    let mut answer = answer(status, "");
    answer.retry_after = Some(header.to_owned());
    judge(&Exchange::Answered(answer), NOW)
}

const HTML: &str = "<html><body>Welcome to the hotel network</body></html>";

#[test]
fn a_204_and_any_2xx_whose_body_says_success_mean_delivered() {
    assert_eq!(verdict(204, ""), Verdict::Delivered);
    assert_eq!(verdict(200, r#"{"success": true}"#), Verdict::Delivered);
    assert_eq!(
        verdict(202, r#"{"success": true, "id": 7}"#),
        Verdict::Delivered
    );
}

#[test]
fn a_2xx_that_does_not_say_success_pauses_with_its_events_in_doubt() {
    for body in [
        "",
        HTML,
        "{}",
        "[]",
        r#"{"success": "true"}"#,
        r#"{"success": 1}"#,
        &errors(&["U_404"]),
    ] {
        assert_eq!(
            pause_of(&verdict(200, body)),
            Some((PauseReason::Misrouted, true)),
            "{body}"
        );
    }
}

#[test]
fn a_code_that_blames_the_bearer_token_pauses_as_auth_with_any_status() {
    for code in ["A_1000", "A_1001", "A_1002"] {
        for status in [400, 401, 403, 404, 413, 422, 429] {
            assert_eq!(
                pause_of(&verdict(status, &errors(&[code]))),
                Some((PauseReason::Auth, false)),
                "{code} {status}"
            );
        }
        for status in [200, 408, 500, 503] {
            assert_eq!(
                pause_of(&verdict(status, &errors(&[code]))),
                Some((PauseReason::Auth, true)),
                "{code} {status}"
            );
        }
    }
}

#[test]
fn a_refused_address_pauses_as_ip_with_the_code_and_message_of_the_api() {
    assert_eq!(
        verdict(401, &errors(&["A_1004"])),
        Verdict::Pause {
            reason: PauseReason::Ip,
            status: 401,
            code: Some("A_1004".into()),
            message: "about A_1004".into(),
            in_doubt: false,
        }
    );
}

#[test]
fn a_401_without_an_api_error_body_pauses_as_auth() {
    for body in ["", HTML, "{}", r#"{"message": "Unauthorized"}"#] {
        assert_eq!(
            pause_of(&verdict(401, body)),
            Some((PauseReason::Auth, false)),
            "{body}"
        );
    }
}

#[test]
fn a_code_that_blames_events_is_a_refusal_with_each_documented_status() {
    for status in [400, 401, 403, 404, 409, 422] {
        let refusal = Refusal {
            code: "U_404".into(),
            message: "about U_404".into(),
            status,
        };
        assert_eq!(
            verdict(status, &errors(&["U_404"])),
            Verdict::Refused(refusal)
        );
    }
}

#[test]
fn a_code_that_blames_events_with_an_undocumented_status_pauses_as_misrouted() {
    for status in [301, 402, 405, 410, 418, 451] {
        assert_eq!(
            pause_of(&verdict(status, &errors(&["U_404"]))),
            Some((PauseReason::Misrouted, false)),
            "{status}"
        );
    }
}

#[test]
fn an_answer_that_is_not_from_the_api_never_costs_an_event() {
    for status in [
        100, 301, 302, 307, 400, 403, 404, 405, 409, 410, 422, 600, 999,
    ] {
        for body in ["", HTML, "{}", "null", r#"{"success": false}"#] {
            assert_eq!(
                pause_of(&verdict(status, body)),
                Some((PauseReason::Misrouted, false)),
                "{status} {body}"
            );
        }
    }
}

#[test]
fn an_error_body_that_differs_from_the_documented_shape_refuses_no_event() {
    let odd = [
        r#"{"success": false, "errors": []}"#,
        r#"{"success": false, "errors": {}}"#,
        r#"{"success": false, "errors": ["U_404"]}"#,
        r#"{"success": false, "errors": [{"message": "no code"}]}"#,
        r#"{"success": false, "errors": [{"code": true, "message": "no text and no number"}]}"#,
        r#"{"success": "false", "errors": [{"code": "U_404", "message": "a string"}]}"#,
        r#"{"errors": [{"code": "U_404", "message": "a gateway"}]}"#,
        r#"[{"success": false, "errors": [{"code": "U_404"}]}]"#,
        r#"{"success": false, "errors": [{"code": "U_404", "message": "cut"#,
        r#"{"success": false, "errors": [{"code": "U_404"}]} trailing"#,
        "\u{feff}{}",
        r#"see {"note": {"success": false, "errors": [{"code": "U_404"}]}}"#,
    ];
    for body in odd {
        assert_eq!(
            pause_of(&verdict(422, body)),
            Some((PauseReason::Misrouted, false)),
            "{body}"
        );
    }
}

#[test]
fn a_body_that_is_not_utf_8_or_is_deeply_nested_pauses_like_any_unknown_one() {
    let mut answer = answer(422, "");
    answer.body = vec![0xff, 0xfe, b'{'];
    assert!(pause_of(&judge(&Exchange::Answered(answer), NOW)).is_some());
    assert!(pause_of(&verdict(422, &"[".repeat(60_000))).is_some());
}

#[test]
fn a_code_that_blames_the_token_or_the_address_takes_precedence_over_all_others() {
    assert_eq!(
        pause_of(&verdict(422, &errors(&["U_404", "A_1002"]))),
        Some((PauseReason::Auth, false))
    );
    assert_eq!(
        pause_of(&verdict(422, &errors(&["U_404", "V_1", "A_1004"]))),
        Some((PauseReason::Ip, false))
    );
    assert_eq!(
        pause_of(&verdict(422, &errors(&["a_1000", "A_1004"]))),
        Some((PauseReason::Ip, false))
    );
    assert!(
        matches!(verdict(422, &errors(&["U_404", "V_1"])), Verdict::Refused(refusal) if refusal.code == "U_404")
    );
}

#[test]
fn a_413_carries_a_refusal_only_if_the_api_itself_sent_it() {
    assert_eq!(verdict(413, HTML), Verdict::TooLarge { refusal: None });
    let refusal = Refusal {
        code: "L_1".into(),
        message: "about L_1".into(),
        status: 413,
    };
    assert_eq!(
        verdict(413, &errors(&["L_1"])),
        Verdict::TooLarge {
            refusal: Some(refusal)
        }
    );
}

#[test]
fn a_batch_answered_as_busy_is_retried_and_not_in_doubt() {
    for status in [425, 429] {
        assert_eq!(verdict(status, HTML), Verdict::Retry { after: None });
    }
    assert_eq!(
        verdict(429, &errors(&["R_1"])),
        Verdict::Retry { after: None }
    );
}

#[test]
fn a_server_error_or_a_lost_answer_leaves_the_batch_in_doubt() {
    for status in [500, 502, 503, 504, 599] {
        let expected = Verdict::InDoubt {
            after: None,
            server_error: Some(status),
        };
        assert_eq!(verdict(status, HTML), expected);
        assert_eq!(verdict(status, &errors(&["S_1"])), expected);
        assert_eq!(verdict(status, r#"{"success": true}"#), expected);
    }
    let lost = Verdict::InDoubt {
        after: None,
        server_error: None,
    };
    assert_eq!(verdict(408, ""), lost);
    assert_eq!(
        judge(
            &Exchange::Unsettled {
                why: "timeout".into()
            },
            NOW
        ),
        lost
    );
    assert_eq!(
        judge(
            &Exchange::NotSent {
                why: "refused".into()
            },
            NOW
        ),
        Verdict::Retry { after: None }
    );
}

#[test]
fn an_answer_that_was_cut_off_leaves_the_batch_in_doubt_unless_its_status_is_enough() {
    let cut = |status| {
        let mut answer = answer(status, r#"{"success": false, "err"#);
        answer.whole = false;
        judge(&Exchange::Answered(answer), NOW)
    };
    let lost = Verdict::InDoubt {
        after: None,
        server_error: None,
    };
    for status in [200, 400, 401, 404, 413, 422] {
        assert_eq!(cut(status), lost, "{status}");
    }
    assert_eq!(cut(204), Verdict::Delivered);
    assert_eq!(cut(429), Verdict::Retry { after: None });
    assert_eq!(
        cut(503),
        Verdict::InDoubt {
            after: None,
            server_error: Some(503)
        }
    );
    assert_eq!(pause_of(&cut(302)), Some((PauseReason::Misrouted, false)));
}

#[test]
fn a_body_over_the_limit_is_not_from_the_api_and_leaves_nothing_in_doubt() {
    let mut answer = answer(403, &"x".repeat(BODY_LIMIT_BYTES));
    answer.whole = false;
    assert_eq!(
        pause_of(&judge(&Exchange::Answered(answer), NOW)),
        Some((PauseReason::Misrouted, false))
    );
}

#[test]
fn a_retry_after_is_read_as_seconds_or_a_date_and_capped_at_an_hour() {
    let secs = Duration::from_secs;
    let cases = [
        ("0", Some(secs(0))),
        ("120", Some(secs(120))),
        (" 7 ", Some(secs(7))),
        ("86400", Some(secs(3600))),
        ("99999999999999999999999999", Some(secs(3600))),
        ("Tue, 06 Aug 2024 15:04:35 GMT", Some(secs(30))),
        ("Tue, 06 Aug 2024 15:00:00 GMT", Some(secs(0))),
        ("Wed, 06 Aug 2036 15:04:35 GMT", Some(secs(3600))),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ];
    for (header, after) in cases {
        assert_eq!(
            with_retry_after(429, header),
            Verdict::Retry { after },
            "{header:?}"
        );
        assert_eq!(
            with_retry_after(503, header),
            Verdict::InDoubt {
                after,
                server_error: Some(503)
            },
            "{header:?}"
        );
    }
}

#[test]
fn codes_and_messages_of_the_api_are_shortened_and_show_what_cannot_be_seen() {
    let body = serde_json::json!({
        "success": false,
        "errors": [{"code": "U\n\u{1b}[31m404", "message": format!("a\u{202e}b\u{2028}\r{}", "ğ".repeat(1_000))}],
    });
    let Verdict::Refused(refusal) = verdict(422, &body.to_string()) else {
        panic!("not refused");
    };
    assert_eq!(refusal.code, r"U\n\u{1b}[31m404");
    assert_eq!(refusal.message.chars().count(), MESSAGE_CHARS);
    assert!(refusal.message.starts_with(r"a\u{202e}b\u{2028}\rğ"));
}

#[test]
fn a_refusal_without_a_message_is_still_a_refusal() {
    for message in ["null", "17", r#""""#] {
        let body =
            format!(r#"{{"success":false,"errors":[{{"code":"U_404","message":{message}}}]}}"#);
        assert!(
            matches!(verdict(404, &body), Verdict::Refused(refusal) if refusal.message.is_empty())
        );
    }
}
