//! Programs on clocks of a preloaded shim (`tests/c/clock_shim.c`), which a test steps while they run.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use crate::c_host::Program;
use crate::steered::Steered;

/// The clocks that the programs of one test see.
pub struct Clocks {
    shim: PathBuf,
    path: PathBuf,
    steps: File,
}

impl Clocks {
    pub fn of(program: &Program) -> Self {
        let path = program.dir().join("clocks");
        fs::write(&path, [0; 16]).unwrap();
        Self {
            shim: program.shim("clock_shim.c"),
            steps: File::options().write(true).open(&path).unwrap(),
            path,
        }
    }

    /// Sets the wall clock to so many seconds off the real one.
    pub fn set_wall(&self, seconds: i64) {
        self.set(0, seconds);
    }

    /// Sets the time since boot, and with it that of a host that has slept or booted again.
    pub fn set_boot(&self, seconds: i64) {
        self.set(8, seconds);
    }

    fn set(&self, at: u64, seconds: i64) {
        let nanos = seconds * 1_000_000_000;
        self.steps.write_all_at(&nanos.to_ne_bytes(), at).unwrap();
    }

    /// Another boot, so many seconds ago.
    pub fn reboot(&self, boot_id: &str, up_s: i64) {
        fs::write(self.path.with_extension("boot_id"), format!("{boot_id}\n")).unwrap();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        self.set_boot(up_s - seconds as i64);
    }

    pub fn start(&self, program: &Program) -> Steered {
        let mut command: Command = program.command(&[]);
        command
            .env("LD_PRELOAD", &self.shim)
            .env("CLOCK_SHIM", &self.path);
        Steered::start(command)
    }
}
