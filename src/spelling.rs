//! How an error message shows a wrong word: quoted, shortened, and with the right word that was meant.
//!
//! Values come from users and may be megabytes long or hold control characters, so a message shows
//! only their beginning, escaped. Secrets do not belong here: their callers never quote them.

/// The characters of a wrong value that a message shows.
const SHOWN_CHARS: usize = 40;

/// `value` in quotes, its control characters escaped, cut after 40 characters.
pub(crate) fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{:?}...", &value[..cut]),
        None => format!("{value:?}"),
    }
}

/// `word` as a shell has to be given it, in a command that a message says to type.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/.:_-+=@%,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// `; did you mean "video"?` if one of the `known` words is near enough to `word`, else nothing.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(nearest(word, known))
}

/// `; did you mean "video"?`, or nothing.
pub(crate) fn did_you_mean(meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("; did you mean {meant:?}?"),
        None => String::new(),
    }
}

/// The one of the `known` words, written in lower case, that `word` most likely means, if any.
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
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        assert_eq!(nearest("vidoe", WORDS), Some("video"));
        assert_eq!(nearest("SIGN_IN", WORDS), Some("signin"));
        assert_eq!(nearest("Registered", WORDS), Some("register"));
    }

    #[test]
    fn a_word_that_resembles_nothing_gets_no_hint() {
        assert_eq!(nearest("purchase", WORDS), None);
        assert_eq!(nearest("", WORDS), None);
        assert_eq!(nearest(&"video".repeat(100_000), WORDS), None);
    }

    #[test]
    fn a_long_value_is_shown_by_its_beginning() {
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
