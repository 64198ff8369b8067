//! How a message shows a text that is not ours: what cannot be seen is escaped. And how it shows a wrong
//! value: quoted, shortened, and with the word that was probably meant.
//!
//! Values come from users and may be megabytes long or contain control characters, so a message
//! shows only their beginning, escaped. Callers must not pass secrets.

use std::fmt::Write;

/// How many characters of a wrong value a message shows.
const SHOWN_CHARS: usize = 40;

/// Whether `c` is seen as nothing, ends a line, controls a terminal, or changes the direction of the text around it.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// `text` with its unprintable characters as `\n` or `\u{202e}`: one line that shows all that is in it.
pub fn escape_unprintable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unprintable(c) {
            true => drop(write!(shown, "{}", c.escape_default())),
            false => shown.push(c),
        }
    }
    shown
}

/// `value` in quotes, with its control characters escaped, cut after 40 characters.
pub(crate) fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{:?}...", &value[..cut]),
        None => format!("{value:?}"),
    }
}

/// `word` quoted for a shell, in a command that a message tells to run.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/.:_-+=@%,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// `; did you mean "video"?` if one of the `known` words is similar to `word`; empty otherwise.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(nearest(word, known))
}

/// `; did you mean "video"?`; empty if `meant` is `None`.
pub(crate) fn did_you_mean(meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("; did you mean {meant:?}?"),
        None => String::new(),
    }
}

/// The one of the `known` words, which are in lower case, that `word` most likely means, if any.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().nth(SHOWN_CHARS).is_some() {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|&(edits, candidate)| edits <= candidate.len().div_ceil(3))
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unprintable_character_is_shown_escaped_by_messages_and_by_quotes() {
        let mut escaped = 0;
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            if is_unprintable(c) {
                escaped += 1;
                let shown = escape_unprintable(&text);
                assert!(shown.starts_with("a\\") && shown.is_ascii(), "{shown}");
                assert!(quoted(&text).is_ascii(), "{c:?}");
            } else {
                assert_eq!(escape_unprintable(&text), text);
            }
        }
        assert!(escaped > 4_000);
        assert_eq!(
            escape_unprintable("one\ntwo \u{202e}\u{2028}\u{1b}[31m ğ \u{1F600} \\"),
            r"one\ntwo \u{202e}\u{2028}\u{1b}[31m ğ ".to_owned() + "\u{1F600} \\"
        );
    }

    const WORDS: [&str; 3] = ["register", "signin", "video"];

    #[test]
    fn a_misspelt_word_is_matched_to_the_word_that_was_meant() {
        assert_eq!(nearest("vidoe", WORDS), Some("video"));
        assert_eq!(nearest("SIGN_IN", WORDS), Some("signin"));
        assert_eq!(nearest("Registered", WORDS), Some("register"));
    }

    #[test]
    fn a_word_that_is_similar_to_no_known_word_gets_no_hint() {
        assert_eq!(nearest("purchase", WORDS), None);
        assert_eq!(nearest("", WORDS), None);
        assert_eq!(nearest(&"video".repeat(100_000), WORDS), None);
    }

    #[test]
    fn a_message_shows_only_the_beginning_of_a_long_value() {
        assert_eq!(
            quoted(&"\u{e9}".repeat(40)),
            format!("{:?}", "\u{e9}".repeat(40))
        );
        assert_eq!(
            quoted(&"\u{e9}".repeat(41)),
            format!("{:?}...", "\u{e9}".repeat(40))
        );
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
    }
}
