//! Faults to order: what goes wrong, when, and how often.
//!
//! The set is replaced as a whole, so that a test never wonders what an earlier step left behind.
//! Every fault is checked when it is ordered: one that could not strike, or with a member that would
//! be ignored, is refused then. Chance comes from one seeded generator, so a run with the same seed and
//! the same requests in the same order meets the same faults.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::actions::{Action, Millis};
use super::answer::Answer;

/// Whether a fault comes before the API sees the request, or after it has dealt with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    Before,
    After,
}

/// What one request has to suffer.
#[derive(Debug, Default)]
pub struct Plan {
    pub delay_before: Duration,
    pub delay_after: Duration,
    pub fault: Option<Fault>,
}

impl Plan {
    /// All of the delay, in milliseconds.
    pub fn delay_ms(&self) -> u64 {
        (self.delay_before + self.delay_after)
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// A fault that has struck: the answer that replaces the API's.
#[derive(Debug, Clone)]
pub struct Fault {
    pub name: &'static str,
    pub when: When,
    pub answer: Answer,
    /// Whether a caller rightly takes it for success.
    pub tells_success: bool,
}

/// A whole set of faults, as it was ordered.
#[derive(Debug, Default)]
pub struct Order {
    max_body_bytes: Option<usize>,
    faults: Vec<Ordered>,
}

#[derive(Debug)]
struct Ordered {
    document: Value,
    trigger: Trigger,
    effect: Effect,
    seen: u64,
    struck: u64,
}

#[derive(Debug)]
enum Effect {
    Delay { ms: Millis, when: When },
    Answer(Fault),
}

/// When a fault strikes: the members that every kind of fault has.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Trigger {
    probability: f64,
    count: Option<u64>,
    after_requests: u64,
    over_bytes: Option<usize>,
    containing: Option<String>,
    when: Option<When>,
}

impl Trigger {
    const MEMBERS: [&str; 6] = [
        "probability",
        "count",
        "after_requests",
        "over_bytes",
        "containing",
        "when",
    ];

    fn fits(&self, body: &[u8]) -> bool {
        let contains = |text| std::str::from_utf8(body).is_ok_and(|body| body.contains(text));
        self.over_bytes.is_none_or(|bytes| body.len() > bytes)
            && self.containing.as_deref().is_none_or(contains)
    }
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            probability: 1.0,
            count: None,
            after_requests: 0,
            over_bytes: None,
            containing: None,
            when: None,
        }
    }
}

impl Ordered {
    fn read(document: Value) -> Result<Self, String> {
        let Value::Object(mut action) = document.clone() else {
            return Err("has to be an object".into());
        };
        let trigger: Map<String, Value> = Trigger::MEMBERS
            .iter()
            .filter_map(|member| action.remove_entry(*member))
            .collect();
        let trigger: Trigger =
            serde_json::from_value(trigger.into()).map_err(|cause| cause.to_string())?;
        if !(0.0..=1.0).contains(&trigger.probability) {
            return Err(format!(
                "probability {} is not within 0 to 1",
                trigger.probability
            ));
        }
        if trigger.containing.as_deref() == Some("") {
            return Err("containing has to have a text".into());
        }
        let action: Action =
            serde_json::from_value(action.into()).map_err(|cause| cause.to_string())?;
        let when = trigger.when.unwrap_or(action.usual_when());
        let effect = match action {
            Action::Delay { ms } => Effect::Delay {
                ms: ms.checked()?,
                when,
            },
            _ => Effect::Answer(Fault {
                name: action.name(),
                when,
                tells_success: action.tells_success(),
                answer: action.answer()?,
            }),
        };
        Ok(Self {
            document,
            trigger,
            effect,
            seen: 0,
            struck: 0,
        })
    }

    fn strikes(&mut self, body: &[u8], chance: &mut fastrand::Rng) -> bool {
        self.seen += 1;
        let trigger = &self.trigger;
        let strikes = self.seen > trigger.after_requests
            && trigger.count.is_none_or(|count| self.struck < count)
            && trigger.fits(body)
            && (trigger.probability >= 1.0 || chance.f64() < trigger.probability);
        self.struck += u64::from(strikes);
        strikes
    }
}

/// The faults in force.
pub struct Faults {
    order: Order,
    chance: fastrand::Rng,
}

impl Faults {
    /// No faults yet; chance will follow from `seed`.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            order: Order::default(),
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Reads `{"max_body_bytes": N, "faults": [...]}`, both optional.
    pub fn order_from_json(text: &[u8]) -> Result<Order, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            max_body_bytes: Option<usize>,
            #[serde(default)]
            faults: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(text).map_err(|cause| format!("faults: {cause}"))?;
        let read = |(index, fault)| {
            Ordered::read(fault).map_err(|cause| format!("faults: entry {index}: {cause}"))
        };
        Ok(Order {
            max_body_bytes: document.max_body_bytes,
            faults: document
                .faults
                .into_iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Puts this order in the place of what was in force.
    pub fn replace(&mut self, order: Order) {
        self.order = order;
    }

    /// The order in force, and how often each of its faults has struck.
    pub fn to_json(&self) -> Value {
        let Order {
            max_body_bytes,
            faults,
        } = &self.order;
        json!({
            "max_body_bytes": max_body_bytes,
            "faults": faults.iter().map(|fault| &fault.document).collect::<Vec<_>>(),
            "struck": faults.iter().map(|fault| fault.struck).collect::<Vec<_>>(),
        })
    }

    /// Decides what the next request has to suffer.
    pub fn plan(&mut self, body: &Bytes) -> Plan {
        let mut plan = Plan::default();
        for ordered in &mut self.order.faults {
            if plan.fault.is_some() && matches!(ordered.effect, Effect::Answer(_)) {
                // It counts this request, but another has won: it keeps its strikes for later ones.
                ordered.seen += 1;
                continue;
            }
            if !ordered.strikes(body, &mut self.chance) {
                continue;
            }
            match &ordered.effect {
                Effect::Delay { ms, when } => {
                    let delay = match when {
                        When::Before => &mut plan.delay_before,
                        When::After => &mut plan.delay_after,
                    };
                    *delay += ms.draw(&mut self.chance);
                }
                Effect::Answer(fault) => plan.fault = Some(fault.clone()),
            }
        }
        if plan.fault.is_none()
            && self
                .order
                .max_body_bytes
                .is_some_and(|most| body.len() > most)
        {
            plan.fault = Some(Fault {
                name: "max_body_bytes",
                when: When::Before,
                answer: Answer::page(StatusCode::PAYLOAD_TOO_LARGE),
                tells_success: false,
            });
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(seed: u64, text: &str) -> Faults {
        let mut faults = Faults::with_seed(seed);
        faults.replace(Faults::order_from_json(text.as_bytes()).expect("a good order"));
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
    fn a_count_after_some_requests_strikes_exactly_then() {
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
    fn the_first_fault_wins_and_the_second_keeps_its_strikes() {
        let mut faults = faults(
            1,
            r#"{"faults":[{"fault":"status","status":500,"count":1},{"fault":"status","status":502,"count":1}]}"#,
        );
        assert_eq!(struck(&mut faults, &["a"; 3]), [Some(500), Some(502), None]);
    }

    #[test]
    fn a_fault_may_pick_its_requests_by_text_and_by_length() {
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
        faults.replace(Faults::order_from_json(br#"{"max_body_bytes":7}"#).expect("a good order"));
        assert_eq!(
            struck(&mut faults, &["1234567", "12345678"]),
            [None, Some(413)]
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_about_the_ordered_share() {
        let text = r#"{"faults":[{"fault":"status","status":503,"probability":0.3}]}"#;
        let run = |seed| struck(&mut faults(seed, text), &["a"; 2_000]);
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let share = run(7).iter().flatten().count();
        assert!((500..700).contains(&share), "{share} of 2000");
    }

    #[test]
    fn delays_add_up_beside_a_fault() {
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
    fn an_order_that_would_be_misunderstood_is_refused() {
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
            (r#"7"#, "has to be an object"),
        ] {
            let text = format!(r#"{{"faults":[{{"fault":"reset"}},{fault}]}}"#);
            let message = Faults::order_from_json(text.as_bytes())
                .err()
                .unwrap_or_else(|| panic!("{fault} was taken"));
            assert!(
                message.starts_with("faults: entry 1: ") && message.contains(part),
                "{fault}: {message}"
            );
        }
        assert!(Faults::order_from_json(br#"{"fault":[]}"#).is_err());
    }
}
