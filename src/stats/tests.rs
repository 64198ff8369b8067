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
    }
}

/// A reader of Prometheus' text format, as strict as the real one about what it sees.
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
                    !words.is_empty() && helped.insert(metric.to_owned()),
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
        assert!(self.kinds.contains_key(metric), "{line}");
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
fn the_json_has_every_field_by_its_name() {
    let read: serde_json::Value = serde_json::from_str(&paused().to_json()).unwrap();
    assert_eq!(
        read,
        json!({
            "enqueued": 1, "delivered": 2, "rejected": 3, "expired": 4,
            "pending": u64::MAX, "in_doubt": 6, "requests": 7, "retried_requests": 8,
            "refused_requests": 9, "isolation_requests": 10,
            "paused": "mass_rejection", "paused_since_ms": 1_722_956_645_007_i64,
            "next_probe_ms": -1, "journal_bytes": 14, "segments": 15, "damaged_records": 16,
            "oldest_pending_ms": 1_722_956_645_000_i64, "sender_seen_ms": 0, "sender_pid": 4242,
            "torn_tails": 17, "lost": 18,
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
    let fields = format!("{:?}", paused()).matches(": ").count();
    assert_eq!(fields, read.as_object().unwrap().len());
}

#[test]
fn what_is_not_there_is_null_in_json_and_absent_for_prometheus() {
    let read: serde_json::Value = serde_json::from_str(&Stats::default().to_json()).unwrap();
    let scrape = Scrape::read(&Stats::default().to_prometheus());
    for member in [
        "paused",
        "paused_since_ms",
        "next_probe_ms",
        "oldest_pending_ms",
        "sender_seen_ms",
        "sender_pid",
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
fn prometheus_reads_every_figure_in_its_base_unit() {
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
    assert_eq!(scrape.kinds.len(), 21);
}

#[test]
fn labels_with_any_text_come_back() {
    let labels = [("spool", "/var/\"a\\n\"\n\u{e9}{},="), ("account", "")];
    let scrape = Scrape::read(&paused().to_prometheus_with(&labels));
    assert_eq!(scrape.value("meditopia_requests_total", &labels), Some("7"));
    let hold = [labels[0], labels[1], ("reason", "hold")];
    assert_eq!(scrape.value("meditopia_paused", &hold), Some("0"));
}
