//! What an operator asks first: how much waits, how much went, and why nothing goes.
//!
//! One table says the name, the meaning and the kind of each figure; the JSON and the Prometheus
//! text are both printed from it, so neither can lack a figure or call it something else.
//! A histogram is cumulative in both. The figures themselves are gathered elsewhere: a [`Stats`] is a snapshot and knows no clock.

pub mod histogram;

use crate::error::PauseReason;

use self::histogram::{
    Bounds, DELIVERY_BOUNDS_US, ENQUEUE_BOUNDS_US, Histogram, REQUEST_BOUNDS_US,
};

/// A snapshot of one spool, as seen by one process. Times are wall times in milliseconds since
/// 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events acknowledged by this process.
    pub enqueued: u64,
    /// Events that the API has taken.
    pub delivered: u64,
    /// Events that the API refused alone.
    pub rejected: u64,
    /// Events that grew older than `event_ttl_s` unsent.
    pub expired: u64,
    /// Events that wait to be sent.
    pub pending: u64,
    /// Events of requests that no answer has settled.
    pub in_doubt: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of these: repeated after no answer, or one that asked for it.
    pub retried_requests: u64,
    /// Of these: refused by the API.
    pub refused_requests: u64,
    /// Of these: sent to find a bad event.
    pub isolation_requests: u64,
    /// Why delivery is paused; `None`: it is not.
    pub paused: Option<PauseReason>,
    /// Since when it is paused.
    pub paused_since_ms: Option<i64>,
    /// When the pause is probed next.
    pub next_probe_ms: Option<i64>,
    /// Bytes of journal that were not taken over yet.
    pub journal_bytes: u64,
    /// Files of the journal.
    pub segments: u64,
    /// Damaged records that were set aside.
    pub damaged_records: u64,
    /// When the oldest waiting event was enqueued; `None`: none waits.
    pub oldest_pending_ms: Option<i64>,
    /// When a sender was last seen on this spool; `None`: never.
    pub sender_seen_ms: Option<i64>,
    /// The process that is or was that sender.
    pub sender_pid: Option<u32>,
    /// Segments whose end was cut short: by the death of their writer, or by a power cut.
    pub torn_tails: u64,
    /// Events that `recover` could not read out of a damaged store.
    pub lost: u64,
    /// Of the requests: all of their events were accepted.
    pub delivered_requests: u64,
    /// Of the requests: the body was too large.
    pub too_large_requests: u64,
    /// Of the requests: not processed, to be sent again later.
    pub postponed_requests: u64,
    /// Of the requests: no answer has settled them.
    pub in_doubt_requests: u64,
    /// Of the requests: no event was to blame, and delivery paused, or stayed so.
    pub pausing_requests: u64,
    /// Bytes of the bodies of requests that were sent.
    pub sent_bytes: u64,
    /// How often delivery was paused.
    pub pauses: u64,
    /// How long a single enqueue took, of one in 64 in this process.
    pub enqueue_seconds: Histogram,
    /// How long requests took from their first byte to their answer.
    pub request_seconds: Histogram,
    /// How long events took from their enqueue until they were accepted.
    pub delivery_seconds: Histogram,
}

/// One figure of the table.
struct Figure {
    /// Its member in the JSON.
    member: &'static str,
    /// Its metric for Prometheus.
    metric: &'static str,
    meaning: &'static str,
    value: Value,
}

enum Value {
    /// Only grows, until the spool is made anew or the process ends.
    Counter(u64),
    Gauge(u64),
    /// Prometheus gets it in seconds.
    TimeMs(Option<i64>),
    /// Prometheus gets a 0 or 1 for every reason, so that a change is a change of values.
    Paused(Option<PauseReason>),
    /// Prometheus gets them as one counter with the verdict as a label.
    Verdict(&'static str, u64),
    Histogram(&'static Bounds, Histogram),
    /// Prometheus gets it as a label, since it is a name and not a quantity.
    Pid(Option<u32>),
}

impl Stats {
    #[rustfmt::skip]
    fn figures(&self) -> [Figure; 31] {
        use Value::{Counter, Gauge, Paused, Pid, TimeMs, Verdict};
        const VERDICTS: &str = "meditopia_request_verdicts_total";
        const BY_VERDICT: &str = "Requests by what their end meant.";
        let figure = |member, metric, meaning, value| Figure { member, metric, meaning, value };
        [
            figure("enqueued", "meditopia_events_enqueued_total",
                "Events acknowledged by this process.", Counter(self.enqueued)),
            figure("delivered", "meditopia_events_delivered_total",
                "Events that the API has taken.", Counter(self.delivered)),
            figure("rejected", "meditopia_events_rejected_total",
                "Events that the API refused alone.", Counter(self.rejected)),
            figure("expired", "meditopia_events_expired_total",
                "Events that grew too old unsent.", Counter(self.expired)),
            figure("pending", "meditopia_events_pending",
                "Events that wait to be sent.", Gauge(self.pending)),
            figure("in_doubt", "meditopia_events_in_doubt",
                "Events of requests that no answer has settled.", Gauge(self.in_doubt)),
            figure("requests", "meditopia_requests_total",
                "Requests sent.", Counter(self.requests)),
            figure("retried_requests", "meditopia_requests_retried_total",
                "Requests repeated after no answer, or one that asked for it.", Counter(self.retried_requests)),
            figure("refused_requests", "meditopia_requests_refused_total",
                "Requests that the API refused.", Counter(self.refused_requests)),
            figure("isolation_requests", "meditopia_requests_isolation_total",
                "Requests sent to find a bad event.", Counter(self.isolation_requests)),
            figure("paused", "meditopia_paused",
                "Whether delivery is paused for this reason.", Paused(self.paused)),
            figure("paused_since_ms", "meditopia_paused_since_timestamp_seconds",
                "Since when delivery is paused.", TimeMs(self.paused_since_ms)),
            figure("next_probe_ms", "meditopia_next_probe_timestamp_seconds",
                "When the pause is probed next.", TimeMs(self.next_probe_ms)),
            figure("journal_bytes", "meditopia_journal_bytes",
                "Bytes of journal that were not taken over yet.", Gauge(self.journal_bytes)),
            figure("segments", "meditopia_journal_segments",
                "Files of the journal.", Gauge(self.segments)),
            figure("damaged_records", "meditopia_journal_damaged_records_total",
                "Damaged records that were set aside.", Counter(self.damaged_records)),
            figure("oldest_pending_ms", "meditopia_oldest_pending_timestamp_seconds",
                "When the oldest waiting event was enqueued.", TimeMs(self.oldest_pending_ms)),
            figure("sender_seen_ms", "meditopia_sender_seen_timestamp_seconds",
                "When a sender was last seen on this spool.", TimeMs(self.sender_seen_ms)),
            figure("sender_pid", "meditopia_sender_info",
                "The process that is or was the sender.", Pid(self.sender_pid)),
            figure("torn_tails", "meditopia_journal_torn_tails_total",
                "Segments whose end was cut short.", Counter(self.torn_tails)),
            figure("lost", "meditopia_events_lost_total",
                "Events that recover could not read out of a damaged store.", Counter(self.lost)),
            figure("sent_bytes", "meditopia_request_sent_bytes_total",
                "Bytes of the bodies of requests that were sent.", Counter(self.sent_bytes)),
            figure("pauses", "meditopia_pauses_total",
                "How often delivery was paused.", Counter(self.pauses)),
            figure("delivered_requests", VERDICTS, BY_VERDICT, Verdict("delivered", self.delivered_requests)),
            figure("too_large_requests", VERDICTS, BY_VERDICT, Verdict("too_large", self.too_large_requests)),
            figure("postponed_requests", VERDICTS, BY_VERDICT, Verdict("retry", self.postponed_requests)),
            figure("in_doubt_requests", VERDICTS, BY_VERDICT, Verdict("in_doubt", self.in_doubt_requests)),
            figure("pausing_requests", VERDICTS, BY_VERDICT, Verdict("pause", self.pausing_requests)),
            figure("enqueue_seconds", "meditopia_enqueue_duration_seconds",
                "How long a single enqueue took, of one in 64 in this process.",
                Value::Histogram(&ENQUEUE_BOUNDS_US, self.enqueue_seconds)),
            figure("request_seconds", "meditopia_request_duration_seconds",
                "How long requests took from their first byte to their answer.",
                Value::Histogram(&REQUEST_BOUNDS_US, self.request_seconds)),
            figure("delivery_seconds", "meditopia_delivery_duration_seconds",
                "How long events took from their enqueue until they were accepted.",
                Value::Histogram(&DELIVERY_BOUNDS_US, self.delivery_seconds)),
        ]
    }

    /// The snapshot as one JSON object whose members are the fields of this struct; what is not
    /// there is `null`, `paused` is a [`PauseReason::name`].
    pub fn to_json(&self) -> String {
        let members = self.figures().map(|figure| {
            let value = match figure.value {
                Value::Counter(number) | Value::Gauge(number) | Value::Verdict(_, number) => {
                    number.to_string()
                }
                Value::Histogram(bounds, histogram) => histogram_json(bounds, &histogram),
                Value::TimeMs(time) => or_null(time.map(|time| time.to_string())),
                Value::Pid(pid) => or_null(pid.map(|pid| pid.to_string())),
                Value::Paused(reason) => or_null(reason.map(|reason| format!("\"{reason}\""))),
            };
            format!("\"{}\":{value}", figure.member)
        });
        format!("{{{}}}", members.join(","))
    }

    /// The snapshot in Prometheus' text format. What is not there has no sample.
    pub fn to_prometheus(&self) -> String {
        self.to_prometheus_with(&[])
    }

    /// As [`to_prometheus`](Self::to_prometheus), with these labels on every sample, to tell spools
    /// apart. Label names are letters, digits and underscores; values are any text.
    pub fn to_prometheus_with(&self, labels: &[(&str, &str)]) -> String {
        let mut text = String::new();
        let mut last = "";
        for figure in self.figures() {
            if figure.metric != last {
                figure.print_head(&mut text);
            }
            last = figure.metric;
            figure.print(labels, &mut text);
            // Those refused stand in the table as a counter of their own.
            if matches!(figure.value, Value::Verdict("delivered", _)) {
                let value = Value::Verdict("refused", self.refused_requests);
                Figure { value, ..figure }.print(labels, &mut text);
            }
        }
        text
    }
}

impl Figure {
    fn print_head(&self, text: &mut String) {
        let Self {
            metric, meaning, ..
        } = self;
        let kind = match self.value {
            Value::Counter(_) | Value::Verdict(..) => "counter",
            Value::Histogram(..) => "histogram",
            Value::Gauge(_) | Value::TimeMs(_) | Value::Paused(_) | Value::Pid(_) => "gauge",
        };
        text.push_str(&format!(
            "# HELP {metric} {meaning}\n# TYPE {metric} {kind}\n"
        ));
    }

    fn print(&self, labels: &[(&str, &str)], text: &mut String) {
        let metric = self.metric;
        if let Value::Histogram(bounds, histogram) = &self.value {
            print_histogram(metric, bounds, histogram, labels, text);
            return;
        }
        let mut sample = |own: Option<(&str, &str)>, value: &str| {
            let labels = labels_text(labels.iter().copied().chain(own));
            text.push_str(&format!("{metric}{labels} {value}\n"));
        };
        match self.value {
            Value::Counter(number) | Value::Gauge(number) => sample(None, &number.to_string()),
            Value::Verdict(verdict, number) => {
                sample(Some(("verdict", verdict)), &number.to_string());
            }
            Value::TimeMs(None) | Value::Pid(None) | Value::Histogram(..) => {}
            Value::TimeMs(Some(time)) => sample(None, &seconds(time)),
            Value::Pid(Some(pid)) => sample(Some(("pid", &pid.to_string())), "1"),
            Value::Paused(paused) => {
                for reason in PauseReason::ALL {
                    let is = if paused == Some(reason) { "1" } else { "0" };
                    sample(Some(("reason", reason.name())), is);
                }
            }
        }
    }
}

/// For each bucket its bound in seconds, and how many took no longer.
fn cumulative(bounds: &Bounds, histogram: &Histogram) -> Vec<(String, u64)> {
    let bounds = bounds.iter().map(|us| (us / 1e6).to_string());
    let mut sum = 0;
    bounds
        .chain(["+Inf".to_owned()])
        .zip(histogram.counts)
        .map(|(bound, count)| {
            sum += count;
            (bound, sum)
        })
        .collect()
}

fn sum_in_seconds(histogram: &Histogram) -> String {
    format!(
        "{}.{:06}",
        histogram.sum_us / 1_000_000,
        histogram.sum_us % 1_000_000
    )
}

fn histogram_json(bounds: &Bounds, histogram: &Histogram) -> String {
    let buckets: Vec<String> = cumulative(bounds, histogram)
        .into_iter()
        .map(|(bound, count)| format!("\"{bound}\":{count}"))
        .collect();
    format!(
        "{{\"count\":{},\"sum\":{},\"buckets\":{{{}}}}}",
        histogram.count(),
        sum_in_seconds(histogram),
        buckets.join(",")
    )
}

fn print_histogram(
    metric: &str,
    bounds: &Bounds,
    histogram: &Histogram,
    labels: &[(&str, &str)],
    text: &mut String,
) {
    for (bound, count) in cumulative(bounds, histogram) {
        let labels = labels_text(labels.iter().copied().chain([("le", bound.as_str())]));
        text.push_str(&format!("{metric}_bucket{labels} {count}\n"));
    }
    let labels = labels_text(labels.iter().copied());
    let (sum, count) = (sum_in_seconds(histogram), histogram.count());
    text.push_str(&format!(
        "{metric}_sum{labels} {sum}\n{metric}_count{labels} {count}\n"
    ));
}

fn or_null(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".to_owned())
}

/// Milliseconds written as seconds, exactly.
fn seconds(time_ms: i64) -> String {
    let sign = if time_ms < 0 { "-" } else { "" };
    let time_ms = time_ms.unsigned_abs();
    format!("{sign}{}.{:03}", time_ms / 1_000, time_ms % 1_000)
}

/// `{name="value",...}`, or nothing without labels.
fn labels_text<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let escaped = value
            .replace('\\', r"\\")
            .replace('"', r#"\""#)
            .replace('\n', r"\n");
        let before = if text.is_empty() { '{' } else { ',' };
        text.push_str(&format!("{before}{name}=\"{escaped}\""));
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

#[cfg(test)]
mod tests;
