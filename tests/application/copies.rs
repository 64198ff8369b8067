//! Two copies of the library in one process, as a package's own beside the system's.

use meditopia_testkit::built_library;
use meditopia_testkit::c_program::CProgram;
use meditopia_testkit::ledger::Arrivals;
use meditopia_testkit::process::stdout_of;
use meditopia_testkit::sandbox::Sandbox;

#[test]
fn two_copies_of_the_library_in_a_process_deliver_everything_once_and_each_says_so_once() {
    let api = Sandbox::start();
    let options = [("role", "both"), ("flush_interval_ms", "20")];
    let program = CProgram::compile_with_dlopen("two_copies.c").with_config(&api, &options);
    let copies = ["libmeditopia.so.0", "libmeditopia-of-a-package.so"].map(|name| {
        let path = program.dir().join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::copy(built_library("libmeditopia.so"), &path).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let said = stdout_of(&mut program.command(&[&copies[0], &copies[1]]));
    for (number, other) in [(0, &copies[1]), (1, &copies[0])] {
        let of_copy = |line: &&str| line.starts_with(&format!("{number}: "));
        let lines: Vec<&str> = said.lines().filter(of_copy).collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains(other), "{said}");
    }
    let arrivals = Arrivals::from_sandbox(&api);
    for user in ["u-0", "u-1"] {
        let arrived = &arrivals.first_appearances()[user];
        assert!(arrived.iter().copied().eq(0..50), "{user}: {arrived:?}");
    }
    assert_eq!(arrivals.duplicates(), 0);
}
