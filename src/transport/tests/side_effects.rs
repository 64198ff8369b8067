//! No side effects on the application: no read of the environment, no thread for a request, no
//! secret in a text.

use super::server::{Authority, Server, refusing_address};
use super::*;

/// The number of the next thread: the standard library counts the threads that it starts.
fn next_thread() -> u64 {
    let id = std::thread::spawn(|| std::thread::current().id())
        .join()
        .unwrap();
    let digits: String = format!("{id:?}")
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

#[test]
fn no_request_starts_a_thread() {
    const NAME: &str = "transport::tests::side_effects::no_request_starts_a_thread";
    let Some(endpoint) = child_argument() else {
        let server = Server::answering(NO_CONTENT);
        in_child(NAME, &server.http(), &[]);
        assert_eq!(server.requests().len(), 51);
        return;
    };
    let transport = Options::new(endpoint).open();
    transport.post_once().answer();

    let before = next_thread();
    for _ in 0..50 {
        transport.post_once().answer();
    }

    assert_eq!(next_thread() - before, 1, "only the thread that counts");
}

#[test]
fn a_request_reads_nothing_from_the_environment() {
    const NAME: &str =
        "transport::tests::side_effects::a_request_reads_nothing_from_the_environment";
    let Some(argument) = child_argument() else {
        let authority = Authority::new();
        let plain = Server::answering(NO_CONTENT);
        let sealed = Server::start_tls(&authority.certify("localhost"), |peer| {
            peer.serve(NO_CONTENT)
        });
        let trap = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let proxy = format!("http://{}", trap.address);
        let bundle = authority.bundle().to_str().unwrap();
        let mut environment = vec![("SSL_CERT_FILE", bundle), ("REQUESTS_CA_BUNDLE", bundle)];
        let names = [
            "ALL_PROXY",
            "all_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
        ];
        environment.extend(names.map(|name| (name, proxy.as_str())));

        in_child(
            NAME,
            &format!("{} {}", plain.http(), sealed.https()),
            &environment,
        );

        assert_eq!(trap.connections(), 0);
        assert_eq!((plain.requests().len(), sealed.requests().len()), (1, 0));
        assert_eq!(sealed.connections(), 1);
        return;
    };
    let (plain, sealed) = argument.split_once(' ').unwrap();

    assert_eq!(Options::new(plain).open().post_once().answer().status, 204);
    let why = Options::new(sealed).open().post_once().not_sent();
    assert!(why.contains("unknown issuer"), "{why}");
}

#[test]
fn the_bearer_token_appears_in_no_error_and_no_debug_text() {
    let authority = Authority::new();
    let sealed = Server::start_tls(&authority.certify("localhost"), |peer| {
        peer.serve(NO_CONTENT)
    });
    let endpoints = [
        format!("http://{}/", refusing_address()),
        Server::start(|peer| drop(peer.request())).http(),
        Server::answering_once("garbage\r\n\r\n").http(),
        Server::answering(NO_CONTENT).http(),
        sealed.https(),
    ];
    for endpoint in endpoints {
        let transport = Options::new(endpoint).open();
        let text = format!("{:?} {transport:?}", transport.post_once());
        assert!(!text.contains(TOKEN), "{text}");
    }
}

/// Where this process can write and has the text whose bytes are those of `masked`, inverted. Allocates nothing
/// until it has found it: what was freed would be used again, and not be found. So `page` and `maps` are large.
fn places_of(masked: &[u8], page: &mut [u8], maps: &mut String) -> Vec<String> {
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    maps.clear();
    let mut file = std::fs::File::open("/proc/self/maps").unwrap();
    file.read_to_string(maps).unwrap();
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [mut at, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        while at < to {
            let length = page.len().min((to - at) as usize);
            // Some mappings cannot be read.
            let read = memory.read_at(&mut page[..length], at).unwrap_or(0);
            let is_it = |part: &[u8]| part.iter().zip(masked).all(|(one, other)| *one == !other);
            if page[..read].windows(masked.len()).any(is_it) {
                found.push(line.to_owned());
            }
            page[..read].fill(0);
            // A text may lie across two reads.
            at += length.max(masked.len() + 1) as u64 - masked.len() as u64;
        }
    }
    found
}

#[test]
fn a_bearer_token_that_is_dropped_is_nowhere_in_memory_after_its_requests() {
    const NAME: &str = "transport::tests::side_effects::a_bearer_token_that_is_dropped_is_nowhere_in_memory_after_its_requests";
    let Some(argument) = child_argument() else {
        let authority = Authority::new();
        let plain = Server::answering(NO_CONTENT);
        let sealed = Server::start_tls(&authority.certify("localhost"), |peer| {
            peer.serve(NO_CONTENT)
        });
        let stuck = Server::start(|peer| {
            peer.first_byte();
            std::thread::sleep(Duration::from_secs(5));
        });
        let bundle = authority.bundle().display();
        let servers = [plain.http(), sealed.https(), stuck.http()].join(" ");
        in_child(NAME, &format!("{servers} {bundle}"), &[]);
        for server in [plain, sealed] {
            let requests = server.requests();
            let sent = requests[0].header("authorization");
            assert!(sent.is_some_and(|sent| sent.ends_with("gone-with-its-request-0123456789")));
        }
        return;
    };
    let [plain, sealed, stuck, bundle] = argument.splitn(4, ' ').collect::<Vec<_>>()[..] else {
        panic!("{argument}");
    };
    let masked: Vec<u8> = b"gone-with-its-request-0123456789"
        .iter()
        .map(|byte| !byte)
        .collect();
    let token = || {
        // So long that no small allocation covers all of what is freed.
        const BEFORE: usize = 4_000;
        let mut text = String::with_capacity(BEFORE + masked.len());
        text.extend(std::iter::repeat_n('x', BEFORE));
        text.extend(masked.iter().map(|byte| char::from(!byte)));
        SecretString::from(text)
    };
    let [plain, sealed] =
        [Options::new(plain), Options::new(sealed).ca_file(bundle)].map(|options| options.open());
    let (mut page, mut maps) = (vec![0; 1 << 20], String::with_capacity(1 << 20));
    let mut places = || places_of(&masked, &mut page, &mut maps);
    // It is found while there is one.
    let held = token();
    assert!(!places().is_empty());
    for transport in [&plain, &sealed] {
        transport.post(&held, BODY).answer();
    }
    drop(held);
    // Before the connections are closed, and their buffers used for something else.
    let found = places();
    // A request of which only a part leaves.
    let stuck = Options::new(stuck).request_timeout(millis(300)).open();
    stuck.post(&token(), &vec![b'x'; 16 << 20]).unsettled();
    let found_later = places();
    assert!(
        found.is_empty() && found_later.is_empty(),
        "{found:#?}; after a failed write: {found_later:#?}"
    );
    drop((plain, sealed));
}
