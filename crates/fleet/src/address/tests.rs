use super::*;

fn read_with(url: &str, variables: &[(&str, &str)]) -> Result<Address> {
    let options = StoreOptions {
        url: url.into(),
        ca_file: None,
        allow_plaintext: false,
    };
    Address::from_options(&options, &|name| {
        let mut found = variables.iter().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| (*value).to_owned())
    })
}

fn refused(url: &str) -> String {
    read_with(url, &[]).unwrap_err().message().to_owned()
}

#[test]
fn there_is_no_way_to_another_host_without_a_checked_certificate() {
    let tls = Security::Tls { ca_file: None };
    for mode in [
        "",
        "?sslmode=verify-full",
        "?sslmode=require",
        "?sslmode=verify-ca",
    ] {
        let address = read_with(&format!("postgres://u@db.example/d{mode}"), &[]).unwrap();
        assert_eq!(address.security, tls, "{mode}");
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
    }
    for mode in ["disable", "allow", "prefer", "no-such-mode"] {
        refused(&format!("postgres://u@db.example/d?sslmode={mode}"));
    }
    // One host of several is enough.
    refused("postgres://u@localhost,db.example/d?sslmode=disable");
    refused("postgres://u@localhost/d?hostaddr=192.0.2.1&sslmode=disable");
    let address = read_with("postgres://u@localhost,db.example/d", &[]).unwrap();
    assert_eq!(address.security, tls);
    let address = read_with("postgres://u@localhost/d", &[("PGSSLROOTCERT", "/ca.pem")]).unwrap();
    assert_eq!(address.security, Security::Plain);
    let url = "postgres://u@127.0.0.1/d?sslmode=verify-full&sslrootcert=/ca.pem";
    let address = read_with(url, &[]).unwrap();
    assert_eq!(
        address.security,
        Security::Tls {
            ca_file: Some("/ca.pem".into())
        }
    );
}

#[test]
fn this_host_is_reached_without_tls_and_another_one_only_if_an_operator_allows_it() {
    for host in ["localhost", "127.0.0.1", "[::1]", "127.1.2.3:6432", ""] {
        let address = read_with(&format!("postgres://u@{host}/d"), &[]).unwrap();
        assert_eq!(address.security, Security::Plain, "{host}");
    }
    let options = StoreOptions {
        url: "postgres://u:p@db/d?sslmode=disable".into(),
        ca_file: None,
        allow_plaintext: true,
    };
    let address = Address::from_options(&options, &|_| None).unwrap();
    assert_eq!(address.security, Security::Plain);
}

#[test]
fn the_environment_fills_in_what_the_url_does_not_say() {
    let variables = [
        ("PGHOST", "other"),
        ("PGPORT", "6432"),
        ("PGUSER", "ada"),
        ("PGPASSWORD", "quagga"),
        ("PGDATABASE", "shop"),
    ];
    let address = read_with("postgres://", &variables).unwrap();
    assert_eq!(address.shown(), "other:6432");
    assert_eq!(address.config.get_user(), Some("ada"));
    assert_eq!(address.config.get_dbname(), Some("shop"));
    assert_eq!(address.password(), Some("quagga"));
    let address = read_with("postgres://bob:okapi@db:5433/box", &variables).unwrap();
    assert_eq!(address.shown(), "db:5433");
    assert_eq!(address.config.get_user(), Some("bob"));
    assert_eq!(address.password(), Some("okapi"));
    let message = read_with("postgres://u@db/d", &[("PGSERVICE", "x")]).unwrap_err();
    assert!(message.message().contains("PGSERVICE"));
}

#[test]
fn of_several_hosts_the_one_that_takes_changes_is_wanted() {
    let wanted = |url| {
        let address = read_with(url, &[]).unwrap();
        address.config.get_target_session_attrs()
    };
    assert_eq!(
        wanted("postgres://u@a,b:6432/d"),
        TargetSessionAttrs::ReadWrite
    );
    assert_eq!(wanted("postgres://u@a/d"), TargetSessionAttrs::Any);
    let url = "postgres://u@a,b/d?target_session_attrs=any";
    assert_eq!(wanted(url), TargetSessionAttrs::Any);
    let address = read_with("postgres://u@a,b:6432,[::1]/d", &[]).unwrap();
    assert_eq!(address.shown(), "a:5432,b:6432,[::1]:5432");
}

#[test]
fn no_message_about_a_store_has_its_password() {
    for rest in [
        "@a:x/d",
        "@a:0/d",
        "@a,,b/d",
        "@a:1,b:2,c/d?port=3",
        "@a/d?sslmode=quagga",
        "@a/d?connect_timeout=quagga",
        "@a/d?hostaddr=quagga",
        "@a/d?target_session_attrs=quagga",
        "@a/d?channel_binding=quagga",
        "@a/d?sslmode=disable",
    ] {
        let message = refused(&format!("postgres://u:quagga{rest}"));
        assert!(!message.contains("quagga"), "{rest}: {message}");
    }
    let address = read_with("postgres://ada:quagga@db/d", &[]).unwrap();
    assert!(!format!("{address:?}").contains("quagga"));
}
