//! Users are erased between any two steps of a story.

use super::*;
use crate::dispatch::{Command, in_steps};
use crate::store::disk::Folder;
use crate::store::next_ledger::SpareLedger;
use crate::store::reader::ListPosition;
use crate::store::{ReceiptFilter, erasure};

/// What is known of one erasure.
struct Erased {
    user: String,
    /// Of the events of this user up to this one, those not sent by then and not bound are never seen again.
    numbers: BTreeSet<u32>,
    sent_before: usize,
}

impl Story {
    /// Erases a user as the sender does, and says what must not be seen again.
    fn erase(&mut self, user: &str) -> Erased {
        let escaped = user.as_bytes();
        let now = self.now;
        let spool = self.spool.clone();
        let state = self.state();
        let lanes = state.dispatcher.lane_count();
        let mut round = TakeOver::begin(&spool, &state.offsets.clone(), lanes, usize::MAX).unwrap();
        round.leave_out(escaped);
        while let Some(chunk) = round.read(&spool).unwrap() {
            state.take_over(&chunk, &mut round.lines).unwrap();
        }
        let mut bound = 0;
        for lane in 0..lanes {
            loop {
                let taken = state.dispatcher.take_out(lane, escaped, now).unwrap();
                if !taken.more {
                    bound += taken.bound;
                    break;
                }
            }
        }
        let mut at = ListPosition::from_run(0);
        let mut reader = Reader::open(&spool).unwrap().unwrap();
        let page = reader.next_runs(&mut at, usize::MAX).unwrap();
        state.dispatcher.take_out_behind(&page, escaped).unwrap();
        state.dispatcher.forget_user(escaped, bound > 0).unwrap();
        let filter = RejectedFilter {
            user: Some(user.to_owned()),
            ..RejectedFilter::default()
        };
        let upto = i64::MAX;
        let discard = Command::DiscardMatching { filter, upto };
        in_steps(&discard, |step| {
            state.dispatcher.carry_out(step, now).map(Some)
        })
        .unwrap();
        let store = &mut state.dispatcher.store;
        let (named, disk) = (store.named_files(), store.disk());
        store.rewrite(named);
        let next = store
            .begin_next_ledger(SpareLedger::take(&*disk).unwrap())
            .unwrap();
        next.publish().unwrap();
        store.use_next_ledger(next);
        erasure::erase_receipts(&*disk, escaped, || Ok(())).unwrap();

        let mut reader = Reader::open(&spool).unwrap().unwrap();
        let runs = reader
            .next_runs(&mut ListPosition::from_run(0), usize::MAX)
            .unwrap();
        let of_user = |fragment: &&[u8]| event::user_of(fragment) == escaped;
        let waiting = runs.iter().flat_map(|(_, run)| run.waiting());
        let left: Vec<u32> = waiting
            .map(|(_, fragment, _)| fragment)
            .filter(of_user)
            .map(number_of)
            .collect();
        assert_eq!(left.len() as u64, bound, "only what is bound is left");
        if bound == 0 {
            let mark = event::mark_of_user(escaped);
            for folder in Folder::ALL {
                for name in disk.list(folder).unwrap() {
                    let has = erasure::file_has_mark(&*disk, (folder, &name), &mark);
                    assert!(!has.unwrap(), "{user} stands in {}/{name}", folder.name());
                }
            }
            assert!(erasure::ledgers_naming(&spool, escaped).unwrap().is_empty());
        }
        let receipts = reader
            .receipts(&ReceiptFilter::default(), usize::MAX)
            .unwrap();
        let mut shares = receipts
            .iter()
            .flat_map(|(_, receipt)| receipt.shares.iter());
        assert!(shares.all(|share| share.user != escaped));

        let of_user = |(of, number): &(String, u32)| (of == user).then_some(*number);
        let sent: BTreeSet<u32> = self.ledger.iter().filter_map(of_user).collect();
        let numbers = self.by_user.get(user).into_iter().flatten().copied();
        let numbers = numbers.filter(|number| !sent.contains(number) && !left.contains(number));
        Erased {
            user: user.to_owned(),
            numbers: numbers.collect(),
            sent_before: self.ledger.len(),
        }
    }
}

fn number_of(fragment: &[u8]) -> u32 {
    let event: serde_json::Value = serde_json::from_slice(fragment).unwrap();
    event["event_value"].as_str().unwrap().parse().unwrap()
}

#[test]
fn who_is_erased_between_any_two_steps_is_not_sent_again_and_nobody_else_is_missed() {
    // Each erasure waits for the disk.
    for seed in 1..=STORIES / 5 {
        let told = std::panic::catch_unwind(|| {
            let mut story = Story::new(seed);
            story.enqueue();
            let mut erased = Vec::new();
            for _ in 0..300 {
                story.step();
                if story.rng.u32(0..12) == 0 {
                    let user = format!("u{}", story.rng.u32(0..12));
                    erased.push(story.erase(&user));
                    if story.rng.bool() {
                        // The sender dies.
                        story.state = None;
                    }
                }
            }
            story.drain();
            let mut gone = BTreeSet::new();
            for Erased {
                user,
                numbers,
                sent_before,
            } in &erased
            {
                let after = &story.ledger[*sent_before..];
                let seen = after.iter().find(|(_, number)| numbers.contains(number));
                assert_eq!(seen, None, "{user} was erased");
                gone.extend(numbers);
            }
            story.check_but(&gone);
        });
        assert!(told.is_ok(), "story {seed}");
    }
}
