//! A copied spool, and a database that is older than what was forwarded to it.

use meditopia_testkit::meditopia;
use meditopia_testkit::postgres_server::PostgresServer;
use meditopia_testkit::spool::{TestSpool, copy_spool};
use meditopia_testkit::wait::wait_until;

use super::host::{ENDPOINT, Host, Service, enqueue, forward, new_fleet, said, users, users_in};

#[test]
fn the_forwarder_of_a_copied_spool_is_refused_and_nothing_is_forwarded_twice() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    host.enqueue(0..5);
    host.forward_once();
    host.enqueue(5..8);
    let parent = tempfile::tempdir().unwrap();
    let copy = parent.path().join("copy");
    copy_spool(&host.spool.path(), &copy);
    let forward_copy = || {
        let url = server.url(&database);
        forward(&copy, &url, &["--once"]).output().unwrap()
    };
    let refused = forward_copy();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");

    // An operator says that it is no copy, which is wrong: whoever forwards first goes on.
    let mut adopt = meditopia();
    adopt.arg("adopt").arg(&copy).arg("--yes");
    let adopted = adopt.output().unwrap();
    assert!(adopted.status.success(), "{adopted:?}");
    host.forward_once();
    let of_copy = TestSpool::for_endpoint(ENDPOINT).with("spool", copy.to_str().unwrap());
    enqueue(&of_copy.client(), 100..103);
    let refused = forward_copy();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said(&refused).contains("it was copied"), "{refused:?}");
    assert_eq!(of_copy.client().stats().unwrap().pending, 6);

    host.enqueue(8..10);
    host.forward_once();
    assert_eq!(users_in(server, &database), users(0..10));
}

#[test]
fn an_older_database_is_given_again_what_the_journal_still_keeps() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    host.enqueue(0..5);
    host.forward_once();
    let older = format!("{database}_older");
    let copy = format!("CREATE DATABASE {older} TEMPLATE {database}");
    server.sql("postgres", &copy);
    host.enqueue(5..900);
    host.forward_once();
    assert_eq!(users_in(server, &database), users(0..900));

    let host = host.forwarding_to(&server.url(&older));
    let refused = host.forward(&["--once"]).output().unwrap();
    assert!(
        said(&refused).contains("meditopia fleet adopt"),
        "{refused:?}"
    );
    let adopted = meditopia()
        .args(["fleet", "adopt", "--store", &server.url(&older)])
        .output()
        .unwrap();
    assert!(adopted.status.success(), "{adopted:?}");
    host.enqueue(900..905);
    let output = host.forward(&["--once"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        said(&output).contains("the database is older"),
        "{output:?}"
    );
    assert_eq!(users_in(server, &older), users(0..905));
}

#[test]
fn an_idle_host_asks_before_it_frees_what_an_older_database_may_lack() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    host.enqueue(0..5);
    let mut command = host.forward(&[]);
    let command = command.env("MEDITOPIA_FORWARD_INTERVAL_MS", "20");
    let forwarder = Service::start(command.env("MEDITOPIA_FORWARD_KEEP_S", "10"));
    let has_all = || users_in(server, &database) == users(0..5);
    wait_until("the events are forwarded", has_all);
    server.sql(
        &database,
        "DELETE FROM meditopia.parcel; UPDATE meditopia.spool SET step = 0, offsets = ''",
    );
    // Nothing is enqueued any more, and no connection has broken.
    wait_until("they are forwarded again", has_all);
    assert!(forwarder.log().contains("the database is older"));
    assert_eq!(forwarder.terminate(), Some(0));
}

#[test]
fn what_is_not_kept_any_more_is_missed_in_an_older_database_and_that_is_said() {
    let server = PostgresServer::shared();
    let database = new_fleet(server);
    let host = Host::new(server, &database);
    let forward_keeping_nothing = |host: &Host| {
        let mut command = host.forward(&["--once"]);
        command
            .env("MEDITOPIA_FORWARD_KEEP_S", "0")
            .output()
            .unwrap()
    };
    host.enqueue(0..5);
    assert!(forward_keeping_nothing(&host).status.success());
    let older = format!("{database}_older");
    server.sql(
        "postgres",
        &format!("CREATE DATABASE {older} TEMPLATE {database}"),
    );
    server.sql(
        &older,
        "UPDATE meditopia.meta SET database = current_database()",
    );
    host.enqueue(5..500);
    assert!(forward_keeping_nothing(&host).status.success());

    let host = host.forwarding_to(&server.url(&older));
    host.enqueue(500..505);
    let output = forward_keeping_nothing(&host);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said(&output).contains("not in the journal any more"),
        "{output:?}"
    );
    let all = users_in(server, &older);
    assert_eq!((&all[..5], &all[5..]), (&*users(0..5), &*users(500..505)));
    assert_eq!(host.status()["damaged_records"], 0);
}
