//! Orders of faults: the JSON documents that the control API takes, read and checked.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::kind::{Kind, Millis};
use super::{Fault, When};
use crate::json::double_option;

/// All faults, as they were ordered.
#[derive(Debug, Default)]
pub(crate) struct Order {
    pub(super) max_body_bytes: Option<usize>,
    pub(super) faults: Vec<OrderedFault>,
}

/// Faults to remove and faults to add. The others stay in force and keep their counts.
#[derive(Debug)]
pub(crate) struct Change {
    pub(super) add: Vec<OrderedFault>,
    pub(super) remove: Vec<String>,
    /// `Some(None)` removes the limit.
    pub(super) max_body_bytes: Option<Option<usize>>,
}

impl Order {
    /// Reads `{"max_body_bytes": N, "faults": [...]}`, both optional.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            max_body_bytes: Option<usize>,
            #[serde(default)]
            faults: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(text).map_err(|cause| format!("faults: {cause}"))?;
        Ok(Self {
            max_body_bytes: document.max_body_bytes,
            faults: parse_all("entry", document.faults)?,
        })
    }
}

impl Change {
    /// Reads `{"add": [...], "remove": ["reset"], "max_body_bytes": N}`, all optional.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Document {
            #[serde(default)]
            add: Vec<Value>,
            #[serde(default)]
            remove: Vec<String>,
            #[serde(default, deserialize_with = "double_option")]
            max_body_bytes: Option<Option<usize>>,
        }
        let document: Document =
            serde_json::from_slice(text).map_err(|cause| format!("faults: {cause}"))?;
        let is_unknown = |name: &&String| !Kind::NAMES.contains(&name.as_str());
        if let Some(name) = document.remove.iter().find(is_unknown) {
            return Err(format!(
                "faults: remove: there is no fault {name:?}; the faults are {}",
                Kind::NAMES.join(", ")
            ));
        }
        Ok(Self {
            add: parse_all("add", document.add)?,
            remove: document.remove,
            max_body_bytes: document.max_body_bytes,
        })
    }
}

/// Reads every fault of a list. An error names the list and the place in it.
fn parse_all(list: &str, faults: Vec<Value>) -> Result<Vec<OrderedFault>, String> {
    let parse = |(index, fault)| {
        OrderedFault::parse(fault).map_err(|cause| format!("faults: {list} {index}: {cause}"))
    };
    faults.into_iter().enumerate().map(parse).collect()
}

/// One fault in force.
#[derive(Debug)]
pub(super) struct OrderedFault {
    pub name: &'static str,
    /// The order as it was received.
    pub document: Value,
    pub effect: Effect,
    trigger: Trigger,
    /// How many requests it has met.
    pub requests: u64,
    pub struck: u64,
}

#[derive(Debug)]
pub(super) enum Effect {
    Delay { ms: Millis, when: When },
    Answer(Fault),
    AnswerBeforeBody(Fault),
}

/// When a fault strikes. Every kind of fault has these members.
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

    fn depends_on_body(&self) -> bool {
        self.over_bytes.is_some() || self.containing.is_some()
    }

    fn matches(&self, body: &[u8]) -> bool {
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

impl OrderedFault {
    fn parse(document: Value) -> Result<Self, String> {
        let Value::Object(mut members) = document.clone() else {
            return Err("a fault must be a JSON object".into());
        };
        let trigger: Map<String, Value> = Trigger::MEMBERS
            .iter()
            .filter_map(|member| members.remove_entry(*member))
            .collect();
        let trigger: Trigger =
            serde_json::from_value(trigger.into()).map_err(|cause| cause.to_string())?;
        if !(0.0..=1.0).contains(&trigger.probability) {
            return Err(format!(
                "probability {} is not between 0 and 1",
                trigger.probability
            ));
        }
        if trigger.containing.as_deref() == Some("") {
            return Err("\"containing\" must not be empty".into());
        }
        let kind: Kind =
            serde_json::from_value(members.into()).map_err(|cause| cause.to_string())?;
        let name = kind.name();
        let when = trigger.when.unwrap_or(kind.default_when());
        let before_body = matches!(kind, Kind::HangUp {});
        if before_body && (trigger.depends_on_body() || trigger.when.is_some()) {
            return Err(format!(
                "{name} strikes before the body is read, so it takes no \"containing\", \
                 \"over_bytes\" or \"when\""
            ));
        }
        let effect = match kind {
            Kind::Delay { ms } => Effect::Delay {
                ms: ms.checked()?,
                when,
            },
            _ => {
                let fault = Fault {
                    name,
                    when,
                    means_success: kind.means_success(),
                    answer: kind.into_answer()?,
                };
                if before_body {
                    Effect::AnswerBeforeBody(fault)
                } else {
                    Effect::Answer(fault)
                }
            }
        };
        Ok(Self {
            name,
            document,
            effect,
            trigger,
            requests: 0,
            struck: 0,
        })
    }

    /// Counts a request, and decides whether the fault strikes it.
    pub(super) fn strikes(&mut self, body: &[u8], rng: &mut fastrand::Rng) -> bool {
        self.requests += 1;
        let trigger = &self.trigger;
        let strikes = self.requests > trigger.after_requests
            && trigger.count.is_none_or(|count| self.struck < count)
            && trigger.matches(body)
            && (trigger.probability >= 1.0 || rng.f64() < trigger.probability);
        self.struck += u64::from(strikes);
        strikes
    }
}
