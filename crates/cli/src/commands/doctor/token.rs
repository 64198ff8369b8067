//! Checks the bearer token: whether there is one, whether it fits a header, and who can read its
//! file. The token is never shown.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use meditopia::internals::config::{BearerToken, Settings, TokenSource};
use meditopia::internals::spelling::shell_word;

use super::{Finding, Report};
use crate::owner;

pub fn check(settings: &Settings, report: &mut Report) -> Option<BearerToken> {
    let source = &settings.bearer_token;
    if let Some(file) = source.file() {
        check_file_mode(file, report);
    }
    match (source.read(), source) {
        (Ok(Some(token)), TokenSource::File(file)) => {
            report.add(&Finding::ok(
                "bearer token",
                format!(
                    "{} characters of visible ASCII in {}",
                    token.expose().len(),
                    file.display()
                ),
            ));
            Some(token)
        }
        (Ok(Some(token)), _) => {
            report.add(&Finding::ok(
                "bearer token",
                format!("{} characters of visible ASCII", token.expose().len()),
            ));
            Some(token)
        }
        (Ok(None), _) => {
            report.add(&Finding::fail(
                "bearer token",
                "there is none",
                "set bearer_token_file to a file that holds the token from Meditopia",
            ));
            None
        }
        (Err(e), _) => {
            let advice = match source.file() {
                Some(file) if owner::is_unreadable(file) => {
                    format!(
                        "let {} read it; this command runs as that user",
                        owner::current_user()
                    )
                }
                _ => "put only the token into the file, as Meditopia gave it".to_owned(),
            };
            report.add(&Finding::fail("bearer token", e.message(), advice));
            None
        }
    }
}

fn check_file_mode(file: &Path, report: &mut Report) {
    const OTHERS_READ: u32 = 0o044;
    // If this fails, reading the file fails too and is reported.
    let Ok(metadata) = std::fs::metadata(file) else {
        return;
    };
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_READ != 0 {
        report.add(&Finding::warn(
            "token file rights",
            format!("other users can read {} (mode {mode:04o})", file.display()),
            format!(
                "let only its user read it: chmod 0600 {}",
                shell_word(&file.display().to_string())
            ),
        ));
    }
}
