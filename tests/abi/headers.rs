//! The committed headers are what cbindgen makes of `src/ffi`, and compilers and FFI parsers accept
//! them.
//!
//! cbindgen is a dev-dependency, so that users build without it. It gets the files of the C API in
//! the order in which a reader wants the functions. After a change of `src/ffi`, run
//! `UPDATE_HEADERS=1 cargo test --test abi headers` and commit the headers with the change.

use std::process::Command;

use meditopia_testkit::repository_path;

/// The files of `src/ffi`, in the order of the header.
const SOURCES: [&str; 14] = [
    "version", "status", "error", "text", "config", "client", "enqueue", "report", "stats", "log",
    "cursor", "rejected", "receipts", "erasure",
];

fn read(path: &str) -> String {
    let path = repository_path(path);
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

fn options(files: &[&str]) -> cbindgen::Config {
    let mut all = toml::Table::new();
    for file in files {
        all.extend(
            read(file)
                .parse::<toml::Table>()
                .expect("the options are TOML"),
        );
    }
    let mut config: cbindgen::Config = all.try_into().expect("cbindgen knows these options");
    config.include_guard = config.include_guard.filter(|guard| !guard.is_empty());
    config.after_includes = config.after_includes.filter(|text| !text.is_empty());
    config
}

fn generate(files: &[&str]) -> String {
    let builder = SOURCES
        .iter()
        .fold(cbindgen::Builder::new(), |builder, source| {
            builder.with_src(repository_path(&format!("src/ffi/{source}.rs")))
        });
    let bindings = builder
        .with_config(options(files))
        .generate()
        .expect("src/ffi parses");
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).expect("a header is UTF-8")
}

fn assert_current(header: &str, files: &[&str]) {
    let fresh = generate(files);
    if std::env::var_os("UPDATE_HEADERS").is_some() {
        // Other tests compile the header at the same time, so it is replaced as a whole.
        let path = repository_path(header);
        let fresh_path = path.with_extension("new");
        std::fs::write(&fresh_path, &fresh)
            .and_then(|()| std::fs::rename(&fresh_path, &path))
            .expect("the header can be written");
    }
    assert!(
        fresh == read(header),
        "{header} is not what cbindgen makes of src/ffi; run UPDATE_HEADERS=1 cargo test --test abi headers"
    );
}

/// Compiles `source` with `compiler` and the strictest warnings.
fn assert_compiles(compiler: &str, standard: &str, name: &str, source: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join(name);
    std::fs::write(&file, source).expect("the source can be written");
    let output = Command::new(compiler)
        .args([
            standard,
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fsyntax-only",
            "-I",
        ])
        .arg(repository_path("include"))
        .arg(&file)
        .output()
        .unwrap_or_else(|cause| panic!("{compiler}: {cause}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {standard}:\n{errors}");
}

/// The program in the comment at the top of the header.
fn example_program() -> String {
    let header = read("include/meditopia.h");
    let lines: Vec<&str> = header
        .lines()
        .skip_while(|line| !line.contains("A COMPLETE PROGRAM"))
        .skip(1)
        .take_while(|line| !line.contains("CONVENTIONS"))
        .map(|line| line.trim_start_matches(" *"))
        .collect();
    lines.join("\n")
}

#[test]
fn meditopia_h_is_what_cbindgen_makes_of_src_ffi() {
    assert_current("include/meditopia.h", &["include/cbindgen.toml"]);
}

#[test]
fn meditopia_ffi_h_is_what_cbindgen_makes_of_src_ffi() {
    assert_current(
        "include/meditopia_ffi.h",
        &["include/cbindgen.toml", "include/cbindgen_ffi.toml"],
    );
}

/// Composer installs a copy of `bindings/php` without the rest of the repository, and runs no
/// script that could generate the header.
#[test]
fn the_php_package_has_the_same_meditopia_ffi_h() {
    assert_current(
        "bindings/php/include/meditopia_ffi.h",
        &["include/cbindgen.toml", "include/cbindgen_ffi.toml"],
    );
}

#[test]
fn meditopia_h_compiles_on_its_own_as_c99_and_as_c17() {
    for standard in ["-std=c99", "-std=c17"] {
        assert_compiles("gcc", standard, "alone.c", "#include <meditopia.h>\n");
    }
}

#[test]
fn meditopia_h_compiles_on_its_own_as_cpp_and_its_functions_have_c_linkage() {
    let source = "#include <meditopia.h>\n\
                  extern \"C\" uint32_t meditopia_abi_version(void);\n\
                  int main() { return meditopia_abi_version() == 0; }\n";
    assert_compiles("g++", "-std=c++17", "alone.cpp", source);
}

#[test]
fn the_example_program_in_meditopia_h_compiles() {
    let program = example_program();
    assert!(
        program.contains("int main(void)"),
        "found no program, but:\n{program}"
    );
    for standard in ["-std=c99", "-std=c17"] {
        assert_compiles("gcc", standard, "example.c", &program);
    }
}

#[test]
fn meditopia_ffi_h_has_no_preprocessor_lines_and_one_declarator_per_line() {
    let header = read("include/meditopia_ffi.h");
    assert!(!header.contains("extern \"C\""));
    assert!(!header.contains("__attribute__"));
    let mut fields = 0;
    let mut in_struct = false;
    for line in header.lines() {
        let text = line.trim();
        assert!(!text.starts_with('#'), "a preprocessor line: {line}");
        if text.starts_with("typedef struct") && text.ends_with('{') {
            in_struct = true;
        } else if text.starts_with('}') {
            in_struct = false;
        } else if in_struct {
            fields += 1;
            assert!(
                text.ends_with(';') && text.matches(';').count() == 1,
                "{line}"
            );
            assert!(
                !text.contains(','),
                "PHP reads only the first declarator of this line: {line}"
            );
        }
    }
    assert!(
        fields > 40,
        "found only {fields} fields; is this still the header?"
    );
}

#[test]
fn meditopia_ffi_h_compiles_once_the_integer_types_are_included() {
    let source = "#include <stddef.h>\n#include <stdint.h>\n#include <meditopia_ffi.h>\n";
    assert_compiles("gcc", "-std=c99", "flat.c", source);
}

#[test]
fn the_versions_of_the_header_can_be_compared_by_the_preprocessor() {
    let source = "#include <meditopia.h>\n\
                  #if !defined(MEDITOPIA_ABI_MINOR) || MEDITOPIA_ABI_MINOR < 2 || MEDITOPIA_ABI_MAJOR > 0\n\
                  #error the version is not that of the header\n\
                  #endif\n";
    assert_compiles("gcc", "-std=c99", "version.c", source);
    assert_compiles("g++", "-std=c++17", "version.cpp", source);
}

/// Whether `source` compiles with no warning.
fn compiles(compiler: &str, name: &str, source: &str) -> bool {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join(name);
    std::fs::write(&file, source).expect("the source can be written");
    let output = Command::new(compiler)
        .args(["-Wall", "-Werror", "-c", "-o", "/dev/null", "-I"])
        .arg(repository_path("include"))
        .arg(&file)
        .output();
    output.expect("the compiler runs").status.success()
}

#[test]
fn a_program_that_ignores_whether_events_are_queued_does_not_compile_without_a_warning() {
    for (compiler, name) in [("gcc", "ignores.c"), ("g++", "ignores.cpp")] {
        for call in [
            "meditopia_enqueue(c, s, s, s, s, s, 0)",
            "meditopia_enqueue_n(c, s, 1, s, 1, s, 1, s, 1, s, 1, 0)",
            "meditopia_enqueue_json(c, s, 1, 0, 0)",
        ] {
            let source = |before: &str| {
                format!(
                    "#include <meditopia.h>\nint f(meditopia_client *c, const char *s) {{ {before} {call}; return 0; }}\n"
                )
            };
            assert!(!compiles(compiler, name, &source("")), "{call}");
            assert!(compiles(compiler, name, &source("return")), "{call}");
        }
    }
    let wrapped = |ending: &str| {
        format!(
            "#include <meditopia.hpp>\nvoid f(meditopia::client &c) {{ c.try_enqueue(\"t\", \"u\", \"video\"){ending}; }}\n"
        )
    };
    assert!(!compiles("g++", "ignores.hpp.cpp", &wrapped("")));
    assert!(compiles("g++", "looks.hpp.cpp", &wrapped(".value()")));
}
