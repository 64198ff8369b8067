//! `meditopia man`: the manual pages of the command, generated from the definitions behind `--help`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

/// What the last part of each `--help` begins with.
const EXAMPLES_BEGIN: &str = "Examples:";

/// The last part of `--help`.
pub(crate) const EXAMPLES: &str = "Examples:
  meditopia man --out ~/.local/share/man/man1";

#[derive(Args)]
pub(crate) struct Options {
    /// The directory to write them into, such as /usr/local/share/man/man1; it is created if needed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes a page for the command and for each subcommand, replacing existing ones.
pub(crate) fn run(options: &Options, mut command: Command) -> Result<ExitCode, String> {
    let failed = |path: &Path, e| format!("{}: {e}; choose another --out", path.display());
    fs::create_dir_all(&options.out).map_err(|e| failed(&options.out, e))?;
    command = command.disable_help_subcommand(true);
    command.build();
    for page in pages(command) {
        let path = options.out.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)
            .and_then(|()| fs::write(&path, keep_lines(&String::from_utf8_lossy(&text))))
            .map_err(|e| failed(&path, e))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what follows the options line by line, as `--help` does, with the examples in a section of their own. The
/// generator has it all in one section, in which an example would be filled up with the next one.
fn keep_lines(page: &str) -> String {
    let mut kept = String::new();
    let mut in_notes = false;
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let section = match line {
            ".SH EXTRA" if lines.next_if_eq(&EXAMPLES_BEGIN).is_some() => Some("EXAMPLES"),
            ".SH EXTRA" => Some("NOTES"),
            EXAMPLES_BEGIN if in_notes => Some("EXAMPLES"),
            _ => None,
        };
        if in_notes && (section.is_some() || line.starts_with(".SH ")) {
            kept.push_str(".fi\n");
            in_notes = false;
        }
        match section {
            Some(section) => {
                kept.push_str(&format!(".SH {section}\n.nf\n"));
                in_notes = true;
            }
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    if in_notes {
        kept.push_str(".fi\n");
    }
    kept
}

/// The pages of the command and of all subcommands that are not hidden.
fn pages(command: Command) -> Vec<Man> {
    let subcommands: Vec<Command> = command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .cloned()
        .collect();
    let own = Man::new(command).source(concat!("libmeditopia ", env!("CARGO_PKG_VERSION")));
    std::iter::once(own)
        .chain(subcommands.into_iter().flat_map(pages))
        .collect()
}
