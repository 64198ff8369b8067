//! A PgBouncer in transaction mode, in front of a server of the test's own.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::postgres_server::{PostgresServer, SUPERUSER, as_server_user};
use crate::unused_address;
use crate::wait::wait_until;

/// A running pooler; killed when dropped.
pub struct PgBouncer {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts one with so many connections to the server.
    pub fn start(server: &PostgresServer, server_connections: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let port = unused_address().port();
        let users = dir.path().join("users");
        fs::write(&users, format!("\"{SUPERUSER}\" \"\"\n")).unwrap();
        let config = dir.path().join("pgbouncer.ini");
        let (host, server_port) = (server.dir().display(), server.port());
        let text = format!(
            "[databases]\n* = host={host} port={server_port} user={SUPERUSER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {server_connections}\nlogfile =\n",
            users.display()
        );
        fs::write(&config, text).unwrap();
        for file in [&users, &config] {
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        let child = as_server_user(Command::new("/usr/sbin/pgbouncer"))
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer runs; .ci/setup installs it");
        wait_until("PgBouncer listens", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        Self {
            child,
            port,
            _dir: dir,
        }
    }

    /// A URL that reaches the database through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
