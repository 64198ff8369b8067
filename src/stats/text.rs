//! The two texts of a snapshot: JSON, and Prometheus' text format.

use crate::error::PauseReason;

use super::histogram::{Bounds, Histogram};
use super::table::VERDICTS_MEANING;
use super::{Figure, Stats, Value};

impl Stats {
    /// The snapshot as one JSON object whose members are the fields of this struct. `None` is
    /// `null`, and `paused` is a [`PauseReason::name`].
    pub fn to_json(&self) -> String {
        let members = self.figures().into_iter().map(|figure| {
            let value = match figure.value {
                Value::Counter(number) | Value::Gauge(number) | Value::Verdict(_, number) => {
                    number.to_string()
                }
                Value::Histogram(bounds, histogram) => histogram_json(bounds, &histogram),
                Value::TimeMs(time) => or_null(time.map(|time| time.to_string())),
                Value::Flag(flag) => flag.to_string(),
                Value::Pid(pid) => or_null(pid.map(|pid| pid.to_string())),
                Value::Paused(reason) => or_null(reason.map(|reason| format!("\"{reason}\""))),
            };
            format!("\"{}\":{value}", figure.member)
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    /// The snapshot in Prometheus' text format. A figure that is `None` has no sample.
    pub fn to_prometheus(&self) -> String {
        self.to_prometheus_with(&[])
    }

    /// As [`to_prometheus`](Self::to_prometheus), with `labels` on every sample, to tell spools
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
            // The table has refused requests as a counter of their own; here they are one more
            // verdict.
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
        let (kind, meaning) = match self.value {
            Value::Verdict(..) => ("counter", VERDICTS_MEANING),
            Value::Counter(_) => ("counter", self.meaning),
            Value::Histogram(..) => ("histogram", self.meaning),
            Value::Gauge(_)
            | Value::TimeMs(_)
            | Value::Paused(_)
            | Value::Pid(_)
            | Value::Flag(_) => ("gauge", self.meaning),
        };
        let metric = self.metric;
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
            Value::Flag(flag) => sample(None, if flag { "1" } else { "0" }),
            Value::Verdict(verdict, number) => {
                sample(Some(("verdict", verdict)), &number.to_string());
            }
            Value::TimeMs(None) | Value::Pid(None) | Value::Histogram(..) => {}
            Value::TimeMs(Some(time)) => sample(None, &seconds(time)),
            Value::Pid(Some(pid)) => sample(Some(("pid", &pid.to_string())), "1"),
            Value::Paused(paused) => {
                for reason in PauseReason::ALL {
                    let value = if paused == Some(reason) { "1" } else { "0" };
                    sample(Some(("reason", reason.name())), value);
                }
            }
        }
    }
}

/// For each bucket, its bound in seconds and the number of durations up to that bound.
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
pub fn seconds(time_ms: i64) -> String {
    let sign = if time_ms < 0 { "-" } else { "" };
    let time_ms = time_ms.unsigned_abs();
    format!("{sign}{}.{:03}", time_ms / 1_000, time_ms % 1_000)
}

/// `{name="value",...}`, or nothing without labels.
pub fn labels_text<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
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
