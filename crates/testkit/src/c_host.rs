//! Hosts in C: compiled against the header and the library that Cargo has built next to the test.
//!
//! A program gets its options in a configuration file, as any host does. It runs with an empty
//! environment: the library must not need one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::built;
use crate::sandbox::Sandbox;

/// What `rustc --print native-static-libs` says that the static library needs.
const STATIC_NEEDS: [&str; 7] = [
    "-lgcc_s",
    "-lutil",
    "-lrt",
    "-lpthread",
    "-lm",
    "-ldl",
    "-lc",
];

/// A compiled program in a directory of its own, with its configuration and its spool.
pub struct Program {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Program {
    /// A program of `tests/c`, linked with the shared library.
    pub fn of(source: &str) -> Self {
        Self::compile(&format!("tests/c/{source}"), |gcc, dir| {
            // One name for the linker and one for the loader, as an installation has them.
            for name in ["libmeditopia.so", "libmeditopia.so.0"] {
                symlink(built("libmeditopia.so"), dir.join(name)).unwrap();
            }
            gcc.arg(format!("-L{}", dir.display()))
                .arg("-lmeditopia")
                .arg(format!("-Wl,-rpath,{}", dir.display()));
        })
    }

    /// A program that loads [`library`](Self::library) when it runs.
    pub fn loading(source: &str) -> Self {
        Self::compile(&format!("tests/c/{source}"), |gcc, dir| {
            symlink(built("libmeditopia.so"), dir.join("libmeditopia.so.0")).unwrap();
            gcc.arg("-ldl");
        })
    }

    /// The same for a user who may not see where the library was built.
    pub fn for_anybody(source: &str) -> Self {
        let program = Self::compile(&format!("tests/c/{source}"), |gcc, dir| {
            fs::copy(built("libmeditopia.so"), dir.join("libmeditopia.so.0")).unwrap();
            gcc.arg(dir.join("libmeditopia.so.0"))
                .arg(format!("-Wl,-rpath,{}", dir.display()));
        });
        for path in [program.dir(), &program.path, &program.library()] {
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        program
    }

    /// A program, by its path in the crate, that holds the static library.
    pub fn static_of(source: &str) -> Self {
        Self::compile(source, |gcc, _| {
            gcc.arg(built("libmeditopia.a")).args(STATIC_NEEDS);
        })
    }

    /// A program, by its path in the crate, linked with the shared library.
    pub fn in_crate(source: &str) -> Self {
        let path = Path::new("../..").join(source);
        Self::of(path.to_str().unwrap())
    }

    fn compile(source: &str, link: impl Fn(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let root = crate::root();
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"])
            .args(["-O1", "-g", "-pthread", "-I"])
            .arg(root.join("include"))
            .arg("-o")
            .arg(&path)
            .arg(root.join(source));
        link(&mut gcc, dir.path());
        let output = gcc.output().expect("gcc runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{source}:\n{complaint}");
        Self { dir, path }
    }

    /// A library of `tests/c` beside it, for the loader to put before all others (`LD_PRELOAD`).
    pub fn shim(&self, source: &str) -> PathBuf {
        let path = self.dir().join(source).with_extension("so");
        let root = crate::root();
        let mut gcc = Command::new("gcc");
        // Not -pedantic: what dlsym gives is a function, whatever ISO C says.
        gcc.args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O1"])
            .args(["-shared", "-fPIC", "-o"])
            .args([&path, &root.join("tests/c").join(source)])
            .arg("-ldl");
        says(&mut gcc);
        path
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shared library, as an installation has it.
    pub fn library(&self) -> PathBuf {
        self.dir().join("libmeditopia.so.0")
    }

    pub fn spool(&self) -> PathBuf {
        self.dir().join("spool")
    }

    /// Writes the configuration: what reaches `api`, and then `options`.
    pub fn configured(self, api: &Sandbox, options: &[(&str, &str)]) -> Self {
        let spool = self.spool();
        let mut all = BTreeMap::from([
            ("spool", spool.to_str().unwrap()),
            ("endpoint", api.endpoint()),
            ("bearer_token", api.token()),
        ]);
        all.extend(options.iter().copied());
        let lines = all
            .iter()
            .map(|(key, value)| format!("{key} = {value:?}\n"));
        fs::write(self.config(), lines.collect::<String>()).unwrap();
        // Not secret here, and read by programs of other users.
        fs::set_permissions(self.config(), PermissionsExt::from_mode(0o644)).unwrap();
        self
    }

    pub fn config(&self) -> PathBuf {
        self.dir().join("config.toml")
    }

    /// The program with its configuration and further arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        self.complete(&mut command, arguments);
        command
    }

    /// The program run by another one, such as a checker.
    pub fn command_under(&self, runner: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(runner[0]);
        command.args(&runner[1..]).arg(&self.path);
        self.complete(&mut command, arguments);
        command
    }

    fn complete(&self, command: &mut Command, arguments: &[&str]) {
        command
            .arg(self.config())
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
    }

    /// Runs it to its end, which has to be a good one; what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        says(&mut self.command(arguments))
    }
}

/// What `command` prints when it succeeds without a complaint.
pub fn says(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert_good(command, &output);
    assert!(output.stderr.is_empty(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub fn assert_good(command: &Command, output: &Output) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{printed}\n{complaint}",
        output.status
    );
}

/// A running program that does not outlive its test.
pub struct Running(pub Child);

impl Running {
    /// Ends it as the kernel does where memory runs out.
    pub fn kill(&mut self) {
        self.0.kill().expect("it still runs");
        let status = self.0.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9),
            "it ended before by itself: {status}"
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
