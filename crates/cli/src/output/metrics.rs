//! Metrics that only the command knows, in Prometheus' text format, beside the statistics of the library.

use std::fmt::Display;

use meditopia::internals::stats::text::labels_text;

/// A metric: its name, what it says, and its value. One that is not known has no sample.
pub type Metric<'a> = (&'a str, &'a str, Option<String>);

/// These counters, each with `labels`.
pub fn counters(labels: &[(&str, &str)], counters: &[Metric<'_>]) -> String {
    print("counter", labels, counters)
}

/// These gauges, each with `labels`.
pub fn gauges(labels: &[(&str, &str)], gauges: &[Metric<'_>]) -> String {
    print("gauge", labels, gauges)
}

fn print(kind: &str, labels: &[(&str, &str)], metrics: &[Metric<'_>]) -> String {
    let labels = labels_text(labels.iter().copied());
    let mut text = String::new();
    for (name, help, value) in metrics {
        let Some(value) = value else { continue };
        text.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n"
        ));
    }
    text
}

/// The value of a number.
pub fn number(number: impl Display) -> Option<String> {
    Some(number.to_string())
}

/// The value of what is so or not.
pub fn flag(is_so: bool) -> Option<String> {
    number(u8::from(is_so))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_any_text_stays_on_its_line_and_what_is_not_known_has_no_sample() {
        let metrics = [("a", "One.", number(7)), ("b", "Two.", None)];
        assert_eq!(
            gauges(&[("spool", "/a\\b\n\"c\"")], &metrics),
            "# HELP a One.\n# TYPE a gauge\na{spool=\"/a\\\\b\\n\\\"c\\\"\"} 7\n"
        );
    }
}
