//! The README held to what it says: its program delivers, its table of options is the library's,
//! and the tests that it names exist.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use meditopia_testkit::sandbox::Sandbox;

const SONAME: &str = "libmeditopia.so.0";

fn in_crate(path: &str) -> PathBuf {
    meditopia_testkit::repository_root().join(path)
}

fn readme() -> String {
    fs::read_to_string(in_crate("README.md")).unwrap()
}

/// What stands between two marks, the first time.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}

/// Cargo has built the library next to this test.
fn library() -> PathBuf {
    std::env::current_exe()
        .unwrap()
        .with_file_name("libmeditopia.so")
}

/// Compiles the README's program as `example` in `dir`, with the library beside it.
fn compile_example(dir: &Path) -> PathBuf {
    let readme = readme();
    let source = between(&readme, "```c\n", "```");
    let (example, program) = (dir.join("example.c"), dir.join("example"));
    fs::write(&example, source).unwrap();
    let compiled = Command::new("gcc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(in_crate("include"))
        .arg("-o")
        .args([&program, &example, &library()])
        .output()
        .unwrap();
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    symlink(library(), dir.join(SONAME)).unwrap();
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

/// A command in a directory with the README's program, where `meditopia` is on the path.
fn beside_the_example(dir: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    compile_example(dir);
    let built = Path::new(env!("CARGO_BIN_EXE_meditopia")).parent().unwrap();
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
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("2 passed"), "{said}");
}

#[test]
fn the_shell_script_of_the_readme_works_and_leaves_nothing_running() {
    let readme = readme();
    let dir = tempfile::tempdir().unwrap();
    let script = between(&readme, "```sh\n#!/bin/sh\n", "```");
    // A sandbox that stayed would hold this test's end of standard error open, and `output` would wait for it.
    let ran = beside_the_example(dir.path(), "sh")
        .args(["-c", script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{ran:?}");
    assert!(said.starts_with("1 delivered, 0 rejected\n{"), "{said}");
    let ledger: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(ledger["accepted_events"], 1);
    assert_eq!(ledger["by_status"]["503"], 1);
}

#[test]
fn the_table_of_options_is_that_of_the_library() {
    let readme = readme();
    let shown = between(&readme, "--test documents options -->\n", "<!-- end -->");
    let current = meditopia::internals::config::markdown();
    if std::env::var_os("UPDATE_README").is_some() {
        let updated = readme.replacen(shown, &current, 1);
        return fs::write(in_crate("README.md"), updated).unwrap();
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
    let guarantees = fs::read_to_string(in_crate("docs/guarantees.md")).unwrap();
    assert_names_tests(between(
        &guarantees,
        "## Processes",
        "## What is not promised",
    ));
}

fn assert_names_tests(text: &str) {
    let sources = sources(&["src", "tests", "crates"]);
    let mut named = 0;
    for promise in text.split("\n").flat_map(|line| line.split('`')) {
        if promise.matches('_').count() < 3
            || promise.contains(|c: char| c == ' ' || c.is_uppercase())
        {
            continue;
        }
        named += 1;
        let test = format!("fn {promise}(");
        assert!(
            sources.iter().any(|source| source.contains(&test)),
            "{promise}"
        );
    }
    assert!(named >= 20, "found only {named} names of tests");
}

fn sources(dirs: &[&str]) -> Vec<String> {
    let mut waiting: Vec<PathBuf> = dirs.iter().map(|dir| in_crate(dir)).collect();
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|name| name == "rs") {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
    sources
}
