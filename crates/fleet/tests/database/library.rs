//! What applications load has nothing of the fleet's.

use std::process::Command;

use meditopia_testkit::{built_library, repository_root};

#[test]
fn the_library_has_no_crate_and_no_symbol_of_the_fleets() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "meditopia",
            "--edges",
            "normal",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(repository_root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{tree:?}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(crates.contains(&"ring"), "{tree}");
    let fleet = |name: &&str| {
        name.contains("postgres") || name.contains("tokio") || *name == "meditopia-fleet"
    };
    assert_eq!(crates.iter().find(|name| fleet(name)), None);

    let symbols = Command::new("nm")
        .arg(built_library("libmeditopia.so"))
        .output()
        .unwrap();
    assert!(symbols.status.success(), "{symbols:?}");
    let symbols = String::from_utf8(symbols.stdout).unwrap();
    assert!(symbols.contains("meditopia_enqueue"));
    let fleet = |line: &&str| {
        ["postgres", "tokio", "meditopia_fleet"]
            .iter()
            .any(|word| line.contains(word))
    };
    assert_eq!(symbols.lines().find(fleet), None);
}
