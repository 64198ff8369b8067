//! How the caller named the spool or the store, for the commands that are advised: they name it in the same way, so that they
//! work as they are printed.

use std::path::Path;

use meditopia::internals::spelling::shell_word;

/// The variables that give a command the bearer token.
const TOKEN_VARIABLES: [&str; 2] = ["MEDITOPIA_BEARER_TOKEN", "MEDITOPIA_BEARER_TOKEN_FILE"];
/// Each of them names a store.
const STORE_VARIABLES: [&str; 2] = ["MEDITOPIA_STORE", "MEDITOPIA_STORE_FILE"];

/// The words that name the spool, as a shell reads them: `/var/spool/shop`, `--config /etc/shop.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    words: String,
    can_send: bool,
    names_store: bool,
}

impl Typed {
    /// What the command line says; `dir` is where that led to.
    pub fn new(
        positional: Option<&Path>,
        spool: Option<&Path>,
        config: Option<&Path>,
        dir: &Path,
    ) -> Self {
        let word = |path: &Path| shell_word(&path.display().to_string());
        let named = match (positional, spool) {
            (Some(dir), _) => Some(word(dir)),
            (None, Some(dir)) => Some(format!("--spool {}", word(dir))),
            (None, None) => None,
        };
        let config = config.map(|file| format!("--config {}", word(file)));
        let has_any = |names: &[&str]| {
            let mut values = names.iter().filter_map(std::env::var_os);
            config.is_some() || values.any(|value| !value.is_empty())
        };
        let can_send = has_any(&TOKEN_VARIABLES);
        let names_store = has_any(&STORE_VARIABLES);
        let words: Vec<String> = named.into_iter().chain(config).collect();
        Self {
            // The environment names it: another shell may have another one.
            words: match words.is_empty() {
                true => word(dir),
                false => words.join(" "),
            },
            can_send,
            names_store,
        }
    }

    /// What names a store. Where the environment alone does, no word is needed, and none could be shown: it may hold a
    /// password.
    pub fn of_store(words: Vec<String>) -> Self {
        Self {
            words: words.join(" "),
            can_send: false,
            names_store: true,
        }
    }

    /// A command on this spool: `meditopia resume /var/spool/shop`.
    pub fn command(&self, name: &str) -> String {
        format!("meditopia {name} {}", self.words)
            .trim_end()
            .to_owned()
    }

    /// What names the spool.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Whether the caller named a configuration or a store that one can forward to.
    pub fn names_store(&self) -> bool {
        self.names_store
    }

    /// Whether the caller named a configuration or a token that one can send with.
    pub fn can_send(&self) -> bool {
        self.can_send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(positional: Option<&str>, spool: Option<&str>, config: Option<&str>) -> String {
        let (positional, spool, config) = (
            positional.map(Path::new),
            spool.map(Path::new),
            config.map(Path::new),
        );
        Typed::new(positional, spool, config, Path::new("/var/spool/shop")).command("resume")
    }

    #[test]
    fn an_advised_command_names_the_spool_as_the_caller_did() {
        assert_eq!(typed(Some("a b"), None, None), "meditopia resume 'a b'");
        assert_eq!(typed(None, Some("s"), None), "meditopia resume --spool s");
        assert_eq!(
            typed(None, None, Some("/etc/it's.toml")),
            r"meditopia resume --config '/etc/it'\''s.toml'"
        );
        assert_eq!(
            typed(Some("s"), None, Some("c")),
            "meditopia resume s --config c"
        );
        assert_eq!(typed(None, None, None), "meditopia resume /var/spool/shop");
        let of_store = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned());
            Typed::of_store(words.collect()).command("resume")
        };
        assert_eq!(
            of_store(&["--store-file f", "--config c"]),
            "meditopia resume --store-file f --config c"
        );
        assert_eq!(of_store(&[]), "meditopia resume");
    }
}
