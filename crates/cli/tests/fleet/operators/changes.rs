//! What operators of a fleet change.

use meditopia_fleet::command::{Answer, Command};

use super::rows::{Fleet, lane};

#[test]
fn rejected_events_are_requeued_and_discarded_with_the_confirmation_of_a_spools() {
    let fleet = Fleet::new();
    fleet.rejected(1, "u-1", "A_1104");
    fleet.rejected(2, "u-2", "A_1104");
    fleet.rejected(3, "u-3", "A_1104");
    assert!(
        fleet
            .ends(&["rejected", "requeue"], 2)
            .contains("which events?")
    );
    let requeued = fleet.done(&["rejected", "requeue", "--user", "u-1"]);
    assert_eq!(
        requeued,
        "requeued 1 event; they are sent after all pending events\n"
    );
    let pending = fleet.json(&["pending", "list"]);
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0]["event"]["partner_user_id"], "u-1");

    fleet.sql("UPDATE meditopia.rejected SET may_be_delivered = true WHERE id = 2");
    let asks = fleet.ends(&["rejected", "requeue", "--id", "2"], 3);
    assert!(asks.contains("would then arrive twice"), "{asks}");
    let asks = fleet.ends(&["rejected", "discard", "--all"], 3);
    assert!(asks.contains("discard 2 events for good"), "{asks}");
    assert_eq!(fleet.json(&["rejected", "list"]).len(), 2);
    let discarded = fleet.done(&["rejected", "discard", "--limit", "1", "--yes"]);
    assert_eq!(discarded, "discarded 1 event\n");
    let left = fleet.json(&["rejected", "list"]);
    assert_eq!((left.len(), &left[0]["id"]), (1, &3.into()));
}

#[test]
fn an_event_in_doubt_is_set_aside_by_the_owner_of_its_lane_and_by_nobody_else() {
    let fleet = Fleet::new();
    fleet.sorted("u-1", 7, 2);
    fleet.in_doubt("u-1", 2);
    let id = fleet.json(&["in-doubt", "list"])[0]["id"].to_string();
    let set_aside = ["in-doubt", "set-aside", "--id", &id, "--yes"];
    let nobody = fleet.ends(&set_aside, 1);
    assert!(
        nobody.contains("no relay owns lane") && nobody.contains("nothing was done"),
        "{nobody}"
    );
    assert_eq!(fleet.sql("SELECT count(*) FROM meditopia.command"), "0");
    let absent = fleet.ends(&["in-doubt", "set-aside", "--id", "5", "--yes"], 1);
    assert!(
        absent.contains("no event in doubt has the id 5"),
        "{absent}"
    );

    fleet.relay(None);
    let owner = fleet.owner(Answer::Changed(1));
    let done = fleet.done(&set_aside);
    assert!(
        done.starts_with("set 1 event aside; see: meditopia rejected list --store"),
        "{done}"
    );
    let asked = owner.end();
    let expected = Command::SetAside(vec![id.parse().unwrap()]);
    assert_eq!(asked, [(lane("u-1") as i16, expected)]);
    assert_eq!(fleet.sql("SELECT count(*) FROM meditopia.command"), "0");

    let owner = fleet.owner(Answer::Error("a disk is full".to_owned()));
    let failed = fleet.ends(&set_aside, 1);
    assert!(
        failed.contains("has not done it: a disk is full"),
        "{failed}"
    );
    owner.end();
}

#[test]
fn a_hold_stands_in_the_database_and_a_resume_ends_it_and_the_pauses_of_every_lane() {
    let fleet = Fleet::new();
    let held = fleet.done(&["hold", "--reason", "the account moves"]);
    assert!(
        held.contains(": the account moves; no relay sends until: meditopia resume --store"),
        "{held}"
    );
    let status = fleet.json(&["status"]);
    assert_eq!(status[0]["paused"], "hold");
    assert_eq!(status[0]["hold"]["reason"], "the account moves");
    let text = fleet.done(&["status"]);
    assert!(
        text.contains("held since") && text.contains("the account moves"),
        "{text}"
    );

    // Nobody owns a lane: the next owners find it.
    let resumed = fleet.done(&["resume"]);
    assert!(
        resumed.contains("resumed: delivery was paused (hold)"),
        "{resumed}"
    );
    assert!(resumed.contains("no relay owns 4 lanes"), "{resumed}");
    assert_eq!(fleet.sql("SELECT hold IS NULL FROM meditopia.meta"), "t");
    assert_eq!(
        fleet.sql("SELECT count(*) FROM meditopia.command WHERE answer IS NULL"),
        "4"
    );
    fleet.sql("DELETE FROM meditopia.command");

    fleet.relay(None);
    let owner = fleet.owner(Answer::Changed(0));
    let resumed = fleet.done(&["resume", "--accept-rejections", "6"]);
    assert!(
        resumed.contains("delivery was not paused") && resumed.contains("up to 6 events"),
        "{resumed}"
    );
    let mut asked = owner.end();
    asked.sort_by_key(|(lane, _)| *lane);
    let allowed = [2, 2, 1, 1].map(|rejections| Command::ResumeAllowing { rejections });
    assert_eq!(asked, Vec::from_iter((0..4).zip(allowed)));
}

#[test]
fn a_bisection_is_asked_of_the_owners_of_the_lanes_in_doubt() {
    let fleet = Fleet::new();
    assert!(
        fleet
            .done(&["in-doubt", "bisect"])
            .contains("nothing is in doubt")
    );
    fleet.sorted("u-1", 7, 2);
    fleet.in_doubt("u-1", 2);
    let asks = fleet.ends(&["in-doubt", "bisect"], 3);
    assert!(
        asks.contains("send the 2 events in doubt again in smaller requests"),
        "{asks}"
    );
    fleet.relay(None);
    let owner = fleet.owner(Answer::Changed(2));
    // This owner says that it searches, and does not.
    let late = fleet.ends(&["in-doubt", "bisect", "--timeout", "1", "--yes"], 6);
    assert!(
        late.contains("the search has not come to its end in time"),
        "{late}"
    );
    let asked = owner.end();
    assert!(
        matches!(&asked[0], (of, Command::Bisect(ids)) if *of == lane("u-1") as i16 && ids.len() == 2)
    );
    fleet.done(&["hold"]);
    let paused = fleet.ends(&["in-doubt", "bisect", "--yes"], 7);
    assert!(paused.contains("delivery is paused (hold)"), "{paused}");
}
