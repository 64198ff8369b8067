//! `meditopia man`: the manual pages of the command, generated from the definitions behind `--help`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

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
            .and_then(|()| fs::write(&path, text))
            .map_err(|e| failed(&path, e))?;
    }
    Ok(ExitCode::SUCCESS)
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
