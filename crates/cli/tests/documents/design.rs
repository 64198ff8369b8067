//! The design document held to the source: what its table of modules allows is what the modules
//! import, and arrows point down only.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use meditopia_testkit::repository_path;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// One row of the table of modules.
struct Module {
    name: String,
    imports: BTreeSet<String>,
}

/// The table of modules, from the top down.
fn modules_of_the_design() -> Vec<Module> {
    let design = read(&repository_path("docs/design.md"));
    let (_, table) = design.split_once("| module of `src/` |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let code = |cell: &str| -> Vec<String> {
        let spans = cell.split('`').skip(1).step_by(2);
        spans.map(str::to_owned).collect()
    };
    table
        .lines()
        .skip(2)
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            let [_, module, _, imports, _] = cells[..] else {
                panic!("not a row of three cells: {row}");
            };
            Module {
                name: code(module).pop().unwrap(),
                imports: code(imports).into_iter().collect(),
            }
        })
        .collect()
}

/// The source of a module without comments and tests.
fn source_of(module: &str) -> String {
    let mut waiting: Vec<PathBuf> = [format!("src/{module}.rs"), format!("src/{module}")]
        .iter()
        .map(|path| repository_path(path))
        .filter(|path| path.exists())
        .collect();
    assert!(!waiting.is_empty(), "there is no module {module}");
    let mut source = String::new();
    while let Some(path) = waiting.pop() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "tests" || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for line in product.lines() {
                source.push_str(line.split("//").next().unwrap());
                source.push('\n');
            }
        }
    }
    source
}

/// The modules that this source names behind `crate::`, alone or in braces.
fn imports_of(source: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_word).collect()
    };
    let mut imports = BTreeSet::new();
    for behind in source.split("crate::").skip(1) {
        match behind.strip_prefix('{') {
            None => {
                imports.insert(word(behind));
            }
            Some(group) => {
                let mut depth = 0;
                let top_level = group.split_inclusive(['{', '}', ',']).filter(|part| {
                    let at = depth;
                    depth += match part.chars().last() {
                        Some('{') => 1,
                        Some('}') => -1,
                        _ => 0,
                    };
                    at == 0
                });
                imports.extend(top_level.map(word));
            }
        }
    }
    imports
}

#[test]
fn each_module_imports_what_the_design_allows_and_arrows_point_down() {
    let modules = modules_of_the_design();
    let names: BTreeSet<String> = modules.iter().map(|module| module.name.clone()).collect();
    for (row, module) in modules.iter().enumerate() {
        let mut imports = imports_of(&source_of(&module.name));
        imports.retain(|name| names.contains(name) && *name != module.name);
        assert_eq!(
            imports, module.imports,
            "what {} imports, and what the table in docs/design.md allows",
            module.name
        );
        let below: BTreeSet<String> = modules[row + 1..]
            .iter()
            .map(|module| module.name.clone())
            .collect();
        let up: Vec<_> = imports.difference(&below).collect();
        assert!(
            up.is_empty(),
            "{} stands below {up:?} and imports it",
            module.name
        );
    }
}

#[test]
fn the_design_has_a_row_for_each_module_of_the_library() {
    let root = read(&repository_path("src/lib.rs"));
    let declared: BTreeSet<String> = root
        .lines()
        .filter_map(|line| line.strip_suffix(';')?.rsplit_once("mod "))
        .filter(|(before, _)| matches!(*before, "" | "pub " | "pub(crate) "))
        .map(|(_, name)| name.to_owned())
        // It only re-exports.
        .filter(|name| name != "internals")
        .collect();
    let described = modules_of_the_design();
    let described: BTreeSet<String> = described.into_iter().map(|module| module.name).collect();
    assert!(declared.len() > 10, "{declared:?}");
    assert_eq!(described, declared);
}

#[test]
fn delivery_does_no_io_and_reads_no_clock() {
    let source = source_of("delivery");
    for forbidden in [
        "std::fs",
        "std::io",
        "std::net",
        "std::thread",
        "Instant",
        "SystemTime",
        "clock::now",
        "wall_ms()",
        "boot_ns()",
    ] {
        assert!(!source.contains(forbidden), "delivery uses {forbidden}");
    }
}

#[test]
fn the_sandbox_does_not_depend_on_the_library() {
    let manifest = read(&repository_path("crates/sandbox/Cargo.toml"));
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    assert!(!dependencies.contains("meditopia"), "{dependencies}");
}
