//! All subcommands of `meditopia`, as its help lists them.

use crate::meditopia;
use crate::process::stdout_of;

/// What `--help` of a subcommand prints.
pub fn help(words: &[String]) -> String {
    stdout_of(meditopia().args(words).arg("--help"))
}

/// The names of the subcommands that the help of `words` lists, without `help`.
pub fn subcommands(words: &[String]) -> Vec<String> {
    let help = help(words);
    // Their lists stand before the options. A line with a deeper indent continues the line above.
    let listed = help.lines().take_while(|line| *line != "Options:");
    listed
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The examples at the end of the help of `words`, without their indent.
pub fn examples(words: &[String]) -> Vec<String> {
    let help = help(words);
    let listed = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    listed
        .map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned())
        .collect()
}

/// The words of every command: none for `meditopia` itself, and also those of subcommands of subcommands.
pub fn all_commands() -> Vec<Vec<String>> {
    let mut found = vec![vec![]];
    let mut next = 0;
    while let Some(words) = found.get(next).cloned() {
        for name in subcommands(&words) {
            found.push([words.clone(), vec![name]].concat());
        }
        next += 1;
    }
    found
}
