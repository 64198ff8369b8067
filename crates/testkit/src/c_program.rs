//! Programs in C, compiled against the header and the library that Cargo built beside the test.
//!
//! A program gets its options from a configuration file, as applications do. It runs with an empty
//! environment, because the library must not need one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::built_library;
use crate::process::stdout_of;
use crate::sandbox::Sandbox;

/// What `rustc --print native-static-libs` says that the static library needs.
const STATIC_LIBRARIES: [&str; 7] = [
    "-lgcc_s",
    "-lutil",
    "-lrt",
    "-lpthread",
    "-lm",
    "-ldl",
    "-lc",
];

/// A compiled program in a directory of its own, with its configuration and its spool.
pub struct CProgram {
    dir: tempfile::TempDir,
    path: PathBuf,
}

/// Compiles a library of `tests/c` into a directory, for `LD_PRELOAD`.
pub fn compile_preload(source: &str, dir: &Path) -> PathBuf {
    let path = dir.join(source).with_extension("so");
    let root = crate::repository_root();
    let mut gcc = Command::new("gcc");
    // Without -pedantic: ISO C does not let a program convert the pointer that dlsym returns.
    gcc.args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O1"])
        .args(["-shared", "-fPIC", "-o"])
        .args([&path, &root.join("tests/c").join(source)])
        .arg("-ldl");
    stdout_of(&mut gcc);
    path
}

impl CProgram {
    /// Compiles a program of `tests/c` and links it with the shared library.
    pub fn compile(source: &str) -> Self {
        Self::compile_from_root(&format!("tests/c/{source}"))
    }

    /// Compiles a program of `tests/c` that calls `dlopen` on [`library`](Self::library) by itself.
    pub fn compile_with_dlopen(source: &str) -> Self {
        Self::compile_and_link(&format!("tests/c/{source}"), |gcc, dir| {
            symlink(
                built_library("libmeditopia.so"),
                dir.join("libmeditopia.so.0"),
            )
            .unwrap();
            gcc.arg("-ldl");
        })
    }

    /// Compiles a program of `tests/c` that other users can run, too: they may not be able to read
    /// the directory that Cargo builds in.
    pub fn compile_for_any_user(source: &str) -> Self {
        let program = Self::compile_and_link(&format!("tests/c/{source}"), |gcc, dir| {
            fs::copy(
                built_library("libmeditopia.so"),
                dir.join("libmeditopia.so.0"),
            )
            .unwrap();
            gcc.arg(dir.join("libmeditopia.so.0"))
                .arg(format!("-Wl,-rpath,{}", dir.display()));
        });
        for path in [program.dir(), &program.path, &program.library()] {
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        program
    }

    /// Compiles a program, by its path in the repository, and links it with the static library.
    pub fn compile_static(source: &str) -> Self {
        Self::compile_and_link(source, |gcc, _| {
            gcc.arg(built_library("libmeditopia.a"))
                .args(STATIC_LIBRARIES);
        })
    }

    /// Compiles a program, by its path in the repository, and links it with the shared library.
    pub fn compile_from_root(source: &str) -> Self {
        Self::compile_and_link(source, link_shared)
    }

    fn compile_and_link(source: &str, link: impl Fn(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let root = crate::repository_root();
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"])
            .args(["-O1", "-g", "-pthread", "-I"])
            .arg(root.join("include"))
            .arg("-o")
            .arg(&path)
            .arg(root.join(source));
        link(&mut gcc, dir.path());
        let output = gcc.output().expect("gcc runs");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{source}:\n{messages}");
        Self { dir, path }
    }

    /// See [`compile_preload`].
    pub fn compile_preload(&self, source: &str) -> PathBuf {
        compile_preload(source, self.dir())
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

    /// The names of the segments in the journal.
    pub fn segments(&self) -> Vec<String> {
        let entries = fs::read_dir(self.spool().join("journal")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Writes the configuration: the spool, what it takes to reach `api`, and then `options`.
    pub fn with_config(self, api: &Sandbox, options: &[(&str, &str)]) -> Self {
        self.configure(api, options);
        self
    }

    /// Writes another configuration in its place.
    pub fn configure(&self, api: &Sandbox, options: &[(&str, &str)]) {
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
        // Programs of other users read it, too.
        fs::set_permissions(self.config(), PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// The path of the configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir().join("config.toml")
    }

    /// The command that runs the program with its configuration file and `arguments`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        self.add_arguments(&mut command, arguments);
        command
    }

    /// The same, run by another program, such as a memory checker.
    pub fn command_under(&self, runner: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(runner[0]);
        command.args(&runner[1..]).arg(&self.path);
        self.add_arguments(&mut command, arguments);
        command
    }

    fn add_arguments(&self, command: &mut Command, arguments: &[&str]) {
        command
            .arg(self.config())
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
    }

    /// Runs the program, which must succeed, and returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        stdout_of(&mut self.command(arguments))
    }
}

fn link_shared(gcc: &mut Command, dir: &Path) {
    // One name for the linker and one for the loader, as an installation has them.
    for name in ["libmeditopia.so", "libmeditopia.so.0"] {
        symlink(built_library("libmeditopia.so"), dir.join(name)).unwrap();
    }
    gcc.arg(format!("-L{}", dir.display()))
        .arg("-lmeditopia")
        .arg(format!("-Wl,-rpath,{}", dir.display()));
}
