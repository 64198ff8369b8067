//! The schema, and who may do what in it.

use meditopia_fleet::place::Place;
use meditopia_fleet::schema::VERSION;

use crate::fleet::{connect, plan, set_up};

#[test]
fn a_fleet_that_is_set_up_says_what_it_is() {
    let (server, database) = set_up();
    let place = Place::of(&mut connect(&server.url(&database))).unwrap();
    assert_eq!(place.version, VERSION);
    assert_eq!(place.lanes, plan().lanes);
    assert_eq!(place.endpoint, plan().endpoint);
    assert_eq!(place.account, plan().account);
    assert!(place.is_at_home);
}
