//! The board, by which the lanes of one relay know of each other.
//!
//! Each lane has an engine of its own, and what one of them learns concerns the others:
//!
//! - `auth` (also: no token) and `misrouted` stop all lanes of the relay, and one lane at a time probes.
//! - `ip` has the relay give up all its lanes at once: other relays may be accepted. It takes one lane to probe with
//!   at the usual intervals.
//! - `mass_rejection` stops the lanes of every relay. What tells them is the table of the users that were refused in a
//!   row: while it has twice as many as `brake_users`, every relay pauses, and it goes on once the table has fewer
//!   than `brake_users`, which is after an acceptance anywhere or an operator's resume. A pause that begins earlier
//!   because an event cannot stand aside stops this relay; the others reject nothing either, because their brake
//!   counts the same table.
//! - `hold` stops all lanes while `meta.hold` says so. Its end resumes everything.
//! - `server_error` is the lane's own matter, and nothing of it is known here.
//!
//! A pause of the relay is in memory: a relay that is started again tries once, as any sender does.

mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meditopia::PauseReason;
use meditopia::internals::clock::{self, Moment};
use meditopia::internals::config::CurrentToken;
use meditopia::internals::delivery::{Pause, Policy};
use meditopia::internals::lanes::{Next, OwnedLane};
use meditopia::internals::log::Log;

pub use self::turns::{MayOwn, Order, Turn};

use self::turns::State;
use super::inbox::Inbox;

const NO_TOKEN: &str = "no bearer token; set bearer_token or bearer_token_file";

/// What the lanes of a relay have in common.
pub struct Board {
    tokens: Arc<CurrentToken>,
    log: Arc<Log>,
    shared: Mutex<Shared>,
}

struct Shared {
    state: State,
    inboxes: BTreeMap<i16, Arc<Inbox>>,
    /// How often the token had been replaced when it was looked at last.
    token_version: u64,
    /// What was wrong with the token's file, to say it once.
    token_error: Option<String>,
}

/// The API does not accept this relay's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// What the API said.
    pub cause: String,
    /// When the relay tries again.
    pub until: Option<Moment>,
}

impl Board {
    /// A board without lanes. Of `policy` it takes the pacing and the brake.
    pub fn new(policy: &Policy, tokens: Arc<CurrentToken>, log: Arc<Log>) -> Self {
        let rate = policy.max_requests_per_s;
        let users = usize::try_from(policy.brake_users).unwrap_or(usize::MAX);
        let spacing = rate.map(|rate| Duration::from_secs(1) / rate.get());
        let state = State::new(users, spacing);
        let shared = Shared {
            state,
            inboxes: BTreeMap::new(),
            token_version: tokens.version(),
            token_error: None,
        };
        Self {
            tokens,
            log,
            shared: Mutex::new(shared),
        }
    }

    /// The lane is open; `inbox` wakes it.
    pub(super) fn join(&self, lane: i16, inbox: Arc<Inbox>) {
        let mut shared = self.lock();
        shared.state.join(lane);
        shared.inboxes.insert(lane, inbox);
    }

    /// The lane is closed. If it was to probe a pause, another one does.
    pub(super) fn leave(&self, lane: i16) {
        let mut shared = self.lock();
        shared.state.leave(lane, clock::now());
        shared.inboxes.remove(&lane);
        shared.wake_others(lane);
    }

    /// What is true for the next step of the lane, which has to end the turn.
    pub(super) fn begin(&self, lane: i16, now: Moment) -> Turn {
        let mut shared = self.lock();
        if shared.look_at_token(&self.tokens, NO_TOKEN, &self.log, now) {
            shared.wake_others(lane);
        }
        shared.state.begin(lane, now)
    }

    /// The step has been taken, and `next` is what the lane does now.
    pub(super) fn end(&self, lane: i16, turn: &Turn, owned: &OwnedLane, next: Next, now: Moment) {
        let mut shared = self.lock();
        let (pause, token) = (owned.shared_pause(), owned.refused_token());
        let is_sending = next == Next::Send;
        if shared.state.end(lane, turn, pause, token, is_sending, now) {
            shared.wake_others(lane);
        }
    }

    /// The step has failed.
    pub(super) fn abandon(&self, lane: i16, turn: &Turn) {
        let mut shared = self.lock();
        shared.state.abandon(lane, turn, clock::now());
        shared.wake_others(lane);
    }

    /// Whether the lane goes on.
    pub(super) fn order(&self, lane: i16) -> Order {
        self.lock().state.order(lane)
    }

    /// When a lane that stands still because of a pause has to ask again by itself.
    pub(super) fn asks_again_at(&self, lane: i16) -> Option<Moment> {
        self.lock().state.asks_again_at(lane)
    }

    /// How many holds have ended: what a lane that is opened now need not resume for.
    pub(super) fn holds_ended(&self) -> u64 {
        self.lock().state.holds_ended()
    }

    /// An operator resumes: the pause of this relay ends. A hold does not: `meta.hold` says when it ends.
    pub fn resume(&self) {
        let mut shared = self.lock();
        shared.state.end_pause();
        shared.wake_all();
    }

    /// What `meta.hold` says: since when, wall time in milliseconds, and what for; `None`: there is no hold, or none
    /// any more.
    pub fn set_hold(&self, hold: Option<(i64, &str)>) {
        let now = clock::now();
        let hold = hold.map(|(since_ms, message)| Pause {
            since_ms,
            ..Pause::new(PauseReason::Hold, message, now)
        });
        let mut shared = self.lock();
        let is_held = hold.is_some();
        if shared.state.set_hold(hold) {
            match is_held {
                true => self
                    .log
                    .warn(format_args!("held: an operator has asked for it")),
                false => self.log.info(format_args!("delivery goes on after a hold")),
            }
            shared.wake_all();
        }
    }

    /// How many users `meditopia.refused_in_a_row` has, which was asked at `asked`.
    pub fn count_refused(&self, users: usize, asked: Moment) {
        let mut shared = self.lock();
        if shared.state.count_refused(users, asked, clock::now()) {
            match shared.state.pause().is_some() {
                true => self.log.error(format_args!(
                    "paused (mass_rejection): events of {users} users were refused in a row, counted over all relays; every event is kept"
                )),
                false => self.log.info(format_args!(
                    "delivery goes on after the pause (mass_rejection)"
                )),
            }
            shared.wake_all();
        }
    }

    /// Reads the token's file again if it has changed. Another token ends a pause because of the last one; without
    /// any all lanes pause. To be called about every second.
    pub fn follow_token(&self) {
        let followed = self.tokens.follow_file();
        let mut shared = self.lock();
        let why = match &followed {
            Ok(_) => {
                shared.token_error = None;
                NO_TOKEN
            }
            Err(e) => {
                if shared.token_error.as_deref() != Some(e.message()) {
                    self.log.error(format_args!("{e}"));
                    shared.token_error = Some(e.message().to_owned());
                }
                e.message()
            }
        };
        if shared.look_at_token(&self.tokens, why, &self.log, clock::now()) {
            shared.wake_all();
        }
    }

    /// The pause of all lanes of this relay, if there is one.
    pub fn pause(&self) -> Option<Pause> {
        self.lock().state.stop().cloned()
    }

    /// Whether the API refuses this relay's address, for its row in `meditopia.relay`.
    pub fn blocked(&self) -> Option<Blocked> {
        let shared = self.lock();
        let pause = shared.state.pause();
        let pause = pause.filter(|_| shared.state.is_blocked())?;
        Some(Blocked {
            cause: pause.message.clone(),
            until: pause.probe_at,
        })
    }

    /// Which lanes the relay may own just now.
    pub fn may_own(&self, now: Moment) -> MayOwn {
        self.lock().state.may_own(now)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Each change of the state is one call.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Says whether lanes have to know.
    fn look_at_token(
        &mut self,
        tokens: &CurrentToken,
        why_none: &str,
        log: &Log,
        now: Moment,
    ) -> bool {
        let version = tokens.version();
        let is_new = std::mem::replace(&mut self.token_version, version) != version;
        let is_auth = |pause: &Pause| pause.reason == PauseReason::Auth;
        if is_new
            && self.state.pause().is_some_and(is_auth)
            && tokens.differs_from(self.state.refused_token())
        {
            self.state.end_pause();
            log.info(format_args!("delivery goes on with another bearer token"));
            return true;
        }
        if tokens.current().is_none() && self.state.pause().is_none() {
            log.error(format_args!(
                "paused (auth): {why_none}; every event is kept"
            ));
            let pause = Pause::new(PauseReason::Auth, why_none, now);
            self.state.begin_pause(pause, None, now);
            return true;
        }
        false
    }

    fn wake_others(&self, lane: i16) {
        let others = self.inboxes.iter().filter(|(other, _)| **other != lane);
        others.for_each(|(_, inbox)| inbox.look());
    }

    fn wake_all(&self) {
        self.inboxes.values().for_each(|inbox| inbox.look());
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use meditopia::internals::config::{BearerToken, TokenSource};

    use super::*;

    fn board(policy: &Policy, token: &TokenSource) -> (Board, Arc<CurrentToken>) {
        let tokens = Arc::new(CurrentToken::from_source(token));
        let log = Arc::new(Log::new(None));
        (Board::new(policy, tokens.clone(), log), tokens)
    }

    fn reason(board: &Board) -> Option<PauseReason> {
        board.pause().map(|pause| pause.reason)
    }

    #[test]
    fn the_pace_of_a_relay_is_that_of_all_its_lanes() {
        let policy = Policy {
            max_requests_per_s: NonZeroU32::new(4),
            ..Policy::default()
        };
        let token = TokenSource::Given(BearerToken::new("token").unwrap());
        let (board, _) = board(&policy, &token);
        let now = clock::now();
        assert_eq!(board.begin(0, now).share.not_before, None);
        let slot = now.after(Duration::from_millis(250));
        assert_eq!(board.begin(1, now).share.not_before, Some(slot));
    }

    #[test]
    fn without_a_token_all_lanes_stop_until_there_is_one() {
        let (board, tokens) = board(&Policy::default(), &TokenSource::Absent);
        let turn = board.begin(0, clock::now());
        assert!(turn.share.pause.is_some() && !turn.share.may_probe);
        assert_eq!(reason(&board), Some(PauseReason::Auth));

        tokens.replace(BearerToken::new("token").unwrap());

        assert!(board.begin(1, clock::now()).share.pause.is_none());
        assert_eq!(reason(&board), None);
    }

    #[test]
    fn a_file_without_a_token_is_named_in_the_pause_and_one_that_gets_a_token_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let (board, _) = board(&Policy::default(), &TokenSource::File(path.clone()));
        board.follow_token();
        let pause = board.pause().unwrap();
        assert!(pause.message.contains("bearer_token_file"), "{pause:?}");

        std::fs::write(&path, "token").unwrap();
        board.follow_token();

        assert_eq!(board.pause(), None);
    }

    #[test]
    fn the_token_that_was_refused_ends_no_pause_and_another_one_does() {
        let token = || BearerToken::new("refused").unwrap();
        let (board, tokens) = board(&Policy::default(), &TokenSource::Given(token()));
        let refused = [[0; 16].as_slice(), b"not the token's"].concat();
        let pause = Pause::new(PauseReason::Auth, "refused", clock::now());
        let begin = |fingerprint: &[u8]| {
            let pause = pause.clone();
            let mut shared = board.lock();
            shared
                .state
                .begin_pause(pause, Some(fingerprint), clock::now());
        };
        begin(&refused);
        board.follow_token();
        assert_eq!(
            reason(&board),
            Some(PauseReason::Auth),
            "nothing was replaced"
        );

        tokens.replace(BearerToken::new("another").unwrap());
        board.follow_token();

        assert_eq!(reason(&board), None);
    }
}
