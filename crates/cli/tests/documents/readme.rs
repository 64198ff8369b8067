//! The README: its programs work, its table of options is that of the library, and the tests that it
//! names exist.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::{built_library, meditopia_command, repository_path};

const SONAME: &str = "libmeditopia.so.0";

fn readme() -> String {
    fs::read_to_string(repository_path("README.md")).unwrap()
}

/// The text between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}

/// Compiles the program of the README as `example` in `dir`, beside the library.
fn compile_example(dir: &Path) -> PathBuf {
    let readme = readme();
    let source = between(&readme, "```c\n", "```");
    let (example, program) = (dir.join("example.c"), dir.join("example"));
    fs::write(&example, source).unwrap();
    let compiled = Command::new("gcc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(repository_path("include"))
        .arg("-o")
        .args([&program, &example, &built_library("libmeditopia.so")])
        .output()
        .unwrap();
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    symlink(built_library("libmeditopia.so"), dir.join(SONAME)).unwrap();
    program
}

#[test]
fn the_program_in_the_readme_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile_example(dir.path());
    let api = Sandbox::start();
    let token = dir.path().join("token");
    fs::write(&token, api.token()).unwrap();
    let ran = Command::new(&program)
        .current_dir(dir.path())
        .env("LD_LIBRARY_PATH", dir.path())
        .env("MEDITOPIA_ENDPOINT", api.endpoint())
        .env("MEDITOPIA_BEARER_TOKEN_FILE", token)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "1 delivered, 0 rejected\n"
    );
    assert_eq!(api.events()[0].fields.partner_user_id, "user-1");
}

/// A command in a directory with the README's program, with `meditopia` in the PATH.
fn beside_the_example(dir: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    compile_example(dir);
    let meditopia = meditopia_command();
    let built = meditopia.parent().unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", built.display()))
        .env("LD_LIBRARY_PATH", dir)
        .stdin(std::process::Stdio::null());
    command
}

#[test]
fn the_pytest_fixture_of_the_readme_works() {
    let readme = readme();
    let dir = tempfile::tempdir().unwrap();
    for name in ["conftest.py", "test_example.py"] {
        let source = between(&readme, &format!("```python\n# {name}\n"), "```");
        fs::write(dir.path().join(name), source).unwrap();
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let pytest = target.join("venv/bin/pytest");
    assert!(pytest.exists(), "{}: run `make setup`", pytest.display());
    let ran = beside_the_example(dir.path(), pytest)
        .args(["-q", "-p", "no:cacheprovider"])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{printed}");
    assert!(printed.contains("2 passed"), "{printed}");
}

#[test]
fn the_shell_script_of_the_readme_works_and_leaves_nothing_running() {
    let readme = readme();
    let dir = tempfile::tempdir().unwrap();
    let script = between(&readme, "```sh\n#!/bin/sh\n", "```");
    // A sandbox that stayed would hold this test's end of standard error open, and `output` would
    // wait for it.
    let ran = beside_the_example(dir.path(), "sh")
        .args(["-c", script])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{ran:?}");
    assert!(
        printed.starts_with("1 delivered, 0 rejected\n{"),
        "{printed}"
    );
    let ledger: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(ledger["accepted_events"], 1);
    assert_eq!(ledger["by_status"]["503"], 1);
}

#[test]
fn the_readmes_table_of_options_is_that_of_the_library() {
    let readme = readme();
    let shown = between(&readme, "--test documents options -->\n", "<!-- end -->");
    let current = meditopia::internals::config::markdown();
    if std::env::var_os("UPDATE_README").is_some() {
        let updated = readme.replacen(shown, &current, 1);
        return fs::write(repository_path("README.md"), updated).unwrap();
    }
    assert_eq!(
        shown, current,
        "UPDATE_README=1 cargo test -p meditopia-cli --test documents options"
    );
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let readme = readme();
    assert_names_tests(between(&readme, "## What it promises", "## Configuration"));
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let guarantees = fs::read_to_string(repository_path("docs/guarantees.md")).unwrap();
    assert_names_tests(between(
        &guarantees,
        "## Processes",
        "## What is not promised",
    ));
}

#[test]
fn every_test_that_the_security_document_names_exists() {
    let security = fs::read_to_string(repository_path("SECURITY.md")).unwrap();
    let (_, tried) = security.split_once("## What was tried and held").unwrap();
    assert_names_tests(tried);
}

#[test]
fn every_test_that_the_document_of_field_reports_names_exists() {
    let field = fs::read_to_string(repository_path("tests/FIELD.md")).unwrap();
    let (_, rows) = field.split_once("## The process around").unwrap();
    assert_names_tests(rows);
}

fn assert_names_tests(text: &str) {
    let sources = sources(&["src", "tests", "crates", "bindings"]);
    let mut named = 0;
    for promise in text.split("\n").flat_map(|line| line.split('`')) {
        if promise.matches('_').count() < 3
            || promise.starts_with('_')
            || promise.contains(|c: char| c == ' ' || c.is_uppercase())
        {
            continue;
        }
        named += 1;
        // In Rust, Python and C++.
        let tests = ["fn ", "def ", "STORY("].map(|begins| format!("{begins}{promise}"));
        assert!(
            sources
                .iter()
                .any(|source| tests.iter().any(|test| source.contains(test))),
            "{promise}"
        );
    }
    assert!(named >= 20, "found only {named} names of tests");
}

fn sources(dirs: &[&str]) -> Vec<String> {
    let mut waiting: Vec<PathBuf> = dirs.iter().map(|dir| repository_path(dir)).collect();
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path
            .extension()
            .is_some_and(|name| ["rs", "py", "cpp"].iter().any(|of| name == *of))
        {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
    sources
}
