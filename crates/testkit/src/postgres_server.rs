//! A PostgreSQL server of the test's own: in a temporary directory, as an ordinary user, stopped at the end.
//!
//! It listens on a socket in its directory and on a port of this host. A process of its own watches the test's:
//! whichever way that ends, it stops the server and removes the directory.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::privileges::is_root;
use crate::unused_address;
use crate::wait::wait_until;

/// The superuser; nobody needs a password on the socket.
pub const SUPERUSER: &str = "postgres";

/// A running server.
pub struct PostgresServer {
    dir: PathBuf,
    port: u16,
    server: Option<Child>,
    /// It acts when its standard input ends.
    watchdog: Child,
}

impl PostgresServer {
    /// Makes a new one and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with these settings, such as `max_connections=5`.
    pub fn start_with(settings: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("meditopia-pg-")
            .tempdir()
            .unwrap()
            .keep();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            let uid = server_uid();
            std::os::unix::fs::chown(&dir, Some(uid), Some(uid)).unwrap();
        }
        let watchdog = start_watchdog(&dir);
        let made = as_server_user(Command::new(program("initdb")))
            .args(["--pgdata", dir.join("data").to_str().unwrap()])
            .args(["--username", SUPERUSER, "--auth", "trust", "--no-sync"])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8"])
            .stdin(Stdio::null())
            .output()
            .expect("initdb runs; .ci/setup installs it");
        assert!(made.status.success(), "{made:?}");
        let mut all = "fsync = off\nmax_connections = 100\nlogging_collector = off\n".to_owned();
        for setting in settings {
            all.push_str(setting);
            all.push('\n');
        }
        let config = dir.join("data/postgresql.conf");
        let mut config = fs::OpenOptions::new().append(true).open(config).unwrap();
        config.write_all(all.as_bytes()).unwrap();
        let mut server = Self {
            dir,
            port: unused_address().port(),
            server: None,
            watchdog,
        };
        server.run();
        server
    }

    /// Starts the stopped or crashed server again, on the same socket and port.
    pub fn run(&mut self) {
        let log = fs::File::create(self.dir.join("log")).unwrap();
        let child = as_server_user(Command::new(program("postgres")))
            .args(["-D", self.dir.join("data").to_str().unwrap()])
            .args(["-k", self.dir.to_str().unwrap(), "-h", "127.0.0.1"])
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(child);
        wait_until("the PostgreSQL server answers", || {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.log());
            self.psql("postgres", "SELECT 1").status.success()
        });
    }

    /// One for all tests of a program, which use databases of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Ends it as `pg_ctl stop -m immediate` does: without a word, to recover at its next start.
    pub fn crash(&mut self) {
        self.end_with("QUIT");
    }

    /// Ends it as `pg_ctl stop -m fast` does.
    pub fn stop(&mut self) {
        self.end_with("INT");
    }

    fn end_with(&mut self, signal: &str) {
        if let Some(mut child) = self.server.take() {
            let pid = child.id().to_string();
            let sent = Command::new("kill")
                .args([&format!("-{signal}"), &pid])
                .status();
            assert!(sent.unwrap().success());
            child.wait().unwrap();
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").id()
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The directory with its socket; `data` is in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database and returns its name.
    pub fn create_database(&self) -> String {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", LAST.fetch_add(1, Ordering::Relaxed));
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        );
        name
    }

    /// A URL that reaches the database over the socket, as the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, database)
    }

    /// The same as another user.
    pub fn url_as(&self, user: &str, database: &str) -> String {
        let (dir, port) = (self.dir.display(), self.port);
        format!("postgres://{user}@:{port}/{database}?host={dir}")
    }

    /// Runs psql as the superuser with this input; its output has a line for each row, with `|` between columns.
    pub fn psql(&self, database: &str, input: &str) -> Output {
        self.psql_as(SUPERUSER, database, input)
    }

    /// The same as another user.
    pub fn psql_as(&self, user: &str, database: &str, input: &str) -> Output {
        let mut psql = Command::new(program("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--host"])
            .arg(&self.dir)
            .args(["--port", &self.port.to_string()])
            .args(["--username", user, "--dbname", database])
            .env_remove("PGOPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = psql.stdin.take().unwrap();
        // If psql ends early, its output says why.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        psql.wait_with_output().unwrap()
    }

    /// Runs SQL that has to succeed, and returns what psql prints.
    #[track_caller]
    pub fn sql(&self, database: &str, input: &str) -> String {
        let output = self.psql(database, input);
        assert!(output.status.success(), "{input}: {output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.crash();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// The newest one that is installed; they are not in the path.
pub fn program(name: &str) -> PathBuf {
    let all = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL; .ci/setup installs it");
    let version = |path: &PathBuf| -> u32 {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    };
    let newest = all.map(|entry| entry.unwrap().path()).max_by_key(version);
    newest.unwrap().join("bin").join(name)
}

/// A command, as root run as another user: the server refuses root.
pub(crate) fn as_server_user(command: Command) -> Command {
    if !is_root() {
        return command;
    }
    let uid = server_uid();
    let mut changed = Command::new("setpriv");
    changed.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
    changed
        .args(["--clear-groups", "--"])
        .arg(command.get_program());
    changed.args(command.get_args()).current_dir("/");
    changed
}

/// The user `nobody`, whom every system has.
fn server_uid() -> u32 {
    65_534
}

/// Waits for the end of its input; then it stops the server, if it runs, and removes the directory.
fn start_watchdog(dir: &Path) -> Child {
    let script = "cat >/dev/null
      pid=$(head -n 1 \"$1/data/postmaster.pid\" 2>/dev/null)
      if [ -n \"$pid\" ] && [ \"$(readlink \"/proc/$pid/cwd\")\" = \"$1/data\" ]; then
        kill -QUIT \"$pid\"
        while [ -e \"/proc/$pid\" ]; do sleep 0.05; done
      fi
      rm -rf \"$1\"";
    Command::new("setsid")
        .args(["sh", "-c", script, "sh"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
