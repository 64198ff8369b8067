//! Which of the shipped alerts fire, as promtool computes it from what `/metrics` answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meditopia_testkit::repository_path;

/// How many minutes of the state before the fault the rules are shown.
const MINUTES_BEFORE: u64 = 10;

/// What `/metrics` answered at a moment.
#[derive(Clone)]
pub struct Scrape {
    at_s: f64,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    pub fn of(text: &str) -> Self {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.rsplit_once(' ') {
                series.insert(name.to_owned(), value.parse().unwrap());
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            at_s: now.as_secs_f64(),
            series,
        }
    }

    /// The service does not answer: Prometheus knows only that.
    pub fn of_nobody() -> Self {
        Self::of("")
    }

    /// The sample of a metric that has one for this spool.
    pub fn sample(&self, metric: &str) -> Option<f64> {
        let labelled = format!("{metric}{{");
        let mut series = self.series.iter();
        let found = series.find(|(name, _)| *name == metric || name.starts_with(&labelled));
        found.map(|(_, value)| *value)
    }
}

/// A sender that was seen so lately goes on being seen.
const SEEN_LATELY_S: f64 = 5.0;

/// The alerts that fire if what `now` shows stays so for `after`.
pub fn firing(before: &Scrape, now: &Scrape, after: Duration) -> Vec<String> {
    let rules = repository_path("bindings/prometheus/meditopia.rules.yml");
    let rules = rules.display();
    let names = alert_names();
    let minutes = after.as_secs() / 60;
    let mut text = format!(
        "rule_files: [{rules}]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n"
    );
    let up = u8::from(!now.series.is_empty());
    let _ = writeln!(
        text,
        "      - series: 'up{{job=\"meditopia\",instance=\"a\"}}'\n        values: '1x{} {up}x{minutes}'",
        MINUTES_BEFORE - 1
    );
    let all = before.series.keys().chain(now.series.keys());
    let all: BTreeSet<_> = all.collect();
    for name in all {
        let is_time = name.contains("_timestamp_seconds");
        let shown = |scrape: &Scrape| {
            let value = *scrape.series.get(name)?;
            Some(match is_time {
                true => value - scrape.at_s + (MINUTES_BEFORE * 60) as f64,
                false => value,
            })
        };
        let part = |value: Option<f64>, step: u64, samples: u64| match value {
            Some(value) => format!("{value}+{step}x{}", samples - 1),
            None => format!("_x{samples}"),
        };
        let is_lately = |at: &f64| now.at_s - at < SEEN_LATELY_S;
        let moves = name.contains("sender_seen") && now.series.get(name).is_some_and(is_lately);
        let _ = writeln!(
            text,
            "      - series: '{}'\n        values: '{} {}'",
            labelled(name),
            part(shown(before), 0, MINUTES_BEFORE),
            part(shown(now), if moves { 60 } else { 0 }, minutes + 1)
        );
    }
    text += "    alert_rule_test:\n";
    for name in &names {
        let at = MINUTES_BEFORE + minutes;
        let _ = writeln!(text, "      - {{alertname: {name}, eval_time: {at}m}}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.yml");
    fs::write(&file, &text).unwrap();
    let output = Command::new("promtool")
        .args(["test", "rules"])
        .arg(&file)
        .output()
        .expect("promtool runs; .ci/setup installs it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let fires = |name: &String| said.contains(&format!("alertname: {name},"));
    let firing: Vec<_> = names.into_iter().filter(fires).collect();
    // Whatever else is wrong must not look like an alert that is silent.
    assert_eq!(output.status.success(), firing.is_empty(), "{said}\n{text}");
    firing
}

fn alert_names() -> Vec<String> {
    let rules = fs::read_to_string(repository_path("bindings/prometheus/meditopia.rules.yml"));
    let rules = rules.unwrap();
    let alert = |line: &str| Some(line.trim().strip_prefix("- alert: ")?.to_owned());
    rules.lines().filter_map(alert).collect()
}

/// The series with the labels that Prometheus adds.
fn labelled(series: &str) -> String {
    let own = "job=\"meditopia\",instance=\"a\"";
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{own},{labels}"),
        None => format!("{series}{{{own}}}"),
    }
}
