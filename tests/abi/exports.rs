//! The shared library as a linker sees it: it exports the functions of the header and nothing else,
//! has a soname, is never unmapped, and needs nothing but the C library.
//!
//! Cargo builds the library into the directory of this test.

use std::path::PathBuf;
use std::process::Command;

/// The libraries that every Linux system with this C library has.
const EVERYWHERE: [&str; 7] = [
    "ld-linux",
    "libc.so",
    "libdl.so",
    "libgcc_s.so",
    "libm.so",
    "libpthread.so",
    "librt.so",
];

fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let beside = test.parent().expect("this test is in a directory");
    let library = beside.join("libmeditopia.so");
    assert!(library.exists(), "{} is not built", library.display());
    library
}

fn in_crate(path: &str) -> PathBuf {
    meditopia_testkit::repository_root().join(path)
}

/// The output of `command`, which has to succeed.
fn output_of(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|cause| panic!("{command:?}: {cause}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The values of one kind of entry in the library's dynamic section.
fn dynamic_entries(kind: &str) -> Vec<String> {
    output_of(Command::new("readelf").args(["-d", "-W"]).arg(library()))
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
    let mut exported: Vec<String> = output_of(
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
    for line in output_of(Command::new("ldd").arg(library())).lines() {
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
    output_of(
        Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(in_crate("include"))
            .arg("-o")
            .arg(&program)
            .arg(in_crate("tests/c/dlclose.c"))
            .arg("-ldl"),
    );
    output_of(Command::new(&program).arg(library()));
}

#[test]
fn a_program_linked_with_the_library_needs_it_by_its_soname() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("quickstart");
    output_of(
        Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
            .arg(in_crate("include"))
            .arg("-o")
            .arg(&program)
            .arg(in_crate("bindings/c/quickstart.c"))
            .arg(library()),
    );
    let needs = output_of(Command::new("readelf").args(["-d", "-W"]).arg(&program));
    assert!(needs.contains("[libmeditopia.so.0]"), "{needs}");
}
