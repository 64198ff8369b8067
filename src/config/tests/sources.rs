//! Options from the environment and from a file.

use super::*;

fn vars<'a>(pairs: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
}

#[test]
fn the_environment_sets_options_and_its_unknown_variables_only_warn() {
    let mut config = Config::new();
    config
        .load_env(vars(&[
            ("PATH", "/bin"),
            ("MEDITOPIA_SPOOL", "/spool"),
            ("MEDITOPIA_BATCH_MAX", "7"),
            ("MEDITOPIA_BATCH_MAXX", "8"),
            ("MEDITOPIA_lanes", "9"),
            ("MEDITOPIA_COLOUR", "red"),
            // The packages for other languages read it.
            ("MEDITOPIA_LIBRARY", "/lib/libmeditopia.so"),
            // The command reads it, for a fleet.
            ("MEDITOPIA_STORE", "postgres://db/shop"),
        ]))
        .unwrap();
    assert_eq!(config.get("spool").unwrap(), "/spool");
    assert_eq!(config.get("batch_max").unwrap(), "7");
    assert_eq!(config.get("lanes").unwrap(), "1");
    assert_eq!(
        config.warnings(),
        [
            r#"MEDITOPIA_BATCH_MAXX: is not an option and was ignored; did you mean "MEDITOPIA_BATCH_MAX"?"#,
            r#"MEDITOPIA_lanes: is not an option and was ignored; did you mean "MEDITOPIA_LANES"?"#,
            "MEDITOPIA_COLOUR: is not an option and was ignored",
        ]
    );
}

#[test]
fn the_error_about_a_bad_variable_names_it_and_no_variable_is_set() {
    let mut config = Config::new();
    let loaded = config.load_env(vars(&[
        ("MEDITOPIA_SPOOL", "/spool"),
        ("MEDITOPIA_COLOUR", "red"),
        ("MEDITOPIA_LANES", "17"),
    ]));
    assert_eq!(
        message(loaded),
        r#"MEDITOPIA_LANES: "17" is not a whole number from 1 to 16"#
    );
    assert_eq!(config.get("spool").unwrap(), "");
    assert!(config.warnings().is_empty());
}

#[test]
fn only_variables_with_the_prefix_of_the_library_have_to_be_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(b"\xFF".to_vec());
    assert_eq!(our_variable("LANG".into(), broken()).unwrap(), None);
    assert_eq!(our_variable(broken(), broken()).unwrap(), None);
    let ours = our_variable("MEDITOPIA_SPOOL".into(), broken());
    assert_eq!(message(ours), "MEDITOPIA_SPOOL: is not UTF-8");
    Config::new().load_process_env().unwrap();
}

#[test]
fn a_file_sets_options_and_its_unknown_keys_only_warn() {
    let file = file("spool = \"/spool\"\nlanes = 2\nallow_network_spool = true\nlane = [1]\n");
    let mut config = Config::new();
    config.load_file(file.path()).unwrap();
    let settings = config.settings().unwrap();
    assert_eq!((settings.lanes, settings.allow_network_spool), (2, true));
    assert_eq!(config.warnings().len(), 1);
    let warning = &config.warnings()[0];
    assert!(
        warning.starts_with(&file.path().display().to_string()),
        "{warning}"
    );
    assert!(
        warning.ends_with(r#""lane": is not an option and was ignored; did you mean "lanes"?"#),
        "{warning}"
    );
}

#[test]
fn the_error_about_a_bad_file_names_file_and_place_and_no_option_is_set() {
    for (text, words) in [
        (
            "account = \"x\"\nlanes = 17",
            r#"lanes: "17" is not a whole number"#,
        ),
        ("account = \"x\"\nlanes = 1.5", "lanes: is of type float"),
        ("account = \"x\"\nlanes = [1]", "lanes: is of type array"),
        ("account = \"x\"\nlanes", "line 2: "),
        ("account = \"x\"\naccount = \"y\"", "line 2: "),
    ] {
        let file = file(text);
        let mut config = Config::new();
        let message = message(config.load_file(file.path()));
        assert!(message.contains(words), "{message}");
        assert!(
            message.starts_with(&file.path().display().to_string()),
            "{message}"
        );
        assert_eq!(config.get("account").unwrap(), "");
    }
    let missing = message(Config::new().load_file("/does/not/exist.toml"));
    assert!(missing.starts_with("/does/not/exist.toml: "), "{missing}");
}

#[test]
fn the_error_about_a_broken_file_never_shows_the_bearer_token_in_it() {
    for text in [
        "bearer_token = s3cr3t",
        "bearer_token = \"s3cr3t",
        "bearer_token = 's3cr3t\n'",
        "bearer_token = \"\\s3cr3t\"",
        "bearer_token = [\"s3cr3t\"]",
        "bearer_token s3cr3t",
        "bearer_token = \"s3cr3t\" s3cr3t",
        "bearer_token = \"s3cr3t\"\nbearer_token = \"s3cr3t\"",
        "bearer_token = \"s3cr3t s3cr3t\"",
        "s3cr3t",
    ] {
        let file = file(text);
        let message = message(Config::new().load_file(file.path()));
        assert!(!message.contains("s3cr3t"), "{message}");
    }
}

#[test]
fn what_the_command_reads_for_a_fleet_is_passed_over_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(
        &file,
        "lanes = 2\nstore = \"postgres://db/shop\"\nrelay_name = \"a\"\n",
    )
    .unwrap();
    let mut config = Config::new();
    config.load_file(&file).unwrap();
    assert_eq!(config.get("lanes").unwrap(), "2");
    assert!(config.warnings().is_empty());
}
