//! Whether a text for people names a user, such as a message of the API, and the same text without.

/// Whether `text` names `user`, not as a part of a longer word.
#[cold]
pub(crate) fn names_user(text: &str, user: &str) -> bool {
    named_at(text, user).is_some()
}

/// Takes `user` out of `text`; says whether it was there. Nothing is put in its place: any text may be a user.
#[cold]
pub(crate) fn leave_user_out(text: &mut String, user: &str) -> bool {
    let before = text.len();
    while let Some(at) = named_at(text, user) {
        text.replace_range(at..at + user.len(), "");
    }
    text.len() < before
}

fn named_at(text: &str, user: &str) -> Option<usize> {
    if user.is_empty() {
        return None;
    }
    let ends_word = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    let mut found = text.match_indices(user).map(|(at, _)| at);
    found.find(|at| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        ends_word(before) && ends_word(bytes.get(at + user.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_in_a_text_and_leaves_it_but_not_as_a_part_of_a_word() {
        let mut text = "unknown user u-17 (u-171, xu-17): u-17.".to_owned();
        assert!(names_user(&text, "u-17"));
        assert!(leave_user_out(&mut text, "u-17"));
        assert_eq!(text, "unknown user  (u-171, xu-17): .");
        assert!(!leave_user_out(&mut text, "u-17"));
        assert!(!names_user(&text, ""));
    }
}
