//! The shared library as a linker sees it: it exports the functions of the header and nothing else,
//! has a soname, is never unmapped, and needs nothing but the C library.

use std::path::PathBuf;
use std::process::Command;

use meditopia_testkit::process::stdout_of;
use meditopia_testkit::{built_library, repository_path};

/// The libraries that every Linux system with this C library has.
const EVERYWHERE: [&str; 6] = [
    "ld-linux",
    "libc.so",
    "libdl.so",
    "libm.so",
    "libpthread.so",
    "librt.so",
];

fn library() -> PathBuf {
    built_library("libmeditopia.so")
}

/// The values of one kind of entry in the library's dynamic section.
fn dynamic_entries(kind: &str) -> Vec<String> {
    stdout_of(Command::new("readelf").args(["-d", "-W"]).arg(library()))
        .lines()
        .filter(|line| line.contains(&format!("({kind})")))
        .map(|line| {
            line.rsplit(": ")
                .next()
                .unwrap_or_default()
                .trim_matches(['[', ']'])
                .to_owned()
        })
        .collect()
}

#[test]
fn the_library_exports_exactly_the_functions_of_the_header() {
    let mut exported: Vec<String> = stdout_of(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=just-symbols"])
            .arg(library()),
    )
    .lines()
    .map(str::to_owned)
    .collect();
    let mut declared = declared_functions(include_str!("../../include/meditopia_ffi.h"));
    exported.sort();
    declared.sort();
    assert_eq!(exported, declared);
}

/// The names of the functions in the text of `meditopia_ffi.h`, which has one comment, at its top.
fn declared_functions(header: &str) -> Vec<String> {
    let (_, declarations) = header.split_once("*/").unwrap();
    declarations
        .split(';')
        .map(str::trim)
        .filter(|declaration| !declaration.starts_with("typedef"))
        .filter_map(|declaration| declaration.split_once('('))
        .map(|(before, _)| before.rsplit([' ', '*', '\n']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_library_has_its_major_version_in_its_soname_and_stays_mapped() {
    assert_eq!(dynamic_entries("SONAME"), ["libmeditopia.so.0"]);
    let flags = dynamic_entries("FLAGS_1").join(" ");
    assert!(flags.contains("NODELETE"), "{flags}");
}

#[test]
fn the_library_needs_nothing_but_the_c_library() {
    let needed = dynamic_entries("NEEDED");
    assert!(!needed.is_empty());
    for name in needed {
        assert!(
            EVERYWHERE.iter().any(|known| name.starts_with(known)),
            "it needs {name}"
        );
    }
    for line in stdout_of(Command::new("ldd").arg(library())).lines() {
        let path = line.split_whitespace().next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let known = name.starts_with("linux-vdso")
            || name.starts_with("linux-gate")
            || EVERYWHERE.iter().any(|known| name.starts_with(known));
        assert!(known, "it loads {line}");
    }
}

#[test]
fn functions_and_constants_of_the_library_stay_valid_after_dlclose() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("dlclose");
    stdout_of(
        Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(repository_path("include"))
            .arg("-o")
            .arg(&program)
            .arg(repository_path("tests/c/dlclose.c"))
            .arg("-ldl"),
    );
    stdout_of(Command::new(&program).arg(library()));
}

#[test]
fn a_program_linked_with_the_library_needs_it_by_its_soname() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("quickstart");
    stdout_of(
        Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
            .arg(repository_path("include"))
            .arg("-o")
            .arg(&program)
            .arg(repository_path("bindings/c/quickstart.c"))
            .arg(library()),
    );
    let needs = stdout_of(Command::new("readelf").args(["-d", "-W"]).arg(&program));
    assert!(needs.contains("[libmeditopia.so.0]"), "{needs}");
}
