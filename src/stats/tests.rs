use super::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn paused() -> Stats {
    Stats {
        enqueued: 1,
        delivered: 2,
        rejected: 3,
        expired: 4,
        pending: u64::MAX,
        in_doubt: 6,
        requests: 7,
        retried_requests: 8,
        refused_requests: 9,
        isolation_requests: 10,
        paused: Some(PauseReason::MassRejection),
        paused_since_ms: Some(1_722_956_645_007),
        next_probe_ms: Some(-1),
        journal_bytes: 14,
        segments: 15,
        damaged_records: 16,
        oldest_pending_ms: Some(1_722_956_645_000),
        sender_seen_ms: Some(0),
        sender_pid: Some(4242),
        torn_tails: 17,
        lost: 18,
        delivered_requests: 19,
        too_large_requests: 20,
        postponed_requests: 21,
        in_doubt_requests: 22,
        pausing_requests: 23,
        sent_bytes: 24,
        pauses: 25,
        enqueue_seconds: one_of(&[(0, 3), (14, 1)], 1_000_001),
        request_seconds: one_of(&[(2, 26)], 7),
        delivery_seconds: one_of(&[(13, 27)], 28_000_000),
        answered_ms: Some(29_000),
        accepted_ms: Some(30_000),
        store_unreadable: true,
        damage_unacknowledged: 29,
    }
}

fn one_of(buckets: &[(usize, u64)], sum_us: u64) -> Histogram {
    let mut histogram = Histogram {
        sum_us,
        ..Histogram::default()
    };
    for (bucket, count) in buckets {
        histogram.counts[*bucket] = *count;
    }
    histogram
}

/// A reader of Prometheus' text format, as strict as Prometheus about what it reads.
#[derive(Debug, Default)]
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, BTreeMap<String, String>), String>,
}

impl Scrape {
    fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'));
        let mut scrape = Self::default();
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (metric, words) = help.split_once(' ').expect("a name and words");
                assert!(
                    words.ends_with('.') && helped.insert(metric.to_owned()),
                    "{line}"
                );
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (metric, kind) = kind.split_once(' ').expect("a name and a type");
                assert!(helped.contains(metric), "{line}");
                let earlier = scrape.kinds.insert(metric.to_owned(), kind.to_owned());
                assert_eq!(earlier, None, "{line}");
            } else {
                scrape.read_sample(line);
            }
        }
        scrape
    }

    fn read_sample(&mut self, line: &str) {
        let name_end = line.find(['{', ' ']).expect("a value");
        let (metric, mut rest) = line.split_at(name_end);
        let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|part| {
            let whole = metric.strip_suffix(part);
            whole.is_some_and(|whole| {
                self.kinds
                    .get(whole)
                    .is_some_and(|kind| kind == "histogram")
            })
        });
        assert!(of_histogram || self.kinds.contains_key(metric), "{line}");
        let mut labels = BTreeMap::new();
        if rest.starts_with('{') {
            loop {
                let (name, after) = rest[1..].split_once("=\"").expect("a label");
                let (value, after) = label_value(after);
                assert_eq!(labels.insert(name.to_owned(), value), None, "{line}");
                rest = after;
                if let Some(after) = rest.strip_prefix('}') {
                    rest = after;
                    break;
                }
                assert!(rest.starts_with(','), "{line}");
            }
        }
        let value = rest.strip_prefix(' ').expect("a space");
        value.parse::<f64>().expect("a number");
        let key = (metric.to_owned(), labels);
        assert_eq!(self.samples.insert(key, value.to_owned()), None, "{line}");
    }

    fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<&str> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let key = (metric.to_owned(), labels.iter().map(owned).collect());
        self.samples.get(&key).map(String::as_str)
    }
}

/// The text before the closing quote, unescaped, and what follows the quote.
fn label_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("an escape").1 {
                'n' => value.push('\n'),
                plain @ ('\\' | '"') => value.push(plain),
                other => panic!("\\{other} is no escape"),
            },
            plain => value.push(plain),
        }
    }
    panic!("no closing quote in {text}");
}

#[test]
fn the_json_of_the_statistics_has_every_field_by_its_name() {
    let mut read: serde_json::Value = serde_json::from_str(&paused().to_json()).unwrap();
    let members = read.as_object_mut().unwrap();
    let histograms = ["enqueue_seconds", "request_seconds", "delivery_seconds"]
        .map(|member| members.remove(member).unwrap());
    let shown = histograms.map(|histogram| {
        let parts = ["count", "sum"].map(|part| histogram[part].as_f64().unwrap());
        let buckets = histogram["buckets"].as_object().unwrap();
        assert_eq!(buckets.len(), histogram::BUCKETS);
        assert_eq!(buckets["+Inf"], histogram["count"]);
        parts
    });
    assert_eq!(shown, [[4.0, 1.000_001], [26.0, 0.000_007], [27.0, 28.0]]);
    assert_eq!(
        read,
        json!({
            "enqueued": 1, "delivered": 2, "rejected": 3, "expired": 4,
            "pending": u64::MAX, "in_doubt": 6, "requests": 7, "retried_requests": 8,
            "refused_requests": 9, "isolation_requests": 10,
            "paused": "mass_rejection", "paused_since_ms": 1_722_956_645_007_i64,
            "next_probe_ms": -1, "journal_bytes": 14, "segments": 15, "damaged_records": 16,
            "oldest_pending_ms": 1_722_956_645_000_i64, "sender_seen_ms": 0, "sender_pid": 4242,
            "torn_tails": 17, "lost": 18, "delivered_requests": 19, "too_large_requests": 20,
            "postponed_requests": 21, "in_doubt_requests": 22, "pausing_requests": 23,
            "sent_bytes": 24, "pauses": 25, "answered_ms": 29_000, "accepted_ms": 30_000,
            "store_unreadable": true, "damage_unacknowledged": 29,
        })
    );
    let members = read.as_object().unwrap().keys();
    for member in members {
        // A field that the struct gains without a figure would be missing here.
        assert!(
            format!("{:?}", paused()).contains(&format!("{member}: ")),
            "{member}"
        );
    }
    let shown = format!("{:?}", paused());
    let nested = shown.matches("counts: ").count() + shown.matches("sum_us: ").count();
    let fields = shown.matches(": ").count() - nested;
    assert_eq!(fields, read.as_object().unwrap().len() + 3);
}

#[test]
fn a_figure_that_is_none_is_null_in_json_and_has_no_prometheus_sample() {
    let read: serde_json::Value = serde_json::from_str(&Stats::default().to_json()).unwrap();
    let scrape = Scrape::read(&Stats::default().to_prometheus());
    for member in [
        "paused",
        "paused_since_ms",
        "next_probe_ms",
        "oldest_pending_ms",
        "sender_seen_ms",
        "sender_pid",
        "answered_ms",
        "accepted_ms",
    ] {
        assert_eq!(read[member], serde_json::Value::Null, "{member}");
    }
    assert!(
        !scrape
            .samples
            .keys()
            .any(|(metric, _)| metric.ends_with("_timestamp_seconds"))
    );
    assert!(
        !scrape
            .samples
            .keys()
            .any(|(metric, _)| metric.ends_with("_info"))
    );
    for reason in PauseReason::ALL {
        let value = scrape.value("meditopia_paused", &[("reason", reason.name())]);
        assert_eq!(value, Some("0"));
    }
}

#[test]
fn every_figure_has_a_prometheus_sample_in_its_base_unit() {
    let scrape = Scrape::read(&paused().to_prometheus());
    for (metric, value) in [
        ("meditopia_events_enqueued_total", "1"),
        ("meditopia_events_delivered_total", "2"),
        ("meditopia_events_rejected_total", "3"),
        ("meditopia_events_expired_total", "4"),
        ("meditopia_events_pending", "18446744073709551615"),
        ("meditopia_events_in_doubt", "6"),
        ("meditopia_requests_total", "7"),
        ("meditopia_requests_retried_total", "8"),
        ("meditopia_requests_refused_total", "9"),
        ("meditopia_requests_isolation_total", "10"),
        ("meditopia_paused_since_timestamp_seconds", "1722956645.007"),
        ("meditopia_next_probe_timestamp_seconds", "-0.001"),
        ("meditopia_journal_bytes", "14"),
        ("meditopia_journal_segments", "15"),
        ("meditopia_journal_damaged_records_total", "16"),
        (
            "meditopia_oldest_pending_timestamp_seconds",
            "1722956645.000",
        ),
        ("meditopia_sender_seen_timestamp_seconds", "0.000"),
        ("meditopia_journal_torn_tails_total", "17"),
        ("meditopia_events_lost_total", "18"),
        ("meditopia_request_sent_bytes_total", "24"),
        ("meditopia_pauses_total", "25"),
        ("meditopia_api_answered_timestamp_seconds", "29.000"),
        ("meditopia_events_accepted_timestamp_seconds", "30.000"),
        ("meditopia_store_unreadable", "1"),
        ("meditopia_damage_unacknowledged", "29"),
    ] {
        assert_eq!(scrape.value(metric, &[]), Some(value), "{metric}");
        let counts = scrape.kinds[metric] == "counter";
        assert_eq!(counts, metric.ends_with("_total"), "{metric}");
    }
    assert_eq!(
        scrape.value("meditopia_sender_info", &[("pid", "4242")]),
        Some("1")
    );
    for reason in PauseReason::ALL {
        let is = if reason == PauseReason::MassRejection {
            "1"
        } else {
            "0"
        };
        let value = scrape.value("meditopia_paused", &[("reason", reason.name())]);
        assert_eq!(value, Some(is));
    }
    assert_eq!(scrape.kinds.len(), 31);
}

#[test]
fn prometheus_samples_have_verdicts_as_labels_and_histograms_as_cumulative_buckets() {
    let scrape = Scrape::read(&paused().to_prometheus_with(&[("spool", "s")]));
    let value = |metric, label| scrape.value(metric, &[("spool", "s"), label]);
    for (verdict, count) in [
        ("delivered", "19"),
        ("refused", "9"),
        ("too_large", "20"),
        ("retry", "21"),
        ("in_doubt", "22"),
        ("pause", "23"),
    ] {
        let found = value("meditopia_request_verdicts_total", ("verdict", verdict));
        assert_eq!(found, Some(count), "{verdict}");
    }
    for (le, count) in [("0.0000005", "3"), ("1", "3"), ("+Inf", "4")] {
        let found = value("meditopia_enqueue_duration_seconds_bucket", ("le", le));
        assert_eq!(found, Some(count), "{le}");
    }
    for (le, count) in [
        ("0.0025", "0"),
        ("0.005", "26"),
        ("30", "26"),
        ("+Inf", "26"),
    ] {
        let found = value("meditopia_request_duration_seconds_bucket", ("le", le));
        assert_eq!(found, Some(count), "{le}");
    }
    let spool = [("spool", "s")];
    for (metric, value) in [
        ("meditopia_enqueue_duration_seconds_sum", "1.000001"),
        ("meditopia_enqueue_duration_seconds_count", "4"),
        ("meditopia_delivery_duration_seconds_sum", "28.000000"),
        ("meditopia_delivery_duration_seconds_count", "27"),
    ] {
        assert_eq!(scrape.value(metric, &spool), Some(value), "{metric}");
    }
}

#[test]
fn prometheus_labels_with_any_text_are_escaped_so_that_they_read_back() {
    let labels = [("spool", "/var/\"a\\n\"\n\u{e9}{},="), ("account", "")];
    let scrape = Scrape::read(&paused().to_prometheus_with(&labels));
    assert_eq!(scrape.value("meditopia_requests_total", &labels), Some("7"));
    let hold = [labels[0], labels[1], ("reason", "hold")];
    assert_eq!(scrape.value("meditopia_paused", &hold), Some("0"));
}
