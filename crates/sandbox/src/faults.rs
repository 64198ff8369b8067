//! Faults: what goes wrong on order, when, and how often.
//!
//! `PUT` replaces all faults at once, so that a test need not know what an earlier step left
//! behind. Each fault is checked when it is ordered: one that could never strike, or that has a
//! member which would be ignored, is refused. Random numbers come from one seeded generator, so a
//! run with the same seed and the same requests in the same order meets the same faults.

mod kind;
mod order;
#[cfg(test)]
mod tests;

pub(crate) use order::{Change, Order};

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::order::{Effect, OrderedFault};
use super::answer::Answer;

/// Whether a fault strikes before the API sees a request, or after the API has handled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    Before,
    After,
}

/// What faults do to one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub delay_before: Duration,
    pub delay_after: Duration,
    pub fault: Option<Fault>,
}

impl Plan {
    /// The sum of both delays, in milliseconds.
    pub(crate) fn delay_ms(&self) -> u64 {
        (self.delay_before + self.delay_after)
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// A fault that has struck: the answer that replaces the API's.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub name: &'static str,
    pub when: When,
    pub answer: Answer,
    /// Whether a correct client takes the answer for success.
    pub means_success: bool,
}

/// The faults in force.
pub(crate) struct Faults {
    order: Order,
    rng: fastrand::Rng,
}

impl Faults {
    /// No faults yet.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self {
            order: Order::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Removes some of the faults in force, by kind, then adds others.
    pub(crate) fn change(&mut self, change: Change) {
        let removed = |fault: &OrderedFault| change.remove.iter().any(|name| name == fault.name);
        self.order.faults.retain(|fault| !removed(fault));
        self.order.faults.extend(change.add);
        if let Some(limit) = change.max_body_bytes {
            self.order.max_body_bytes = limit;
        }
    }

    /// Replaces all faults in force.
    pub(crate) fn replace(&mut self, order: Order) {
        self.order = order;
    }

    /// The order in force, and how often each of its faults has struck.
    pub(crate) fn to_json(&self) -> Value {
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

    /// Decides whether a fault answers the next request before its body is read.
    pub(crate) fn plan_before_body(&mut self) -> Option<Fault> {
        self.order.faults.iter_mut().find_map(|ordered| {
            let Effect::AnswerBeforeBody(fault) = &ordered.effect else {
                return None;
            };
            let fault = fault.clone();
            ordered.strikes(&[], &mut self.rng).then_some(fault)
        })
    }

    /// Decides what faults do to a request whose body has been read.
    pub(crate) fn plan(&mut self, body: &Bytes) -> Plan {
        let mut plan = Plan::default();
        for ordered in &mut self.order.faults {
            if matches!(ordered.effect, Effect::AnswerBeforeBody(_)) {
                continue;
            }
            if plan.fault.is_some() && matches!(ordered.effect, Effect::Answer(_)) {
                // Another fault already answers this request. This one counts the request for its
                // `after_requests`, and saves its `count` for later ones.
                ordered.requests += 1;
                continue;
            }
            if !ordered.strikes(body, &mut self.rng) {
                continue;
            }
            match &ordered.effect {
                Effect::Delay { ms, when } => {
                    let delay = match when {
                        When::Before => &mut plan.delay_before,
                        When::After => &mut plan.delay_after,
                    };
                    *delay += ms.draw(&mut self.rng);
                }
                Effect::Answer(fault) => plan.fault = Some(fault.clone()),
                Effect::AnswerBeforeBody(_) => {}
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
                answer: Answer::html_page(StatusCode::PAYLOAD_TOO_LARGE),
                means_success: false,
            });
        }
        plan
    }
}
