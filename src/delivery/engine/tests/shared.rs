//! Engines of one lane each that stop and go together.

use super::*;

/// What the lanes have in common: another one has met this.
fn met(reason: PauseReason, spool: &Spool) -> Pause {
    Pause::new(reason, "another lane has met it", spool.now)
}

fn shared_by(spool: &mut Spool, pause: Option<&Pause>, may_probe: bool) {
    spool.engine.share_pause(pause, may_probe);
}

#[test]
fn an_engine_that_shares_a_pause_sends_nothing_until_it_may_probe() {
    let mut spool = Spool::with_events(100);
    let pause = met(PauseReason::Misrouted, &spool);
    shared_by(&mut spool, Some(&pause), false);
    spool.wait(FIRST_PROBE);
    assert!(matches!(
        spool.step(0, true),
        Step::Paused { probe_at: None, .. }
    ));

    shared_by(&mut spool, Some(&pause), true);
    assert!(spool.send_from(0).2, "it is a probe");
    shared_by(&mut spool, Some(&pause), true);

    let ended = spool.answer(Verdict::Delivered).pause;
    assert_eq!(ended, Some(PauseChange::Ended(PauseReason::Misrouted)));
}

#[test]
fn the_answer_to_a_request_from_before_a_shared_pause_neither_ends_nor_begins_one() {
    for verdict in [Verdict::Delivered, paused(PauseReason::Auth)] {
        let mut spool = Spool::with_events(200);
        spool.send();
        let pause = met(PauseReason::Auth, &spool);
        shared_by(&mut spool, Some(&pause), false);

        assert_eq!(spool.answer(verdict).pause, None);

        assert_eq!(spool.engine.pause_state(), Some(&pause));
    }
}

#[test]
fn a_probe_that_fails_makes_the_shared_pause_wait_longer() {
    let mut spool = Spool::with_events(100);
    let pause = met(PauseReason::Auth, &spool);
    spool.wait(FIRST_PROBE);
    shared_by(&mut spool, Some(&pause), true);
    spool.send();

    spool.answer(paused(PauseReason::Auth));

    let known = spool.engine.pause_state().unwrap();
    assert_eq!(known.probe_wait, 2 * FIRST_PROBE);
    assert_eq!(known.since_ms, pause.since_ms);
}

#[test]
fn the_end_of_a_shared_pause_has_the_engine_go_on() {
    let mut spool = Spool::with_events(100);
    let pause = met(PauseReason::Hold, &spool);
    shared_by(&mut spool, Some(&pause), false);
    shared_by(&mut spool, None, false);
    assert!(matches!(
        spool.step(0, true),
        Step::Send { probe: false, .. }
    ));
}

#[test]
fn server_errors_of_a_lane_pause_it_alone_and_outlast_a_shared_pause() {
    let mut spool = Spool::with_events(100);
    spool
        .engine
        .pause(PauseReason::ServerError, "its own", spool.now);
    shared_by(&mut spool, None, false);
    assert_eq!(spool.reason(), Some(PauseReason::ServerError));

    let pause = met(PauseReason::Auth, &spool);
    shared_by(&mut spool, Some(&pause), false);
    spool.wait(FIRST_PROBE);
    assert!(matches!(
        spool.step(0, true),
        Step::Paused { probe_at: None, .. }
    ));

    shared_by(&mut spool, None, false);
    assert_eq!(spool.reason(), Some(PauseReason::ServerError));
    assert!(matches!(
        spool.step(0, true),
        Step::Send { probe: true, .. }
    ));
}

#[test]
fn users_that_others_have_counted_turn_the_brake_on_and_their_acceptance_turns_it_off() {
    let mut spool = Spool::with(Policy {
        brake_users: 2,
        ..Policy::default()
    });
    spool.events[0][REGULAR] = vec![100; 3];
    let others = |users: &[&str]| users.iter().map(|user| (*user).to_owned()).collect();
    spool.engine.recount_refused(others(&["a", "b"]));
    spool.send();
    spool.answer(refused());
    spool.send();
    let outcome = spool.answer_to(0, "c", refused());
    assert_eq!(outcome.effect, Effect::Unjudged);
    assert_eq!(spool.engine.refused_in_a_row().len(), 3);

    spool.engine.recount_refused(others(&[]));
    spool.send();
    let outcome = spool.answer_to(0, "d", refused());

    assert!(
        matches!(outcome.effect, Effect::Rejected { .. }),
        "{outcome:?}"
    );
}

#[test]
fn no_request_leaves_before_the_slot_that_others_have_left() {
    let mut spool = Spool::with_events(100);
    let slot = spool.now.after(Duration::from_secs(2));
    spool.engine.not_before(Some(slot));
    assert!(matches!(spool.step(0, true), Step::Wait { until } if until == slot));
    spool.engine.not_before(None);
    assert!(matches!(spool.step(0, true), Step::Send { .. }));
}
