//! The API's bearer token, and where it comes from.
//!
//! The token is sent in one header and appears nowhere else: it has no `Display`, `Debug` hides it,
//! no error quotes it, and its memory is wiped when it is dropped. (The `token` of an event is
//! another thing: the user's.)

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use once_cell::race::OnceNonZeroUsize;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{random_u64, read_file};

/// More than servers accept in a header.
const MAX_TOKEN_BYTES: usize = 16_384;

/// Bytes of the salt at the beginning of a fingerprint.
const SALT_BYTES: usize = 16;

/// The bearer token that authorises requests to the API: visible ASCII, valid in a header.
#[derive(Clone)]
pub struct BearerToken(SecretString);

impl BearerToken {
    /// A token given as text, without the word `Bearer`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is empty, longer than 16 KiB, or not visible ASCII.
    pub fn new(text: &str) -> Result<Self> {
        Self::parse(text)
            .map_err(|wrong| Error::new(ErrorKind::Config, format!("bearer token: {wrong}")))
    }

    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = if text.is_empty() {
            "is empty"
        } else if text.len() > MAX_TOKEN_BYTES {
            "is longer than 16 KiB"
        } else if text
            .get(..7)
            .is_some_and(|word| word.eq_ignore_ascii_case("bearer "))
        {
            "starts with the word Bearer; give the token alone"
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "contains a character that is not visible ASCII"
        } else {
            return Ok(Self(text.into()));
        };
        Err(wrong.to_owned())
    }

    /// Reads a token from a file, without the white space around it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the file cannot be read or holds no valid token; it names the file.
    pub fn read_file(path: &Path) -> Result<Self> {
        let wrong = |what: &dyn fmt::Display| {
            let path = path.display();
            Error::new(
                ErrorKind::Config,
                format!("bearer_token_file {path}: {what}"),
            )
        };
        // Allocated at its full size, because growing would leave copies in memory that nothing
        // wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * MAX_TOKEN_BYTES));
        read_file(path, 2 * MAX_TOKEN_BYTES as u64, &mut bytes).map_err(|cause| wrong(&cause))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&"is no text in UTF-8"))?;
        Self::parse(text.trim()).map_err(|what| wrong(&what))
    }

    /// The token as a secret, for the one header that carries it.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The token itself, for the header and nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What tells this token from others without telling the token: a salt and a hash.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let mut salt = [0; SALT_BYTES];
        // The salt need not be secret, only seldom the same twice.
        salt[..8].copy_from_slice(&random_u64().to_le_bytes());
        salt[8..].copy_from_slice(&clock::boot_ns().to_le_bytes());
        self.salted(&salt)
    }

    /// Whether `fingerprint` is one of this token.
    pub(crate) fn has_fingerprint(&self, fingerprint: &[u8]) -> bool {
        let salt = fingerprint.get(..SALT_BYTES).unwrap_or_default();
        self.salted(salt) == fingerprint
    }

    /// A number that another token hardly has, for the memory of a process. Not 0. The salt is the process's own.
    pub(crate) fn tag(&self) -> u64 {
        static SALT: OnceNonZeroUsize = OnceNonZeroUsize::new();
        let salt = SALT.get_or_init(|| NonZeroUsize::MIN | random_u64() as usize);
        let salt = salt.get().to_ne_bytes();
        let salted = self.salted(&salt);
        salted[salt.len()..][..8]
            .iter()
            .fold(0, |tag, byte| tag << 8 | u64::from(*byte))
            .max(1)
    }

    fn salted(&self, salt: &[u8]) -> Vec<u8> {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(salt);
        context.update(self.expose().as_bytes());
        [salt, context.finish().as_ref()].concat()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(***)")
    }
}

/// Where the bearer token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// Nowhere: this process can enqueue but not send.
    Absent,
    /// The token was given as a value.
    Given(BearerToken),
    /// The token is in this file, which is read when needed: see [`BearerToken::read_file`].
    File(PathBuf),
}

impl TokenSource {
    /// The current token, read from its file if it comes from one.
    ///
    /// # Errors
    /// As [`BearerToken::read_file`].
    pub fn read(&self) -> Result<Option<BearerToken>> {
        match self {
            Self::Absent => Ok(None),
            Self::Given(token) => Ok(Some(token.clone())),
            Self::File(path) => BearerToken::read_file(path).map(Some),
        }
    }

    /// The file that the token comes from.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Absent | Self::Given(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_does_not_fit_a_header_is_refused_by_an_error_that_does_not_quote_it() {
        for bad in [
            "",
            "s3cr3t\r\nHost: x",
            "s3cr3t x",
            "s3cr3t\u{e9}",
            "Bearer s3cr3t",
        ] {
            let error = BearerToken::new(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!error.message().contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn the_debug_output_of_a_token_source_hides_the_token() {
        let source = TokenSource::Given(BearerToken::new("s3cr3t").unwrap());
        assert_eq!(format!("{source:?}"), "Given(BearerToken(***))");
    }

    #[test]
    fn a_token_file_is_read_anew_each_time_without_its_white_space() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = TokenSource::File(file.path().to_owned());
        for token in ["first", "second"] {
            std::fs::write(file.path(), format!("\n {token} \r\n")).unwrap();
            assert_eq!(source.read().unwrap().unwrap().expose(), token);
        }
    }

    #[test]
    fn the_error_about_a_file_without_a_token_names_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "s3cr3t".repeat(MAX_TOKEN_BYTES);
        for text in ["", " \n", "s3cr3t s3cr3t", &long] {
            std::fs::write(file.path(), text).unwrap();
            let error = BearerToken::read_file(file.path()).expect_err("no token");
            assert!(error.message().contains(&file.path().display().to_string()));
            assert!(!error.message().contains("s3cr3t"));
        }
        let missing = BearerToken::read_file(Path::new("/does/not/exist")).expect_err("missing");
        assert!(missing.message().contains("/does/not/exist"), "{missing}");
    }
}
