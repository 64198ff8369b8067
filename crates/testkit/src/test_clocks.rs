//! Clocks that a test sets while a program runs on them. A preloaded library puts them in the place
//! of the kernel's (`tests/c/clock_shim.c`).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::c_program::{CProgram, compile_preload};
use crate::remote_client::RemoteClient;

/// The clocks that the programs of one test see.
pub struct TestClocks {
    shim: PathBuf,
    path: PathBuf,
    offsets: File,
}

impl TestClocks {
    /// Clocks in the directory of `program`, which show the real time until they are set.
    pub fn new(program: &CProgram) -> Self {
        Self::in_directory(program.dir())
    }

    /// The same in any directory.
    pub fn in_directory(dir: &Path) -> Self {
        let path = dir.join("clocks");
        fs::write(&path, [0; 16]).unwrap();
        Self {
            shim: compile_preload("clock_shim.c", dir),
            offsets: File::options().write(true).open(&path).unwrap(),
            path,
        }
    }

    /// Sets the wall clock to this many seconds from the real one.
    pub fn set_wall(&self, seconds: i64) {
        self.set(0, seconds);
    }

    /// Sets the time since boot to this many seconds from the real one, as after a host has slept.
    pub fn set_boot(&self, seconds: i64) {
        self.set(8, seconds);
    }

    fn set(&self, at: u64, seconds: i64) {
        let nanos = seconds * 1_000_000_000;
        self.offsets.write_all_at(&nanos.to_ne_bytes(), at).unwrap();
    }

    /// Shows another boot, `up_s` seconds ago, to the programs that start after this.
    pub fn reboot(&self, boot_id: &str, up_s: i64) {
        fs::write(self.path.with_extension("boot_id"), format!("{boot_id}\n")).unwrap();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        self.set_boot(up_s - seconds as i64);
    }

    /// Lets a program run on these clocks.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.shim)
            .env("CLOCK_SHIM", &self.path);
    }

    /// Starts a client of `program` on these clocks.
    pub fn start_client(&self, program: &CProgram) -> RemoteClient {
        let mut command: Command = program.command(&[]);
        self.prepare(&mut command);
        RemoteClient::start(command)
    }
}
