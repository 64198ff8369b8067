//! The command `meditopia run` as a service: the spool and the files that configure it, its
//! process, its log, its HTTP endpoint, and a service manager that listens to it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meditopia::Client;
use meditopia::Config;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{WAIT_LIMIT, wait_until};

/// A directory with a spool, a configuration file for the commands, and a file with the bearer
/// token.
pub struct ConfiguredSpool {
    dir: tempfile::TempDir,
    endpoint: String,
}

impl ConfiguredSpool {
    /// Makes the spool and both files.
    pub fn new(endpoint: &str, token: &str) -> Self {
        Self::new_in(&std::env::temp_dir(), endpoint, token)
    }

    /// The same on the disk of `parent`.
    pub fn new_in(parent: &Path, endpoint: &str, token: &str) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        let configured = Self {
            dir,
            endpoint: endpoint.to_owned(),
        };
        configured.write_token(token);
        let file = configured.token_file();
        configured.configure(&format!("bearer_token_file = {file:?}"));
        drop(configured.client());
        configured
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

    /// Replaces the token's file by a rename. Only its owner can read it.
    pub fn write_token(&self, token: &str) {
        let fresh = self.path("token.new");
        fs::write(&fresh, token).unwrap();
        fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
        fs::rename(fresh, self.token_file()).unwrap();
    }

    /// Replaces the configuration by spool, endpoint, and `lines`.
    pub fn configure(&self, lines: &str) {
        let (spool, endpoint) = (self.spool(), &self.endpoint);
        self.write_config(&format!(
            "endpoint = {endpoint:?}\nspool = {spool:?}\n{lines}\n"
        ));
    }

    pub fn write_config(&self, text: &str) {
        fs::write(self.path("config.toml"), text).unwrap();
    }

    /// Opens a client that only enqueues.
    pub fn client(&self) -> Client {
        let mut config = Config::new();
        config.set("endpoint", &self.endpoint).unwrap();
        config.set("spool", self.spool().to_str().unwrap()).unwrap();
        config.set("role", "enqueue").unwrap();
        Client::open(&config).unwrap()
    }

    /// The command `meditopia <name>` with this configuration and an empty environment.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::meditopia_command());
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

    /// Starts the service, with its endpoint on a free port.
    pub fn start_service(&self, arguments: &[&str]) -> Service {
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

    /// Waits for a line of the log that contains `text`, and returns it.
    pub fn wait_for_log(&self, text: &str) -> String {
        let mut found = None;
        let begun = Instant::now();
        while found.is_none() {
            let log = self.log();
            found = log
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "waited for {text:?} in\n{log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        found.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends. Its log is complete then.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the end of the service", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// Sends SIGTERM and waits until it ends.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The address that the endpoint listens on.
    pub fn address(&self) -> String {
        let line = self.wait_for_log("listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        address.trim_end_matches(['"', '}']).to_owned()
    }

    /// Makes one request on a new connection; the status and the body of the answer.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.address()).unwrap();
        connection.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        write!(
            connection,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Waits until `path` is answered with this status and with `text` in the body.
    pub fn wait_for_answer(&self, path: &str, status: u16, text: &str) {
        let mut last = (0, String::new());
        let begun = Instant::now();
        while last.0 != status || !last.1.contains(text) {
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "waited for {status} {text:?} of {path}: {last:?}; log:\n{}",
                self.log()
            );
            last = self.get(path);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads a file of its process in /proc.
    pub fn read_proc(&self, name: &str) -> String {
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

/// A service manager: the socket that it receives notifications on.
pub struct ServiceManager {
    socket: UnixDatagram,
    name: String,
}

impl ServiceManager {
    pub fn listen(path: &Path) -> Self {
        Self {
            socket: UnixDatagram::bind(path).unwrap(),
            name: path.to_str().unwrap().to_owned(),
        }
    }

    /// Listens in the abstract namespace.
    pub fn listen_abstract(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
        }
    }

    /// The value for `NOTIFY_SOCKET`.
    pub fn notify_socket(&self) -> &str {
        &self.name
    }

    /// The next datagram; `None` if none came within `time`.
    fn receive(&self, time: Duration) -> Option<String> {
        let mut text = [0; 4096];
        self.socket
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))
            .unwrap();
        let bytes = self.socket.recv(&mut text).ok()?;
        Some(String::from_utf8(text[..bytes].to_vec()).unwrap())
    }

    /// Waits for a datagram that contains `text`, and returns it.
    pub fn wait_for_message(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            assert!(
                begun.elapsed() < WAIT_LIMIT,
                "waited for the message {text}"
            );
            if let Some(message) = self.receive(WAIT_LIMIT)
                && message.contains(text)
            {
                return message;
            }
        }
    }

    /// Waits until no watchdog message has come for `time`: then a manager restarts the service.
    pub fn wait_for_silence(&self, time: Duration) {
        let begun = Instant::now();
        let mut last_message = Instant::now();
        while last_message.elapsed() < time {
            assert!(begun.elapsed() < WAIT_LIMIT, "the watchdog messages go on");
            let left = time.saturating_sub(last_message.elapsed());
            if self
                .receive(left)
                .is_some_and(|message| message.contains("WATCHDOG=1"))
            {
                last_message = Instant::now();
            }
        }
    }
}
