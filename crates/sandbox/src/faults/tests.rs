use super::*;

fn faults(seed: u64, text: &str) -> Faults {
    let mut faults = Faults::with_seed(seed);
    faults.replace(Order::from_json(text.as_bytes()).expect("a good order"));
    faults
}

fn struck(faults: &mut Faults, bodies: &[&'static str]) -> Vec<Option<u16>> {
    let status = |plan: Plan| plan.fault.and_then(|fault| fault.answer.status());
    bodies
        .iter()
        .map(|body| status(faults.plan(&Bytes::from_static(body.as_bytes()))))
        .collect()
}

#[test]
fn a_fault_with_a_count_strikes_so_often_after_the_requests_that_it_spares() {
    let mut faults = faults(
        1,
        r#"{"faults":[{"fault":"status","status":503,"count":2,"after_requests":1}]}"#,
    );
    assert_eq!(
        struck(&mut faults, &["a"; 5]),
        [None, Some(503), Some(503), None, None]
    );
    assert_eq!(faults.to_json()["struck"], json!([2]));
}

#[test]
fn the_first_fault_answers_and_the_second_keeps_its_count_for_later_requests() {
    let mut faults = faults(
        1,
        r#"{"faults":[{"fault":"status","status":500,"count":1},{"fault":"status","status":502,"count":1}]}"#,
    );
    assert_eq!(struck(&mut faults, &["a"; 3]), [Some(500), Some(502), None]);
}

#[test]
fn a_fault_may_choose_requests_by_their_text_and_their_length() {
    let mut faults = faults(
        1,
        r#"{"max_body_bytes":7,"faults":[{"fault":"status","status":500,"containing":"u-1"},
            {"fault":"status","status":502,"over_bytes":5}]}"#,
    );
    let bodies = ["", "u-2", "xu-1x", "123456", "12345678"];
    assert_eq!(
        struck(&mut faults, &bodies),
        [None, None, Some(500), Some(502), Some(502)]
    );
    faults.replace(Order::from_json(br#"{"max_body_bytes":7}"#).expect("a good order"));
    assert_eq!(
        struck(&mut faults, &["1234567", "12345678"]),
        [None, Some(413)]
    );
}

#[test]
fn a_fault_with_a_seed_strikes_the_same_requests_again_and_about_the_ordered_share() {
    let text = r#"{"faults":[{"fault":"status","status":503,"probability":0.3}]}"#;
    let run = |seed| struck(&mut faults(seed, text), &["a"; 2_000]);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let share = run(7).iter().flatten().count();
    assert!((500..700).contains(&share), "{share} of 2000");
}

#[test]
fn delays_add_up_and_another_fault_still_answers() {
    let mut faults = faults(
        1,
        r#"{"faults":[{"fault":"delay","ms":20},{"fault":"reset"},{"fault":"delay","ms":[3,5],"when":"after"}]}"#,
    );
    let plan = faults.plan(&Bytes::new());
    assert_eq!(plan.delay_before, Duration::from_millis(20));
    assert!((3..=5).contains(&plan.delay_after.as_millis()));
    assert!(plan.fault.is_some_and(|fault| fault.name == "reset"));
}

#[test]
fn an_order_of_a_fault_with_a_mistake_is_refused() {
    for (fault, part) in [
        (
            r#"{"fault":"status","status":503,"probabilty":1}"#,
            "unknown field `probabilty`",
        ),
        (
            r#"{"fault":"reset","status":503}"#,
            "unknown field `status`",
        ),
        (r#"{"fault":"explode"}"#, "unknown variant `explode`"),
        (r#"{"status":503}"#, "missing field `fault`"),
        (r#"{"fault":"status"}"#, "missing field `status`"),
        (r#"{"fault":"status","status":99}"#, "status 99"),
        (
            r#"{"fault":"status","status":422,"message":"x"}"#,
            "\"code\"",
        ),
        (
            r#"{"fault":"status","status":422,"code":"x","body":"y"}"#,
            "not both",
        ),
        (
            r#"{"fault":"status","status":500,"content_type":"text/plain"}"#,
            "\"body\"",
        ),
        (
            r#"{"fault":"status","status":500,"headers":{"a b":"c"}}"#,
            "header",
        ),
        (
            r#"{"fault":"status","status":429,"retry_after":true}"#,
            "retry_after",
        ),
        (r#"{"fault":"reset","probability":1.5}"#, "probability 1.5"),
        (r#"{"fault":"reset","containing":""}"#, "containing"),
        (
            r#"{"fault":"reset","when":"later"}"#,
            "unknown variant `later`",
        ),
        (r#"{"fault":"delay","ms":[5,3]}"#, "5 to 3"),
        (r#"{"fault":"raw"}"#, "either"),
        (
            r#"{"fault":"hang_up","containing":"u-1"}"#,
            "before the body",
        ),
        (r#"{"fault":"hang_up","when":"after"}"#, "before the body"),
        (r#"7"#, "must be a JSON object"),
    ] {
        let text = format!(r#"{{"faults":[{{"fault":"reset"}},{fault}]}}"#);
        let message = Order::from_json(text.as_bytes())
            .err()
            .unwrap_or_else(|| panic!("{fault} was taken"));
        assert!(
            message.starts_with("faults: entry 1: ") && message.contains(part),
            "{fault}: {message}"
        );
    }
    assert!(Order::from_json(br#"{"fault":[]}"#).is_err());
}

#[test]
fn a_hang_up_is_decided_before_the_body_and_has_its_own_counts() {
    let mut faults = faults(
        1,
        r#"{"faults":[{"fault":"reset","count":1},{"fault":"hang_up","count":1,"after_requests":1}]}"#,
    );
    let hangs_up = |faults: &mut Faults| faults.plan_before_body().map(|fault| fault.name);
    assert_eq!(hangs_up(&mut faults), None);
    assert!(faults.plan(&Bytes::new()).fault.is_some());
    assert_eq!(hangs_up(&mut faults), Some("hang_up"));
    assert_eq!(hangs_up(&mut faults), None);
    assert!(faults.plan(&Bytes::new()).fault.is_none());
    assert_eq!(faults.to_json()["struck"], json!([1, 1]));
}
