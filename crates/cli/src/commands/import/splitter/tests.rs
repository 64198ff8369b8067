//! Inputs of all kinds, split in pieces of any length: the records are the same, and those that were written.

use meditopia::internals::event::Rules;

use super::*;

const SEEDS: u64 = 400;

/// What a splitter finds in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Good(Vec<String>),
    Bad(String),
    /// Where, from the beginning of the input.
    Broken(usize, String),
}

fn layout(format: Format, delimiter: u8) -> Layout {
    Layout {
        format,
        delimiter,
        names: Names::default(),
    }
}

/// Splits `input` as it arrives in pieces, and starts anew in the saved state after some records.
fn split(
    layout: &Layout,
    input: &[u8],
    mut piece: impl FnMut() -> usize,
    mut starts_anew: impl FnMut() -> bool,
) -> Vec<Found> {
    let mut splitter = Splitter::new(layout, &SplitterState::default());
    let (mut consumed, mut read, mut all) = (0, 0, Vec::new());
    loop {
        let buffered = &input[consumed..read];
        consumed += match splitter.next(buffered, read == input.len()) {
            Split::NeedMore => {
                assert!(read < input.len(), "all of the input is there");
                read = (read + piece()).min(input.len());
                0
            }
            Split::Skip(bytes) => bytes,
            Split::Record {
                range,
                consumed: bytes,
            } => {
                all.push(Found::Good(match splitter.original(&buffered[range]) {
                    OriginalRecord::Text(text) => vec![text],
                    OriginalRecord::Columns(texts) => texts,
                }));
                if starts_anew() {
                    splitter = Splitter::new(layout, &splitter.state());
                }
                bytes
            }
            Split::Bad {
                why,
                consumed: bytes,
            } => {
                all.push(Found::Bad(why));
                bytes
            }
            Split::End => return all,
            Split::Broken { at, why } => {
                all.push(Found::Broken(consumed + at, why));
                return all;
            }
        };
    }
}

/// Some of these, one after the other.
fn some_of(random: &mut fastrand::Rng, parts: &[&str], count: usize) -> String {
    let count = random.usize(0..=count);
    (0..count)
        .filter_map(|_| random.choice(parts))
        .copied()
        .collect()
}

#[test]
fn an_input_that_arrives_in_pieces_of_any_length_has_the_same_records() {
    const CSV: &[&str] = &[
        "t",
        ",",
        ",",
        "\"",
        "\"\"",
        "\n",
        "\r\n",
        "\r",
        " ",
        ";",
        "é",
        "t,u,video\n",
        "\"t\",\"u\",\"v\"\n",
    ];
    const JSON: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "\\",
        "\n",
        " ",
        "{\"a\":\"x\\\"}\"}",
        "{\"events\":[",
        "1",
        "é",
    ];
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let (format, start, parts) = match seed % 3 {
            0 => (Format::Csv, "token,partner_user_id,event\n", CSV),
            1 => (Format::Json, "[", JSON),
            _ => (Format::Ndjson, "", JSON),
        };
        let input = format!("{start}{}", some_of(&mut random, parts, 60)).into_bytes();
        let layout = layout(format, b',');
        let whole = split(&layout, &input, || input.len(), || false);
        for longest in [1, 2, 7, 40] {
            let mut other = random.fork();
            let pieces = split(
                &layout,
                &input,
                || random.usize(1..=longest),
                || other.bool(),
            );
            assert_eq!(
                pieces,
                whole,
                "seed {seed}: {:?}",
                String::from_utf8_lossy(&input)
            );
        }
    }
}

#[test]
fn csv_that_was_written_by_rule_yields_the_fields_that_were_written() {
    const TEXTS: &[&str] = &["a", "\"", ",", ";", "\n", "\r\n", " ", "é", "\t", "|"];
    const LINE_BREAKS: &[&str] = &["\n", "\r\n", "\r", "\n\n"];
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let delimiter = *random.choice([',', ';', '\t', '|'].iter()).unwrap();
        let join = |fields: [&str; 3]| fields.join(&delimiter.to_string());
        let mut input = join(["token", "partner_user_id", "event"]) + "\n";
        let mut rows = Vec::new();
        for _ in 0..random.usize(1..20) {
            let fields: [String; 3] = std::array::from_fn(|_| some_of(&mut random, TEXTS, 6));
            let written: [String; 3] = std::array::from_fn(|at| {
                let field = &fields[at];
                let needs_quotes = field.contains(['"', '\r', '\n', delimiter]);
                match needs_quotes || random.bool() {
                    true => format!("\"{}\"", field.replace('"', "\"\"")),
                    false => field.clone(),
                }
            });
            input += &join([&written[0], &written[1], &written[2]]);
            input += random.choice(LINE_BREAKS).unwrap();
            rows.push(Found::Good(fields.to_vec()));
        }
        let layout = layout(Format::Csv, delimiter as u8);
        let read = split(&layout, input.as_bytes(), || random.usize(1..9), || false);
        assert_eq!(read, rows, "seed {seed}: {input:?}");
    }
}

#[test]
fn a_quote_that_is_not_closed_stops_the_import_where_it_opens() {
    let layout = layout(Format::Csv, b',');
    let header = "token,partner_user_id,event\nt,a,video\n";
    for (rest, at) in [
        // Up to the end, up to the next quoted field, and up to a quote of an empty one.
        ("t,\"b,video\nt,c,video\n", 2),
        ("t,\"b,video\nt,\"c\",video\n", 2),
        ("t,\"b,video\n\"t\",c,video\n", 2),
        ("t,\"b,video\nt,\"\",video\n", 2),
        ("t,b,\"video", 4),
        ("t,\"b\"c,video\n", 2),
        ("\"t\",\"b\" ,\"video\" x\n", 9),
    ] {
        let input = format!("{header}{rest}");
        for piece in [1, 3, input.len()] {
            let found = split(&layout, input.as_bytes(), || piece, || false);
            let [Found::Good(_), Found::Broken(where_it_is, _)] = &found[..] else {
                panic!("{rest:?}: {found:?}");
            };
            assert_eq!(where_it_is - header.len(), at, "{rest:?}");
        }
    }
    let long = format!("{header}t,\"{}", "b,\n".repeat(RECORD_MAX_BYTES));
    let found = split(&layout, long.as_bytes(), || 1 << 20, || false);
    assert!(
        matches!(found[..], [Found::Good(_), Found::Broken(..)]),
        "{:?}",
        found.len()
    );
    // A long one that is closed is bad, and hides no other.
    let found = split(
        &layout,
        format!("{long}\"\nt,c,video\n").as_bytes(),
        || 1 << 20,
        || false,
    );
    assert!(
        matches!(found[..], [Found::Good(_), Found::Bad(_), Found::Good(_)]),
        "{:?}",
        found.len()
    );
}

#[test]
fn the_separator_of_csv_is_the_one_that_its_header_has() {
    let names = Names::new(&[("user id".to_owned(), "partner_user_id")], false);
    for (header, separator) in [
        (
            "token,partner_user_id,event\nt;a;b;c;d,u,video\n",
            Some(b','),
        ),
        ("\r\ntoken;user id;event\r\n", Some(b';')),
        ("\"token\"\t\"user id\"\t\"event\"", Some(b'\t')),
        ("x,y,z|token| event |w,v", Some(b'|')),
        ("token", Some(b',')),
        ("a;b;c\n", None),
        ("", None),
    ] {
        let sniffed = sniff_delimiter(header.as_bytes(), &names);
        assert_eq!(sniffed.map(|(byte, _)| byte), separator, "{header:?}");
    }
}

#[test]
fn a_header_says_what_is_wrong_with_it_and_what_to_do() {
    let read = |header: &str, names: Names| {
        let layout = Layout {
            names,
            ..layout(Format::Csv, b',')
        };
        let mut splitter = Splitter::new(&layout, &SplitterState::default());
        match splitter.next(header.as_bytes(), false) {
            Split::Skip(_) => String::new(),
            Split::Broken { why, .. } => why,
            other => panic!("{other:?}"),
        }
    };
    let map = |map: &str| Names::new(&[Names::parse_map(map).unwrap()], false);
    for (header, names, why) in [
        ("token,partner_user_id,event\n", Names::default(), ""),
        ("token,user,event\n", map("user=partner_user_id"), ""),
        ("token,x,partner_user_id,event\n", Names::new(&[], true), ""),
        (
            "token,user,event\n",
            Names::default(),
            "--map NAME=FIELD, or leave out",
        ),
        (
            "token,event\n",
            Names::default(),
            "--map NAME=partner_user_id",
        ),
        (
            "token,event\n",
            Names::new(&[], true),
            "no column partner_user_id",
        ),
        ("a,b,c\n", Names::default(), "none of the columns"),
        ("a,b,c\n", Names::new(&[], true), "none of the columns"),
        (
            "token,event,token\n",
            Names::default(),
            "the column token twice",
        ),
        (
            "token,event,x\n",
            map("x=token"),
            "the column token twice, at last as \"x\"",
        ),
        (
            "token,partner_user_id,event\n",
            map("x=token"),
            "no column \"x\", which --map names",
        ),
    ] {
        let said = read(header, names);
        assert!(
            said.contains(why) && why.is_empty() == said.is_empty(),
            "{header}: {said:?}"
        );
    }
}

#[test]
fn columns_that_are_left_out_are_in_no_event() {
    let layout = Layout {
        names: Names::new(&[("user".to_owned(), "partner_user_id")], true),
        ..layout(Format::Csv, b',')
    };
    let mut splitter = Splitter::new(&layout, &SplitterState::default());
    let input = b"x,token,user,event,y\n1,t,u-1,video,2\n";
    assert_eq!(splitter.next(input, true), Split::Skip(21));
    let found = splitter.next(&input[21..], true);
    assert!(matches!(found, Split::Record { .. }), "{found:?}");
    let mut events = Batch::new();
    splitter
        .check(b"", &Rules::default(), 0, &mut events)
        .unwrap();
    let event = String::from_utf8(events.iter().next().unwrap().to_vec()).unwrap();
    assert!(event.contains(r#""u-1""#), "{event}");
    for left_out in [r#""1""#, r#""2""#, r#""x""#] {
        assert!(!event.contains(left_out), "{event}");
    }
}
