//! TLS with a real server: its certificate and its name are checked.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use meditopia_fleet::connection::Connection;
use meditopia_fleet::failure::Outcome;
use meditopia_testkit::postgres_server::PostgresServer;

use crate::fleet::address;

#[test]
fn a_server_is_reached_only_with_a_certificate_of_its_name_by_a_trusted_authority() {
    let mut server = PostgresServer::start();
    let data = server.dir().join("data");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let owner = fs::metadata(&data).unwrap();
    for (name, text) in [
        ("server.crt", made.cert.pem()),
        ("server.key", made.signing_key.serialize_pem()),
    ] {
        let file = data.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let (ca, other_ca) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    fs::write(&ca, made.cert.pem()).unwrap();
    fs::write(&other_ca, other.cert.pem()).unwrap();
    server.stop();
    let config = data.join("postgresql.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "ssl = on\n").unwrap();
    server.run();

    let open = |host: &str, mode: &str, ca: &std::path::Path| {
        let (port, ca) = (server.port(), ca.display());
        let url =
            format!("postgres://postgres@{host}:{port}/postgres?sslmode={mode}&sslrootcert={ca}");
        Connection::open(&address(&url))
    };
    for mode in ["verify-full", "require"] {
        let mut connection = open("localhost", mode, &ca).unwrap();
        let row = connection
            .query_one(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                &[],
            )
            .unwrap();
        assert!(row.get::<_, bool>(0));
        for (host, ca, why) in [
            ("localhost", &other_ca, "certificate"),
            ("127.0.0.1", &ca, "certificate"),
        ] {
            let failure = open(host, mode, ca).unwrap_err();
            assert_eq!(*failure.outcome(), Outcome::Unreachable);
            assert!(failure.message().contains(why), "{failure}");
        }
    }
    let failure = open("localhost", "verify-full", &dir.path().join("none.pem")).unwrap_err();
    assert_eq!(*failure.outcome(), Outcome::Misconfigured);
}
