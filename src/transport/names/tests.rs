//! The name cache, with a resolver that the test controls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use super::*;

const HOST: &str = "partners.example";

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 443))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A cache whose n-th look-up, counted from 0, is `answer(n)`, and the count of look-ups.
fn names(
    answer: impl Fn(usize) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
) -> (NameCache, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let ask = move |_: &str, _: u16| answer(counter.fetch_add(1, Ordering::SeqCst));
    (NameCache::with_resolver(spawn_thread, Box::new(ask)), count)
}

/// A cache whose resolver is stuck until the channel's sender is dropped.
fn stuck() -> (NameCache, Arc<AtomicUsize>, Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (names, count) = names(move |_| {
        let _ = wait.lock().unwrap().recv();
        Ok(vec![address(1)])
    });
    (names, count, release)
}

#[test]
fn a_host_name_is_looked_up_once_while_its_addresses_are_cached() {
    let (names, count) = names(|round| Ok(vec![address(round as u8)]));
    let start = Instant::now();

    let first = names.resolve(HOST, 443, start, soon()).unwrap();
    let again = names
        .resolve("PARTNERS.example", 443, start, soon())
        .unwrap();
    let later = names
        .resolve(HOST, 443, Instant::now() + LIFETIME, soon())
        .unwrap();

    assert_eq!(
        (first, again, later),
        (vec![address(0)], vec![address(0)], vec![address(1)])
    );
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_host_name_whose_addresses_failed_is_looked_up_again() {
    let (names, _) = names(|round| Ok(vec![address(round as u8)]));
    names.resolve(HOST, 443, Instant::now(), soon()).unwrap();

    names.note_failed(HOST, 443, None);

    let found = names.resolve(HOST, 443, Instant::now(), soon()).unwrap();
    assert_eq!(found, [address(1)]);
}

#[test]
fn the_address_that_was_of_no_use_comes_last_and_not_the_one_that_connected_meanwhile() {
    let (names, _) = names(|_| Ok([1, 2, 3].map(address).into()));
    let order = || names.resolve(HOST, 443, Instant::now(), soon()).unwrap();
    assert_eq!(order(), [1, 2, 3].map(address));
    names.note_connected(HOST, 443, address(1));
    names.note_connected(HOST, 443, address(2));

    names.note_failed(HOST, 443, Some(address(1)));
    assert_eq!(order(), [2, 3, 1].map(address));

    names.note_failed(HOST, 443, Some(address(2)));
    assert_eq!(order(), [1, 3, 2].map(address));
}

#[test]
fn a_failed_look_up_is_reported_in_words_and_not_cached() {
    let (names, _) = names(|round| match round {
        0 => Err(io::Error::other(
            "failed to lookup address information: Name or service not known",
        )),
        1 => Ok(Vec::new()),
        _ => Ok(vec![address(7)]),
    });

    let resolve = || names.resolve(HOST, 443, Instant::now(), soon());

    assert_eq!(resolve().unwrap_err(), "name or service not known");
    assert_eq!(resolve().unwrap_err(), "the name has no address");
    assert_eq!(resolve().unwrap(), [address(7)]);
}

#[test]
fn a_stuck_look_up_costs_its_caller_the_deadline_and_the_process_one_thread() {
    let (names, count, release) = stuck();

    for _ in 0..5 {
        let deadline = Instant::now() + Duration::from_millis(20);
        let why = names
            .resolve(HOST, 443, Instant::now(), deadline)
            .unwrap_err();
        assert_eq!(why, "the resolver did not answer in time");
    }
    drop(release);

    assert_eq!(
        names.resolve(HOST, 443, Instant::now(), soon()).unwrap(),
        [address(1)]
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn callers_that_wait_at_the_same_time_share_one_look_up() {
    let (names, count, release) = stuck();

    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| names.resolve(HOST, 443, Instant::now(), soon())))
            .collect();
        drop(release);
        for caller in waiting {
            assert_eq!(caller.join().unwrap().unwrap(), [address(1)]);
        }
    });

    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_look_up_whose_thread_cannot_start_does_not_block_the_next_one() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    fn refuse_once(name: &'static str, run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        if REFUSED.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(io::Error::other("too many threads"));
        }
        spawn_thread(name, run)
    }
    let names = NameCache::with_resolver(refuse_once, Box::new(|_, _| Ok(vec![address(3)])));

    let why = names
        .resolve(HOST, 443, Instant::now(), soon())
        .unwrap_err();

    assert_eq!(
        why,
        "cannot start a thread for the look-up: too many threads"
    );
    assert_eq!(
        names.resolve(HOST, 443, Instant::now(), soon()).unwrap(),
        [address(3)]
    );
}

#[test]
fn ip_literals_and_localhost_need_no_look_up() {
    let (names, count) = names(|_| Ok(vec![address(9)]));
    let resolve = |host| {
        names
            .resolve(host, 80, Instant::now(), Instant::now())
            .unwrap()
    };

    assert_eq!(resolve("127.0.0.1"), ["127.0.0.1:80".parse().unwrap()]);
    assert_eq!(resolve("[::1]"), ["[::1]:80".parse().unwrap()]);
    let both = ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
    assert_eq!(resolve("LocalHost"), both);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}
