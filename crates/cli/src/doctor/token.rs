//! The bearer token: is there one, does it fit a header, and can nobody else read it? It is never shown.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use meditopia::internals::config::{BearerToken, Settings, TokenSource};

use super::{Finding, Report};
use crate::owner;

pub fn examine(settings: &Settings, report: &mut Report) -> Option<BearerToken> {
    let source = &settings.bearer_token;
    if let Some(file) = source.file() {
        rights(file, report);
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
                Some(file) if owner::is_refused(file) => {
                    format!("let {} read it, as whom this runs", owner::name())
                }
                _ => "put the token alone into the file, as Meditopia gave it".to_owned(),
            };
            report.add(&Finding::fail("bearer token", e.message(), advice));
            None
        }
    }
}

fn rights(file: &Path, report: &mut Report) {
    const OTHERS_READ: u32 = 0o044;
    // What cannot be looked at cannot be read either, which is told.
    let Ok(about) = std::fs::metadata(file) else {
        return;
    };
    let mode = about.mode() & 0o7777;
    if mode & OTHERS_READ != 0 {
        report.add(&Finding::warn(
            "token file rights",
            format!("others may read {} (mode {mode:04o})", file.display()),
            format!("chmod 0600 {}", file.display()),
        ));
    }
}
