//! Which ways to write a secret are found, and what is left of a text.

use super::*;

const TOKEN: &str = "/sk-live_9f.Q2+x~Zz/0042";

fn knowing(token: &str) -> Secrets {
    let secrets = Secrets::new();
    secrets.remember(token);
    secrets
}

fn cut(secrets: &Secrets, text: &str) -> String {
    secrets.cut_text(text.to_owned())
}

fn base64(text: &str, digits: &[u8; 64]) -> String {
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=three.len() {
            let digit = bits >> (18 - 6 * place) & 63;
            out.push(char::from(digits[digit as usize]));
        }
    }
    out
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

#[test]
fn a_secret_is_cut_out_however_it_is_escaped_or_encoded() {
    let percent = each(TOKEN, |byte| format!("%{byte:02x}"));
    let json = serde_json::to_string(TOKEN).unwrap().replace('/', r"\/");
    let json_in_json = serde_json::to_string(&json).unwrap();
    for written in [
        TOKEN.to_owned(),
        TOKEN.to_uppercase(),
        TOKEN.replace('/', r"\/"),
        TOKEN.replace('/', r"\\\/"),
        json_in_json,
        each(TOKEN, |byte| format!("\\u{byte:04x}")),
        each(TOKEN, |byte| format!("\\u{byte:04X}")),
        each(TOKEN, |byte| format!("\\x{byte:02x}")),
        each(TOKEN, |byte| format!("&#{byte};")),
        each(TOKEN, |byte| format!("&#x{byte:02X};")),
        percent.clone(),
        percent.to_uppercase(),
        percent.replace('%', "%25"),
        each(TOKEN, |byte| format!("{byte:02x}")),
        each(TOKEN, |byte| format!("{byte:02X}")),
        TOKEN.replace('_', "_\r\n "),
        TOKEN.replace('_', "_\\n"),
        TOKEN.replace('_', "_\\u200b"),
        TOKEN.replace('_', "_\u{1}"),
    ] {
        let left = cut(&knowing(TOKEN), &format!("<{written}>"));
        let left = left.replace(['"', '\\'], "");
        assert_eq!(left, "<***>", "{written}");
    }
}

#[test]
fn a_secret_is_cut_out_of_base64_wherever_it_stands_in_it() {
    for before in ["", "x", "xy", "Bearer ", "user:"] {
        for after in ["", "!", "!!"] {
            for digits in [STANDARD, FOR_URLS] {
                let whole = base64(&format!("{before}{TOKEN}{after}"), digits);
                let wrapped = format!("{}\n{}", &whole[..20], &whole[20..]);
                for written in [whole.clone(), wrapped] {
                    let left = cut(&knowing(TOKEN), &format!("got {written}."));
                    assert!(left.starts_with("got "), "{left}");
                    assert!(left.ends_with('.') && left.contains("***"), "{left}");
                    // What is left says less than one character at each end.
                    assert!(left.len() <= before.len() * 2 + 14, "{written}: {left}");
                }
            }
        }
    }
}

#[test]
fn a_secret_that_the_server_has_shortened_is_cut_as_far_as_it_goes() {
    let secrets = knowing("eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl");
    assert_eq!(
        cut(&secrets, "bad token: eyJhbGciOiJIUzI1NiJ9.c2Vj..."),
        "bad token: ***"
    );
}

#[test]
fn json_stays_json_when_a_secret_is_cut_out_of_it() {
    for token in ["/starts", "ends\\", "nine9\"quotes\"", "n1234567", "%41bcd"] {
        let body = serde_json::json!({"success": false, "errors": [{"code": token, "message": format!("no {token} here")}]});
        for body in [body.to_string(), body.to_string().replace('/', r"\/")] {
            let left = cut(&knowing(token), &body);
            let read: serde_json::Value = serde_json::from_str(&left).expect(&left);
            assert_eq!(read["errors"][0]["code"], "***", "{left}");
            assert_eq!(read["errors"][0]["message"], "no *** here", "{left}");
        }
    }
}

#[test]
fn an_answer_is_understood_whatever_word_of_it_the_password_is() {
    let body = r#"{"success":false,"errors":[{"code":"A_1002","message":"true"}]}"#;
    for password in [
        "success", "errors", "a_1002", "message", "code", "e", "\"", "fals",
    ] {
        let secrets = Secrets::new();
        secrets.remember(password);
        assert_eq!(cut(&secrets, body), body, "{password}");
    }
}

#[test]
fn the_password_and_earlier_tokens_are_cut_as_well_as_the_current_one() {
    let secrets = knowing("first-token");
    secrets.remember("pa55word");
    secrets.remember("second-token");
    secrets.remember("first-token");
    assert_eq!(
        cut(&secrets, "first-token, second-token, pa55word, third-token"),
        "***, ***, ***, third-token"
    );
}

#[test]
fn the_password_is_cut_however_many_tokens_have_come_and_gone() {
    let secrets = Secrets::new();
    for number in 0..9 {
        // As each request does.
        secrets.remember("pa55word");
        secrets.remember(&format!("token-number-{number}"));
        assert_eq!(cut(&secrets, "pa55word"), "***", "{number}");
    }
}

#[test]
fn texts_without_a_secret_stay_as_they_are() {
    let secrets = knowing(TOKEN);
    for text in [
        "",
        "é",
        "%",
        "%4",
        "\\",
        "\\u",
        "\\u12",
        "&",
        "&#;",
        "&#99999999;",
        "\u{202e}",
    ] {
        assert_eq!(cut(&secrets, text), text);
    }
    assert_eq!(secrets.cut(vec![0xFF, 0x00, b'x']), [0xFF, 0x00, b'x']);
}

#[test]
fn a_long_text_that_is_all_but_the_secret_is_searched_in_time() {
    let token = "a".repeat(16_000);
    let text = "a".repeat(15_999) + "b";
    let secrets = knowing(&token);
    let begun = std::time::Instant::now();
    secrets.cut(text.repeat(4).into_bytes());
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
