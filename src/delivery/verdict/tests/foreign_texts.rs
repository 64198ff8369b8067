//! Answers whose text is nearly the API's, or has something around it.

use super::*;

#[test]
fn a_code_that_is_nearly_a_known_one_pauses_as_misrouted() {
    for code in [
        "a_1002", " A_1000", "A_1004 ", "A-1002", "A1001", "1000", "a 1004",
    ] {
        assert_eq!(
            pause_of(&verdict(401, &errors(&[code]))),
            Some((PauseReason::Misrouted, false)),
            "{code:?}"
        );
    }
}

#[test]
fn the_number_of_a_code_that_blames_the_token_or_the_address_pauses_as_misrouted() {
    for code in [1000, 1001, 1002, 1004] {
        let body = format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"no"}}]}}"#);
        assert_eq!(
            pause_of(&verdict(422, &body)),
            Some((PauseReason::Misrouted, false)),
            "{code}"
        );
    }
}

const REFUSED: &str = r#"{"success":false,"errors":[{"code":"U_404","message":"kein Benutzer"}]}"#;
const WARNING: &str = "<br />\n<b>Warning</b>:  Undefined array key {0} in <b>/srv/api/events.php</b> on line <b>17</b><br />\n";

#[track_caller]
fn refusal_of(status: u16, body: impl Into<Vec<u8>>) -> (String, String) {
    let answer = Answer {
        body: body.into(),
        ..answer(status, "")
    };
    match judge(&Exchange::Answered(answer), NOW) {
        Verdict::Refused(refusal) => (refusal.code, refusal.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_the_api_is_one_behind_a_byte_order_mark_or_warnings_in_latin_1_and_with_a_number() {
    let documented = ("U_404".to_owned(), "kein Benutzer".to_owned());
    for around in [
        format!("\u{feff}{REFUSED}"),
        format!("\r\n\u{feff} {REFUSED}\n\u{feff}"),
        format!("{WARNING}{REFUSED}"),
        format!("{WARNING}\u{feff}{WARNING}{REFUSED}\n"),
        format!("PHP Notice:  {{closure}}() {{main}} [{{}}]\n{REFUSED}"),
        format!("\nDeprecated: strlen(): Passing null\n{REFUSED}"),
    ] {
        assert_eq!(refusal_of(422, around.clone()), documented, "{around}");
    }
    let latin_1 = REFUSED.replace("kein", "kein g\u{e9}n\u{e9}rique");
    let latin_1: Vec<u8> = latin_1.chars().map(|c| c as u8).collect();
    assert_eq!(
        refusal_of(404, latin_1),
        ("U_404".into(), "kein g\u{e9}n\u{e9}rique Benutzer".into())
    );
    let number = REFUSED.replace("\"U_404\"", "1104");
    assert_eq!(
        refusal_of(409, format!("{WARNING}{number}")),
        ("1104".into(), "kein Benutzer".into())
    );
    // Of the token, too.
    let token = format!("{WARNING}{}", errors(&["A_1002"]));
    assert_eq!(
        pause_of(&verdict(401, &token)),
        Some((PauseReason::Auth, false))
    );
}

#[test]
fn a_number_is_a_code_of_the_api_only_if_it_and_the_whole_answer_are_as_the_api_documents_them() {
    let foreign = [
        // A gateway's numbers, also in the shape of the API.
        r#"{"success":false,"errors":[{"code":7003,"message":"no route"}]}"#,
        r#"{"success":false,"errors":[{"code":404,"message":"Not Found"}]}"#,
        r#"{"success":false,"errors":[{"code":2000,"message":"no"}]}"#,
        r#"{"success":false,"errors":[{"code":999,"message":"no"}]}"#,
        r#"{"success":false,"errors":[{"code":1104.5,"message":"no"}]}"#,
        r#"{"success":false,"errors":[{"code":-1104,"message":"no"}]}"#,
        // A number that the API could have, in another shape.
        r#"{"success":false,"errors":[{"code":1104,"message":"no"}],"messages":[],"result":null}"#,
        r#"{"success":false,"errors":[{"code":1104,"message":"no","type":"x"}]}"#,
        r#"{"success":false,"errors":[{"code":1104}]}"#,
        r#"{"success":false,"errors":[{"code":1104,"message":null}]}"#,
        r#"{"success":false,"errors":[{"code":1004,"message":"DNS"}],"result":null}"#,
    ];
    for body in foreign {
        for status in [400, 403, 404, 409, 422] {
            for before in ["", ")]}',\n", WARNING] {
                assert_eq!(
                    pause_of(&verdict(status, &format!("{before}{body}"))),
                    Some((PauseReason::Misrouted, false)),
                    "{status} {before}{body}"
                );
            }
        }
        assert_eq!(
            pause_of(&verdict(401, body)),
            Some((PauseReason::Auth, false)),
            "{body}"
        );
        assert_eq!(verdict(429, body), Verdict::Retry { after: None }, "{body}");
    }
}

#[test]
fn a_login_page_is_misrouted_whatever_error_of_the_api_stands_in_it() {
    for page in [
        format!("<html><script>last = {REFUSED}"),
        format!("<!DOCTYPE html>{REFUSED}"),
        format!("<title>Sign in</title>{REFUSED}"),
        format!("<FORM action=/login>\n{REFUSED}"),
        format!("<html><body>{WARNING}{REFUSED}</body></html>"),
        format!("{REFUSED}<p>Sign in</p>"),
    ] {
        assert_eq!(
            pause_of(&verdict(422, &page)),
            Some((PauseReason::Misrouted, false)),
            "{page}"
        );
    }
}

#[test]
fn events_count_as_delivered_only_if_the_answer_says_nothing_but_success() {
    assert_eq!(
        verdict(200, "\u{feff}{\"success\":true}"),
        Verdict::Delivered
    );
    assert_eq!(
        pause_of(&verdict(200, &format!("{WARNING}{{\"success\":true}}"))),
        Some((PauseReason::Misrouted, true))
    );
}
