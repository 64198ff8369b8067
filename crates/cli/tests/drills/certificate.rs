//! The API's certificate comes from another authority than the one that is trusted.

use std::fs;

use meditopia_testkit::sandbox::Sandbox;
use meditopia_testkit::service::ConfiguredSpool;

use crate::drill::Drill;
use crate::tls_front::TlsFront;

#[test]
fn an_operator_is_told_of_a_certificate_whose_authority_has_changed() {
    let api = Sandbox::start();
    let front = TlsFront::start(api.address());
    let spool = ConfiguredSpool::new(&front.endpoint(), api.token());
    let trusted = spool.path("ca.pem");
    fs::write(&trusted, front.authority()).unwrap();
    let lines = format!("ca_file = {trusted:?}");
    let mut drill = Drill::start_on("CA rotated", &lines, api, spool, None);
    front.rotate();
    drill.strike();
    drill.enqueue(20);
    drill.status("waiting for a retry");
    drill.api_away(2, "certificate not trusted");
    drill.log("certificate");
    fs::write(&trusted, front.authority()).unwrap();
    drill.ended_by("the new authority in `ca_file`, which is read again");
    drill.end(0, 0);
}
