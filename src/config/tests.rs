use std::ffi::OsString;
use std::path::Path;

use super::load::our_variable;
use super::*;
use proptest::prelude::*;

mod sources;

fn message<T>(result: Result<T>) -> String {
    let error = result.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    error.message().to_owned()
}

fn with(pairs: &[(&str, &str)]) -> Settings {
    let mut config = Config::new();
    config.set("spool", "/spool").unwrap();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config.settings().unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn an_option_that_nothing_set_has_its_documented_default() {
    for doc in reference().filter(|doc| !doc.is_secret()) {
        assert_eq!(Config::new().get(doc.key).unwrap(), doc.default);
    }
    let settings = with(&[]);
    assert_eq!(
        settings.endpoint.as_str(),
        "https://partners.meditopia.com/default/v1/events"
    );
    assert_eq!(settings.spool, Some(PathBuf::from("/spool")));
    assert_eq!(settings.durability, Durability::Process);
    assert_eq!(settings.role, Role::Both);
    assert_eq!(settings.flush_interval, Duration::from_secs(10));
    assert_eq!((settings.batch_max, settings.lanes), (100, 1));
    assert_eq!(settings.connect_timeout, Duration::from_secs(10));
    assert_eq!(settings.request_timeout, Duration::from_secs(30));
    assert_eq!(settings.rules(), crate::event::Rules::default());
    assert_eq!(settings.brake_users, NonZeroU32::new(20));
    assert_eq!(settings.log_level, Some(Level::Info));
    assert!(matches!(settings.bearer_token, TokenSource::Absent));
    assert!(settings.proxy.is_none() && settings.ca_file.is_none());
    assert!(settings.max_spool_bytes.is_none() && settings.event_ttl.is_none());
    assert!(settings.max_requests_per_s.is_none() && !settings.allow_network_spool);
    assert!(!settings.trust_group);
}

/// For each option: values that are accepted, and values that are not.
const VALUES: [(&str, &[&str], &[&str]); 24] = [
    (
        "endpoint",
        &["http://localhost:1/"],
        &["", "http://example.com/"],
    ),
    ("account", &["", "shop \u{e9}"], &["a\nb", "a\0b"]),
    ("bearer_token", &["", "abc.DEF-1_2=="], &["a b", "\u{e9}"]),
    ("bearer_token_file", &["", "t", "/t"], &["a\0b"]),
    ("spool", &["", "s", "/s"], &["a\0b"]),
    (
        "durability",
        &["process", "power", "memory"],
        &["", "Power", "disk"],
    ),
    ("role", &["both", "enqueue"], &["", "forward"]),
    (
        "flush_interval_ms",
        &["10", "86400000"],
        &["", "9", "86400001"],
    ),
    (
        "batch_max",
        &["1", "100"],
        &["", "0", "101", "+5", "-1", "1.0", " 1"],
    ),
    ("lanes", &["1", "16"], &["0", "17"]),
    ("connect_timeout_ms", &["10", "3600000"], &["0", "3600001"]),
    ("request_timeout_ms", &["10", "3600000"], &["0", "3600001"]),
    ("proxy", &["", "http://u:p@proxy:3128"], &["proxy:3128"]),
    ("ca_file", &["", "/ca.pem"], &["a\0b"]),
    (
        "max_spool_bytes",
        &["0", "9223372036854775807"],
        &["-1", "9223372036854775808"],
    ),
    ("max_event_bytes", &["256", "1048576"], &["255", "1048577"]),
    ("utc_offset", &["-18:00", "+18:00"], &["", "+18:01", "3"]),
    ("event_ttl_s", &["0", "86400"], &["-1", "99999999999"]),
    ("max_requests_per_s", &["0", "10000"], &["10001"]),
    ("brake_users", &["0", "1000000"], &["1000001"]),
    ("receipts_days", &["0", "3650"], &["-1", "3651"]),
    (
        "log_level",
        &["off", "error", "warn", "info", "debug"],
        &["", "trace"],
    ),
    ("allow_network_spool", &["true", "false"], &["", "1", "yes"]),
    ("trust_group", &["true", "false"], &["", "1", "no"]),
];

#[test]
fn each_option_accepts_the_values_of_its_range_and_a_refused_value_changes_nothing() {
    assert!(
        reference()
            .map(|doc| doc.key)
            .eq(VALUES.map(|(key, ..)| key))
    );
    for (key, good, bad) in VALUES {
        for value in good {
            let mut config = Config::new();
            config.set("spool", "/spool").unwrap();
            config
                .set(key, value)
                .unwrap_or_else(|error| panic!("{error}"));
            if key != "spool" {
                config.settings().unwrap_or_else(|error| panic!("{error}"));
            }
            for bad in bad {
                let message = message(config.set(key, bad));
                assert!(
                    message.starts_with(&format!("config: {key}: ")),
                    "{message}"
                );
                assert_eq!(config.text(key).unwrap(), *value);
            }
        }
    }
}

#[test]
fn the_error_about_a_value_out_of_range_says_what_the_range_is() {
    let mut config = Config::new();
    assert_eq!(
        message(config.set("batch_max", "101")),
        r#"config: batch_max: "101" is not a whole number from 1 to 100"#
    );
    assert_eq!(
        message(config.set("durability", "disk")),
        r#"config: durability: "disk" is not process, power or memory"#
    );
}

#[test]
fn the_error_about_an_unknown_key_names_the_most_similar_key() {
    assert_eq!(
        message(Config::new().set("flush_intervall_ms", "1")),
        r#"config: unknown key "flush_intervall_ms"; did you mean "flush_interval_ms"?"#
    );
    assert_eq!(
        message(Config::new().get("colour")),
        r#"config: unknown key "colour""#
    );
}

#[test]
fn an_option_of_zero_is_off_in_the_settings_and_a_time_becomes_a_duration() {
    let settings = with(&[
        ("brake_users", "0"),
        ("event_ttl_s", "60"),
        ("receipts_days", "0"),
        ("flush_interval_ms", "1500"),
        ("log_level", "off"),
        ("lanes", "4"),
        ("role", "enqueue"),
        ("utc_offset", "+03:00"),
        ("allow_network_spool", "true"),
        ("trust_group", "true"),
    ]);
    assert_eq!(settings.brake_users, None);
    assert_eq!(settings.receipts_kept, None);
    assert_eq!(settings.event_ttl, Some(Duration::from_secs(60)));
    assert_eq!(settings.flush_interval, Duration::from_millis(1500));
    assert_eq!(settings.log_level, None);
    assert_eq!((settings.lanes, settings.role), (4, Role::Enqueue));
    assert_eq!(settings.rules().utc_offset.seconds(), 10_800);
    assert!(settings.allow_network_spool && settings.trust_group);
}

#[test]
fn a_spool_is_required_unless_the_durability_is_memory() {
    let mut config = Config::new();
    assert!(message(config.settings()).contains("spool: is required"));
    config.set("durability", "memory").unwrap();
    assert_eq!(config.settings().unwrap().spool, None);
    config.set("spool", "/spool").unwrap();
    assert_eq!(config.settings().unwrap().spool, None);
}

#[test]
fn the_error_about_a_missing_spool_shows_the_misspelt_key_that_was_ignored() {
    let mut config = Config::new();
    config
        .load_env([("MEDITOPIA_SPOL".into(), "/spool".into())])
        .unwrap();
    let message = message(config.settings());
    assert!(message.contains("spool: is required"), "{message}");
    assert!(
        message.contains("did you mean \"MEDITOPIA_SPOOL\"?"),
        "{message}"
    );
}

#[test]
fn relative_paths_are_made_absolute_by_the_working_directory_of_the_process() {
    let settings = with(&[("spool", "s"), ("ca_file", "ca.pem")]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(settings.spool, Some(here.join("s")));
    assert_eq!(settings.ca_file, Some(here.join("ca.pem")));
}

#[test]
fn a_later_set_wins_and_an_empty_value_unsets_an_option() {
    let mut config = Config::new();
    config.set("account", "one").unwrap();
    config.set("account", "two").unwrap();
    assert_eq!(config.get("account").unwrap(), "two");
    config.set("account", "").unwrap();
    assert_eq!(config.get("account").unwrap(), "");
}

#[test]
fn a_bearer_token_file_takes_precedence_over_a_bearer_token() {
    let given = with(&[("bearer_token", "s3cr3t")]);
    let token = given.bearer_token.read().unwrap().unwrap();
    assert_eq!(token.expose(), "s3cr3t");
    let from_file = with(&[("bearer_token", "s3cr3t"), ("bearer_token_file", "/t")]);
    assert_eq!(from_file.bearer_token.file(), Some(Path::new("/t")));
    assert!(!format!("{from_file:?}").contains("s3cr3t"));
}

#[test]
fn a_secret_option_cannot_be_read_back_and_is_not_printed() {
    let mut config = Config::new();
    config.set("spool", "/spool").unwrap();
    config.set("bearer_token", "s3cr3t").unwrap();
    config.set("proxy", "http://u:s3cr3t@proxy").unwrap();
    for key in ["bearer_token", "proxy"] {
        assert!(message(config.get(key)).contains("is a secret"));
    }
    assert!(!format!("{config:?}").contains("s3cr3t"));
    assert!(!format!("{:?}", config.settings().unwrap()).contains("s3cr3t"));
    for (key, bad) in [
        ("bearer_token", "s3cr3t s3cr3t"),
        ("proxy", "u:s3cr3t@proxy"),
        ("endpoint", "https://u:s3cr3t@host"),
    ] {
        assert!(!message(config.set(key, bad)).contains("s3cr3t"));
    }
}

#[test]
fn two_clients_of_one_spool_conflict_about_every_option_but_the_bearer_token() {
    let base = [
        ("bearer_token_file", "/t"),
        ("brake_users", "5"),
        ("lanes", "3"),
    ];
    assert_eq!(conflict(&with(&base), &with(&base)), None);
    for (key, value) in [
        ("endpoint", "https://example.com/"),
        ("account", "x"),
        ("bearer_token_file", "/u"),
        ("spool", "/other"),
        ("durability", "power"),
        ("role", "enqueue"),
        ("flush_interval_ms", "11"),
        ("batch_max", "11"),
        ("lanes", "11"),
        ("connect_timeout_ms", "11"),
        ("request_timeout_ms", "11"),
        ("proxy", "http://proxy"),
        ("ca_file", "/ca"),
        ("max_spool_bytes", "11"),
        ("max_event_bytes", "1111"),
        ("utc_offset", "+11:00"),
        ("event_ttl_s", "11"),
        ("max_requests_per_s", "11"),
        ("brake_users", "11"),
        ("receipts_days", "11"),
        ("log_level", "debug"),
        ("allow_network_spool", "true"),
        ("trust_group", "true"),
    ] {
        let other = with(&[base.as_slice(), &[(key, value)]].concat());
        assert_eq!(conflict(&with(&base), &other), Some(key));
    }
    let one = with(&[("bearer_token", "one")]);
    let two = with(&[("bearer_token", "two")]);
    assert_eq!(conflict(&one, &two), None);
    // A client that names no token file does not read the file of another client.
    let file = with(&[("bearer_token_file", "/t")]);
    assert_eq!(conflict(&one, &file), Some("bearer_token_file"));
    assert_eq!(conflict(&file, &one), None);
}

#[test]
fn the_markdown_of_the_options_is_a_table() {
    let table = markdown();
    for line in table.lines() {
        assert_eq!(line.matches('|').count(), 6, "{line}");
    }
    assert_eq!(table.lines().count(), 2 + reference().count());
    assert!(table.contains(
        "| `batch_max` | integer | `100` | a whole number from 1 to 100 | Maximum number of events in one request."
    ));
}

proptest! {
    #[test]
    fn settings_can_read_every_value_that_set_accepts(
        doc in proptest::sample::select(reference().collect::<Vec<_>>()),
        value in prop_oneof![any::<String>(), "[a-z0-9:/@.\\[\\]#?%-]{0,20}", "https?://[a-z0-9:/@.\\[\\]#?%-]{0,20}", "[+-]?[0-9]{1,20}"],
    ) {
        let mut config = Config::new();
        config.set("spool", "/spool").unwrap();
        if config.set(doc.key, &value).is_ok() && !(doc.key == "spool" && value.is_empty()) {
            config.settings().unwrap();
        }
    }
}
