//! `meditopia run` as a fixture: a place with a spool, a token and a configuration, the process, what it
//! logs, its endpoint, and a service manager that listens to it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia::Config;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::{PATIENCE, wait_until};

/// A directory with a spool, and the file that configures whoever sends from it.
pub struct Place {
    dir: tempfile::TempDir,
    endpoint: String,
}

impl Place {
    /// With a token's file that holds `token`.
    pub fn of(endpoint: &str, token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self {
            dir,
            endpoint: endpoint.to_owned(),
        };
        place.write_token(token);
        place.configure(&format!("bearer_token_file = {:?}", place.token_file()));
        // One enqueuing host makes the spool, as in life.
        drop(place.host());
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    pub fn token_file(&self) -> PathBuf {
        self.path("token")
    }

    pub fn write_token(&self, token: &str) {
        let fresh = self.path("token.new");
        fs::write(&fresh, token).unwrap();
        fs::rename(fresh, self.token_file()).unwrap();
    }

    /// Replaces the configuration: these lines, beside spool and endpoint.
    pub fn configure(&self, lines: &str) {
        let (spool, endpoint) = (self.spool(), &self.endpoint);
        self.write_config(&format!(
            "endpoint = {endpoint:?}\nspool = {spool:?}\n{lines}\n"
        ));
    }

    pub fn write_config(&self, text: &str) {
        fs::write(self.path("config.toml"), text).unwrap();
    }

    /// A host that only enqueues.
    pub fn host(&self) -> Client {
        let mut config = Config::new();
        config.set("endpoint", &self.endpoint).unwrap();
        config.set("spool", self.spool().to_str().unwrap()).unwrap();
        config.set("role", "enqueue").unwrap();
        Client::open(&config).unwrap()
    }

    /// A command of `meditopia` on this place, with nothing of this process's environment.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::command());
        command
            .arg(name)
            .arg("--config")
            .arg(self.path("config.toml"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    pub fn output(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().unwrap()
    }

    /// The service, with its endpoint on a free port.
    pub fn run(&self, arguments: &[&str]) -> Service {
        let mut command = self.command("run", arguments);
        command.args(["--listen", "127.0.0.1:0"]);
        Service::start(command)
    }
}

/// A running `meditopia run`; killed when dropped.
pub struct Service {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Service {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let mut log = lines.lock().unwrap();
                log.push_str(&line.unwrap());
                log.push('\n');
            }
        });
        Self { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has a line that holds `text`; gives that line.
    pub fn said(&self, text: &str) -> String {
        let mut found = None;
        let begun = Instant::now();
        while found.is_none() {
            let log = self.log();
            found = log
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            assert!(begun.elapsed() < PATIENCE, "waited for {text:?} in\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
        found.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; its log is complete then.
    pub fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the end of the service", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// SIGTERM, and the end.
    pub fn terminated(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Where the endpoint listens.
    pub fn address(&self) -> String {
        let line = self.said("listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        address.trim_end_matches(['"', '}']).to_owned()
    }

    /// Status and body of one request on a connection of its own.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.address()).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            connection,
            "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Waits until `path` is answered with this status and `text` in the body.
    pub fn answers(&self, path: &str, status: u16, text: &str) {
        let mut last = (0, String::new());
        let begun = Instant::now();
        while last.0 != status || !last.1.contains(text) {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited for {status} {text:?} of {path}: {last:?}; log:\n{}",
                self.log()
            );
            last = self.get(path);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A file of its process in /proc.
    pub fn proc(&self, name: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{name}", self.pid())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The socket that a service manager listens on.
pub struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    pub fn at(path: &Path) -> Self {
        Self {
            socket: UnixDatagram::bind(path).unwrap(),
            name: path.to_str().unwrap().to_owned(),
        }
    }

    /// In the abstract namespace.
    pub fn named(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
        }
    }

    /// What `NOTIFY_SOCKET` says.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next datagram; none within `time`.
    fn next(&self, time: Duration) -> Option<String> {
        let mut text = [0; 4096];
        self.socket
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))
            .unwrap();
        let bytes = self.socket.recv(&mut text).ok()?;
        Some(String::from_utf8(text[..bytes].to_vec()).unwrap())
    }

    /// Waits for a datagram that holds `text`; gives it.
    pub fn hears(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "waited to hear {text}");
            if let Some(told) = self.next(PATIENCE)
                && told.contains(text)
            {
                return told;
            }
        }
    }

    /// Waits until there has been no sign of life for `time`: what makes a manager restart a service.
    pub fn misses_life_for(&self, time: Duration) {
        let begun = Instant::now();
        let mut alive = Instant::now();
        while alive.elapsed() < time {
            assert!(
                begun.elapsed() < PATIENCE,
                "it goes on saying that it is alive"
            );
            let left = time.saturating_sub(alive.elapsed());
            if self
                .next(left)
                .is_some_and(|told| told.contains("WATCHDOG=1"))
            {
                alive = Instant::now();
            }
        }
    }
}
