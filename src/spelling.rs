//! How an error message shows a wrong value: quoted, shortened, and with the word that was probably
//! meant.
//!
//! Values come from users and may be megabytes long or contain control characters, so a message
//! shows only their beginning, escaped. Callers must not pass secrets.

/// How many characters of a wrong value a message shows.
const SHOWN_CHARS: usize = 40;

/// `value` in quotes, with its control characters escaped, cut after 40 characters.
pub(crate) fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{:?}...", &value[..cut]),
        None => format!("{value:?}"),
    }
}

/// `word` quoted for a shell, in a command that a message tells to run.
pub(crate) fn shell_word(word: &str) -> String {
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
