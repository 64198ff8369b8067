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

/// Some faults to add to those in force and some to end; the others stay as they are, counts included.
#[derive(Debug)]
pub struct Change {
    add: Vec<Ordered>,
    remove: Vec<String>,
    /// `Some(None)` ends the limit.
    max_body_bytes: Option<Option<usize>>,
}

#[derive(Debug)]
struct Ordered {
    name: &'static str,
    document: Value,
    trigger: Trigger,
    effect: Effect,
    seen: u64,
    struck: u64,
}

#[derive(Debug)]
enum Effect {
    Delay {
        ms: Millis,
        when: When,
    },
    Answer(Fault),
    /// The answer comes before the body was read.
    AtOnce(Fault),
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

    fn looks_at_the_body(&self) -> bool {
        self.over_bytes.is_some() || self.containing.is_some()
    }

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
        let at_once = matches!(action, Action::HangUp {});
        if at_once && (trigger.looks_at_the_body() || trigger.when.is_some()) {
            return Err(format!(
                "{} comes before the body: no \"containing\", \"over_bytes\" or \"when\"",
                action.name()
            ));
        }
        let name = action.name();
        let effect = match action {
            Action::Delay { ms } => Effect::Delay {
                ms: ms.checked()?,
                when,
            },
            _ => {
                let fault = Fault {
                    name,
                    when,
                    tells_success: action.tells_success(),
                    answer: action.answer()?,
                };
                if at_once {
                    Effect::AtOnce(fault)
                } else {
                    Effect::Answer(fault)
                }
            }
        };
        Ok(Self {
            name,
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
        Ok(Order {
            max_body_bytes: document.max_body_bytes,
            faults: read_all("entry", document.faults)?,
        })
    }

    /// Reads `{"add": [...], "remove": ["reset"], "max_body_bytes": N}`, all optional.
    pub fn change_from_json(text: &[u8]) -> Result<Change, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(default)]
            add: Vec<Value>,
            #[serde(default)]
            remove: Vec<String>,
            #[serde(default, deserialize_with = "even_null")]
            max_body_bytes: Option<Option<usize>>,
        }
        let document: Document =
            serde_json::from_slice(text).map_err(|cause| format!("faults: {cause}"))?;
        let unknown = |name: &&String| !Action::NAMES.contains(&name.as_str());
        if let Some(name) = document.remove.iter().find(unknown) {
            return Err(format!(
                "faults: there is no fault {name:?} to remove; there are {}",
                Action::NAMES.join(", ")
            ));
        }
        Ok(Change {
            add: read_all("add", document.add)?,
            remove: document.remove,
            max_body_bytes: document.max_body_bytes,
        })
    }

    /// Ends some of what is in force, by kind, then adds to it.
    pub fn change(&mut self, change: Change) {
        let removed = |fault: &Ordered| change.remove.iter().any(|name| name == fault.name);
        self.order.faults.retain(|fault| !removed(fault));
        self.order.faults.extend(change.add);
        if let Some(limit) = change.max_body_bytes {
            self.order.max_body_bytes = limit;
        }
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

    /// Decides whether the next request is answered before its body is read.
    pub fn before_the_body(&mut self) -> Option<Fault> {
        self.order.faults.iter_mut().find_map(|ordered| {
            let Effect::AtOnce(fault) = &ordered.effect else {
                return None;
            };
            let fault = fault.clone();
            ordered.strikes(&[], &mut self.chance).then_some(fault)
        })
    }

    /// Decides what the next request has to suffer once it is read.
    pub fn plan(&mut self, body: &Bytes) -> Plan {
        let mut plan = Plan::default();
        for ordered in &mut self.order.faults {
            if matches!(ordered.effect, Effect::AtOnce(_)) {
                continue;
            }
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
                Effect::AtOnce(_) => {}
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

fn read_all(what: &str, faults: Vec<Value>) -> Result<Vec<Ordered>, String> {
    let read = |(index, fault)| {
        Ordered::read(fault).map_err(|cause| format!("faults: {what} {index}: {cause}"))
    };
    faults.into_iter().enumerate().map(read).collect()
}

/// Tells `null` from a member that is not there.
pub fn even_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
