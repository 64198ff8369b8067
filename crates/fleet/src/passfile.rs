//! The password file of libpq, `~/.pgpass`: lines of `host:port:database:user:password`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use meditopia::internals::config::read_text;
use secrecy::SecretString;

use crate::failure::{Failure, Result};

/// What a line has to match.
pub(crate) struct Wanted<'a> {
    /// `localhost` for a socket.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

/// The password of the first line that matches; `None` if no line does, or there is no file.
pub(crate) fn find(path: &Path, wanted: &Wanted<'_>) -> Result<Option<SecretString>> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::misconfigured(format_args!("passfile {}: {what}", path.display()))
    };
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(wrong(&cause)),
    };
    if about.mode() & 0o077 != 0 {
        return Err(wrong(&"other users may read it; change that: chmod 600"));
    }
    let text = read_text(path).map_err(|cause| wrong(&cause))?;
    Ok(text.lines().find_map(|line| password_of(line, wanted)))
}

fn password_of(line: &str, wanted: &Wanted<'_>) -> Option<SecretString> {
    if line.starts_with('#') {
        return None;
    }
    let port = wanted.port.to_string();
    let mut rest = line;
    for expected in [wanted.host, &port, wanted.database, wanted.user] {
        let (field, after) = next_field(rest);
        if field != expected && field != "*" {
            return None;
        }
        rest = after?;
    }
    Some(next_field(rest).0.into())
}

/// A field without its escapes, and what follows its colon.
fn next_field(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (field, Some(&text[at + 1..])),
            '\\' => field.extend(chars.next().map(|(_, c)| c)),
            c => field.push(c),
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    const WANTED: Wanted<'_> = Wanted {
        host: "db",
        port: 5432,
        database: "shop",
        user: "ada",
    };

    #[test]
    fn the_first_line_that_matches_has_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgpass");
        assert!(find(&file, &WANTED).unwrap().is_none());
        let lines = "# db:5432:shop:ada:no\nother:*:*:*:no\ndb:5433:*:*:no\n*:*:*:ad\\a:a\\:b\\\\c\n*:*:*:*:no\n";
        write(&file, lines).unwrap();
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let found = find(&file, &WANTED).unwrap().unwrap();
        assert_eq!(found.expose_secret(), "a:b\\c");
    }

    #[test]
    fn a_password_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgpass");
        write(&file, "*:*:*:*:quagga\n").unwrap();
        set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let message = find(&file, &WANTED).unwrap_err().message().to_owned();
        assert!(
            message.contains("chmod 600") && !message.contains("quagga"),
            "{message}"
        );
    }
}
