//! The sender is killed or stopped, there are two, or there is none.

use meditopia_testkit::wait::secs;
use rustix::process::Signal;

use crate::drill::Drill;

#[test]
fn an_operator_is_told_of_a_sender_that_was_killed() {
    let mut drill = Drill::start_on_clocks("sender killed");
    drill.strike();
    drill.service.take().unwrap().kill();
    drill.enqueue(20);
    drill.status("no sender is running");
    drill.wait(6);
    drill.check(1, "no sender was seen");
    drill.doctor(2, "warn  sender: no sender was");
    drill.alert("MeditopiaDown", secs(600));
    drill.set_wall(0);
    drill.start_service();
    drill.ended_by("its start");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_of_a_sender_that_is_stopped() {
    let mut drill = Drill::start("sender stopped");
    drill.strike();
    drill.service().signal(Signal::STOP);
    drill.enqueue(20);
    drill.status("its process is stopped");
    drill.check(2, "its process is stopped");
    drill.doctor(2, "its process is stopped");
    drill.type_next("kill -CONT");
    drill.end(0, 0);
}

#[test]
fn a_second_sender_stands_by_and_nobody_has_to_be_told() {
    let mut drill = Drill::start("two senders");
    drill.strike();
    let second = drill.another_service();
    second.wait_for_log("stand-by");
    second.wait_for_answer("/readyz", 200, "stand-by");
    drill.enqueue(20);
    drill.status("nothing is pending");
    drill.check(0, "0 events pending");
    drill.doctor(0, "is alive");
    drill.ready(200, "sending");
    drill.alerts(&[], secs(75 * 60));
    drill.service.take().unwrap().kill();
    second.wait_for_answer("/readyz", 200, "sending");
    drill.service = Some(second);
    drill.log("stand-by");
    drill.ended_by("the death of the first one");
    drill.end(0, 0);
}

#[test]
fn an_operator_is_told_that_nobody_sends() {
    let mut drill = Drill::start_on_clocks("nobody sends");
    drill.strike();
    drill.service().signal(Signal::TERM);
    drill.service.take().unwrap().wait_for_end();
    drill.enqueue(20);
    drill.status("no sender is running");
    drill.wait(6);
    drill.check(1, "no sender was");
    drill.doctor(2, "warn  sender: no sender was");
    drill.alert("MeditopiaDown", secs(600));
    drill.type_next("meditopia flush");
    drill.end_without_more(0, 0);
}

#[test]
fn an_operator_is_told_of_a_timer_that_was_forgotten() {
    let mut drill = Drill::start_without_sender("timer forgotten");
    drill.strike();
    drill.enqueue(20);
    drill.status("no sender was ever seen");
    drill.wait(6);
    drill.check(1, "no sender was");
    drill.doctor(2, "warn  sender: no sender was");
    drill.type_next("meditopia flush");
    drill.end_without_more(0, 0);
}
